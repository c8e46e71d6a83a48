"""Files that are good but odd come out as their plain twins do, through every command that reads data."""

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from faconv_cli import app
from tests.fuzz.agreement import Bench, RefusedError, door, same_door
from tests.fuzz.odd_files import CHOICES, Odd, possible, ways, write

PARTS, CASES = 8, 65  # 520 combinations

odd_ways = st.builds(
    Odd, **{axis: st.sampled_from(list(dict.fromkeys(c))) for axis, c in CHOICES.items()}
).map(possible)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patched.setattr(app, "app", typer.main.get_command(app.app))  # built once, not for each command
        yield Bench(tmp_path_factory.mktemp("odd"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_prepare_embed_and_cluster_give_what_they_give_for_a_plain_file(bench, part):
    wrong = {}
    for odd in ways(PARTS * CASES)[part::PARTS]:
        try:
            told = bench.compare(odd)
        except RefusedError as error:
            told = str(error)
        if told:
            wrong[odd] = told
    assert wrong == {}


def test_draws_cover_every_choice():
    drawn = ways(PARTS * CASES)
    for axis, choices in CHOICES.items():
        assert {getattr(odd, axis) for odd in drawn} >= set(choices), axis


@given(odd_ways)
@settings(max_examples=60)
def test_an_odd_file_opens_as_its_plain_twin(tmp_path_factory, odd):
    folder = tmp_path_factory.mktemp("door")
    engine = None if odd.engine == "own" else odd.engine
    same_door(door(write(odd, folder / "odd"), engine), door(write(odd.twin, folder / "twin")))
