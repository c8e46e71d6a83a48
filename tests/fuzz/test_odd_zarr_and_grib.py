"""Zarr and GRIB that are good but odd come out as a plain twin does, through all commands that read data."""

import pytest

from tests.fuzz.odd_files import CHOICES, EVERY_CASE, telling, ways

PARTS, CASES = 4, 250
FEW = {"zarr 2": 14, "zarr 3": 14, "GRIB 1": 6, "GRIB 2": 6}
WAYS = ways(CASES, FEW)
TRIED = WAYS if EVERY_CASE else telling(WAYS, FEW)
ABSENT = {"netcdf4", "classic", "h5netcdf", "scipy", "unsigned byte"}


@pytest.mark.parametrize("part", range(PARTS))
def test_prepare_embed_and_cluster_give_what_they_give_for_a_plain_file(bench, part):
    assert bench.wrong(TRIED[part::PARTS]) == {}


def test_draws_cover_every_choice():
    assert len(WAYS) == CASES
    assert len(TRIED) == (CASES if EVERY_CASE else sum(FEW.values()))
    for axis, choices in CHOICES.items():
        assert {getattr(odd, axis) for odd in TRIED} >= set(choices) - ABSENT, axis
