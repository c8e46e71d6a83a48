"""NetCDF that is good but odd comes out as its plain twin does, through every command that reads data."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.agreement import door, same_door
from tests.fuzz.odd_files import CHOICES, Odd, possible, ways, write

PARTS, CASES = 4, 270
WAYS = ways(CASES, {"netcdf4", "classic"})
ABSENT = {"zarr 2", "zarr 3", "GRIB 1", "GRIB 2", "zarr"}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_prepare_embed_and_cluster_give_what_they_give_for_a_plain_file(bench, part):
    assert bench.wrong(WAYS[part::PARTS]) == {}


def test_draws_cover_every_choice():
    assert len(WAYS) == CASES
    for axis, choices in CHOICES.items():
        assert {getattr(odd, axis) for odd in WAYS} >= set(choices) - ABSENT, axis


@given(st.builds(Odd, **{axis: st.sampled_from(list(dict.fromkeys(c))) for axis, c in CHOICES.items()}))
@settings(max_examples=60)
@pytest.mark.slow
def test_an_odd_file_opens_as_its_plain_twin(tmp_path_factory, odd):
    odd, folder = possible(odd), tmp_path_factory.mktemp("door")
    engine = None if odd.engine == "own" else odd.engine
    same_door(door(write(odd, folder / "odd"), engine), door(write(odd.twin, folder / "twin")))
