import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.shape.season import WHOLE_YEAR, keep_season, parse_season
from faconv_cli.errors import InputError, UsageError


@pytest.mark.parametrize(
    ("text", "months"),
    [
        ("DJF", (12, 1, 2)),
        ("mam", (3, 4, 5)),
        ("JJA", (6, 7, 8)),
        ("SON", (9, 10, 11)),
        ("NDJFM", (11, 12, 1, 2, 3)),
        ("F", (2,)),
        ("12,1,2", (12, 1, 2)),
        ("7", (7,)),
        ("JFMAMJJASOND", tuple(range(1, 13))),
        ("all", WHOLE_YEAR.months),
        (None, WHOLE_YEAR.months),
    ],
)
def test_a_season_is_a_run_of_month_initials_or_numbers(text, months):
    assert parse_season(text).months == months


@pytest.mark.parametrize("text", ["XYZ", "DFJ", "13", "0", "", "1,,2", "DJFMAMJJASONDJ", "1;2"])
def test_what_is_not_a_run_of_months_is_refused(text):
    with pytest.raises(UsageError, match="not a run of months"):
        parse_season(text)


@pytest.mark.parametrize(("text", "places"), [("J", 3), ("M", 2), ("A", 2)])
def test_initials_that_fit_several_months_are_refused(text, places):
    with pytest.raises(UsageError, match=f"fits {places} places"):
        parse_season(text)


def test_a_season_keeps_its_months_and_a_gap_where_others_were(make_cube):
    cube = make_cube(np.random.default_rng(0).normal(size=(800, 1, 2, 2)))
    winter = keep_season(cube, "DJF")
    assert set(winter.time.month) == {12, 1, 2}
    assert winter.time.step == cube.time.step
    assert [stop - start for start, stop in winter.time.segments] == [59, 90, 91]
    for start, stop in winter.time.segments:
        assert (np.diff(winter.time.seconds[start:stop]) == 86400).all()
    kept = np.isin(cube.time.month, (12, 1, 2))
    np.testing.assert_array_equal(winter.read(0, len(winter.time)), cube.read(0, 800)[kept])
    assert "Season DJF: 240 of 800" in winter.notes[-1]


@given(
    months=st.sets(st.integers(1, 12), min_size=1, max_size=11),
    calendar=st.sampled_from(["standard", "noleap", "360_day", "julian"]),
    hours=st.sampled_from([12, 24, 48]),
)
def test_in_any_calendar_the_kept_steps_are_the_months_and_gaps_are_where_others_were(
    make_cube, months, calendar, hours
):
    numbers = np.arange(0, 20000, hours)
    cube = make_cube(np.zeros((len(numbers), 1, 2, 2)), "hours since 2001-01-20", calendar, numbers)
    kept = keep_season(cube, ",".join(map(str, months))).time
    inside = np.isin(cube.time.month, list(months))
    np.testing.assert_array_equal(kept.values, cube.time.values[inside])
    edges = np.flatnonzero(np.diff(inside.astype(int), prepend=0) == 1)
    assert [start for start, _ in kept.segments] == [int(inside[:edge].sum()) for edge in edges]


def test_months_that_are_no_neighbours_have_a_gap_between_however_short(make_cube):
    cube = make_cube(np.zeros((36, 1, 2, 2)), units="days since 2001-01-01", numbers=_monthly(36))
    kept = keep_season(cube, "1,3")
    assert kept.time.step == "1 month"
    assert kept.time.segments == tuple((i, i + 1) for i in range(6))


def _monthly(months):
    stamps = np.datetime64("2001-01") + np.arange(months)
    return (stamps.astype("datetime64[D]") - np.datetime64("2001-01-01")).astype(int)


def test_a_season_the_record_does_not_have_is_refused(make_cube):
    with pytest.raises(InputError, match="no time step lies in --season JJA"):
        keep_season(make_cube(np.zeros((30, 1, 2, 2))), "JJA")
