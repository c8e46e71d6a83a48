"""Time coordinates as files hold them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.axes.decode_time import decode_time, numbered
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.errors import InputError

CALENDARS = ["standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]


def decoded(values, units="", calendar=None, name="data.nc: time"):
    attrs = {"units": units} | ({"calendar": calendar} if calendar else {})
    return decode_time(xr.Variable(("time",), np.asarray(values), attrs), name)


def labels(stamps):
    return TimeAxis.from_values(stamps.values, stamps.calendar).labels


@pytest.mark.parametrize(
    ("values", "units", "calendar", "expected"),
    [
        ([0, 1, 13], "months since 1960-01-01", None, ["1960-01-01", "1960-02-01", "1961-02-01"]),
        ([0.5, 1.5], "months since 1960-01-01", "360", ["1960-01-16", "1960-02-16"]),
        ([1, 2], "month since 2000-01-31", None, ["2000-02-29", "2000-03-31"]),
        ([-1, 0], "months since 2000-01-01 06:00", None, ["1999-12-01T06:00:00", "2000-01-01T06:00:00"]),
        ([0, 10], "years since 1850-07-01", "noleap", ["1850-07-01", "1860-07-01"]),
        ([20010101, 20010102], "", None, ["2001-01-01", "2001-01-02"]),
        ([2001013118, 2001020100], "", None, ["2001-01-31T18:00:00", "2001-02-01T00:00:00"]),
        ([200012, 200101], "", None, ["2000-12-01", "2001-01-01"]),
        ([200101, 200102], "1", "noleap", ["2001-01-01", "2001-02-01"]),
        ([20010131.25, 20010201.0], "day as %Y%m%d.%f", None, ["2001-01-31T06:00:00", "2001-02-01T00:00:00"]),
        ([20010230, 20010301], "day as %Y%m%d.%f", "360_day", ["2001-02-30", "2001-03-01"]),
        ([200101.0, 200102.0], "month as %Y%m.%f", None, ["2001-01-01", "2001-02-01"]),
        (
            [b"2001-01-31_18:00:00", b"2001-02-01_00:00:00"],
            "",
            None,
            ["2001-01-31T18:00:00", "2001-02-01T00:00:00"],
        ),
        (["2001-01-31T18:00:00Z", "20010201"], "", None, ["2001-01-31T18:00:00", "2001-02-01T00:00:00"]),
        (
            [20010101.25, 20010101.5],
            "hour as %Y%m%d.%f",
            None,
            ["2001-01-01T06:00:00", "2001-01-01T12:00:00"],
        ),
        (
            [0, 3],
            "hours since 2000-01-01 00:00:00 +03:00",
            None,
            ["1999-12-31T21:00:00", "2000-01-01T00:00:00"],
        ),
        (
            [0, 1],
            "hours since 2000-01-01 00:00 -01:30",
            "noleap",
            ["2000-01-01T01:30:00", "2000-01-01T02:30:00"],
        ),
        ([0, 2], "weeks since 2000-01-01", None, ["2000-01-01", "2000-01-15"]),
        ([0, 1], "Days  Since 2000-01-01", None, ["2000-01-01", "2000-01-02"]),
        ([0, 1], "days since 0000-01-01", "noleap", ["0000-01-01", "0000-01-02"]),
        ([0, 1], "days since 1582-10-04", None, ["1582-10-04", "1582-10-15"]),
        ([0, 1], "days since 1582-10-04", "proleptic_gregorian", ["1582-10-04", "1582-10-05"]),
        (
            np.array([17540000, 17540024], "i4"),
            "hours since 1-1-1",
            None,
            ["2001-12-13T08:00:00", "2001-12-14T08:00:00"],
        ),
        (np.array([32000, 32767], "i2"), "days since 1950-1-1", None, ["2037-08-12", "2039-09-18"]),
        ([0, 6], "hours since 9000-01-01", None, ["9000-01-01T00:00:00", "9000-01-01T06:00:00"]),
    ],
)
def test_times_that_xarray_does_not_decode_are_decoded(values, units, calendar, expected):
    assert labels(decoded(values, units, calendar)) == expected


@pytest.mark.parametrize("calendar", CALENDARS)
@given(st.integers(0, 3000), st.integers(0, 27), st.data())
def test_calendar_months_advance_evenly_whatever_their_length(calendar, first, day, data):
    steps = np.arange(first, first + data.draw(st.integers(2, 30)))
    stamps = decoded(steps, f"months since 1800-01-{day + 1:02d}", calendar)
    axis = TimeAxis.from_values(stamps.values, stamps.calendar)
    assert (axis.step, len(axis.segments)) == ("1 month", 1)
    assert axis.irregular_steps == 0
    assert axis.labels[0] == f"{1800 + first // 12:04d}-{first % 12 + 1:02d}-{day + 1:02d}"


@given(st.dates(), st.integers(2, 40), st.sampled_from([1, 5, 30]))
def test_dates_as_numbers_are_the_dates(start, count, every):
    if not 1700 < start.year < 2250:
        return
    days = np.datetime64(start) + np.arange(count) * every
    numbers = [int(str(day).replace("-", "")) for day in days]
    np.testing.assert_array_equal(decoded(numbers).values, days.astype("datetime64[ns]"))


def test_whole_numbers_without_units_count_steps():
    for numbers in ([0, 1], [200199, 200200, 200201], [20010100, 20010101]):
        assert decoded(numbers).calendar == UNDATED
    stamps = decoded([3, 4, 5, 9], "1")
    axis = TimeAxis.from_values(stamps.values, stamps.calendar)
    assert (stamps.calendar, axis.step, axis.segments) == (UNDATED, "1 step", ((0, 3), (3, 4)))
    assert "without dates" in stamps.note


def test_an_axis_named_year_holds_years():
    assert labels(decoded([1999, 2000], name="data.nc: year")) == ["1999-01-01", "2000-01-01"]
    assert decoded([1999, 2000]).calendar == UNDATED


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_times_that_an_engine_decoded_are_taken(calendar):
    values = xr.date_range("2001-01-01", periods=2, calendar=calendar, use_cftime=calendar == "noleap")
    assert labels(decode_time(xr.Variable(("time",), values), "t")) == ["2001-01-01", "2001-01-02"]


@pytest.mark.parametrize(
    ("values", "units", "told"),
    [
        ([0, 1], "fortnights after tea", "has units 'fortnights after tea'"),
        ([0, 1], "days since yesterday", "has units 'days since yesterday'"),
        ([0, 1], "months since Tuesday", "has units 'months since Tuesday'"),
        ([np.nan, 0.0], "days since 2001-01-01", "has missing stamps"),
        ([0.5, 1.5], "", r"has no units and is not whole numbers \(0.5"),
        ([0, 1], "days", "has units 'days' without a reference date"),
        ([0, 1], "days since 0000-01-01", "zero not allowed as a reference year"),
        ([0, 1], "days since 2001-02-30", "invalid day number"),
        ([0, 1], "days since 01-02-2000", "day and month cannot be told apart"),
        ([0, 1], "hours since 1/2/2000 00:00", "day and month cannot be told apart"),
        ([-2, -1], "days since 0001-01-01", "before year 1, which calendar 'standard' does not have"),
        ([1e10, 2e10], "days since 1850-01-01", "has units 'days since"),
        (
            np.array([2**31 - 9, 9 - 2**31], "i4"),
            "seconds since 1950-01-01",
            "overflows its 32 bits after stamp 1",
        ),
        (np.array([32767, -32768], "i2"), "days since 1950-01-01", "overflows its 16 bits after stamp 1"),
        (
            np.array([20010101, 20010102], "f4"),
            "",
            "in single precision, which cannot distinguish neighbouring",
        ),
        (
            np.array([20010101, 20010102], "f4"),
            "day as %Y%m%d.%f",
            "in single precision, which cannot distinguish neighbouring",
        ),
        (["soon", "later"], "", "holds the text 'soon'"),
        (["2001-13-01", "2001-14-01"], "", "has units 'text'"),
        ([20010101, 20011301], "day as %Y%m%d.%f", "has units 'day as"),
        (np.array(["NaT", "2001-01-01"], "datetime64[ns]"), "", "has missing stamps"),
    ],
)
def test_what_cannot_be_decoded_says_what_is_wrong_and_how_to_go_on(values, units, told):
    with pytest.raises(InputError, match=told) as caught:
        decoded(values, units)
    assert "--time-index" in str(caught.value)


def test_numbered_steps_are_even():
    assert numbered(3, 5).values.tolist() == [5, 6, 7]
