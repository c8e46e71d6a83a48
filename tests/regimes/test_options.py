import pytest

from faconv_cli.errors import UsageError
from faconv_cli.regimes.options import WHOLE_YEAR, parse_clusters, parse_season


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


@pytest.mark.parametrize(
    ("text", "numbers"), [("4", (4,)), ("2:5", (2, 3, 4, 5)), ("4:4", (4,)), (" 3 ", (3,))]
)
def test_clusters_are_a_number_or_an_inclusive_range(text, numbers):
    assert parse_clusters(text) == numbers


@pytest.mark.parametrize(
    "text", ["1", "0", "8:2", "abc", "-3", "2:", ":8", "2:x", "1:4", "2.5", "", "128", "2:3:4"]
)
def test_numbers_of_regimes_that_mean_nothing_are_refused(text):
    with pytest.raises(UsageError, match="-k"):
        parse_clusters(text)
