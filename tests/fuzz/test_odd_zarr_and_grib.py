"""Zarr and GRIB that are good but odd come out as a plain twin does, through all commands that read data."""

import pytest

from tests.fuzz.odd_files import CHOICES, ways

PARTS, CASES = 4, 250
WAYS = ways(CASES, {"zarr 2", "zarr 3", "GRIB 1", "GRIB 2"})
ABSENT = {"netcdf4", "classic", "h5netcdf", "scipy", "unsigned byte"}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_prepare_embed_and_cluster_give_what_they_give_for_a_plain_file(bench, part):
    assert bench.wrong(WAYS[part::PARTS]) == {}


def test_draws_cover_every_choice():
    assert len(WAYS) == CASES
    for axis, choices in CHOICES.items():
        assert {getattr(odd, axis) for odd in WAYS} >= set(choices) - ABSENT, axis
