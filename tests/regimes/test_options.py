import pytest

from faconv_cli.errors import UsageError
from faconv_cli.regimes.options import parse_clusters


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
