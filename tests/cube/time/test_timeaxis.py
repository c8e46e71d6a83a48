from itertools import pairwise

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

CALENDARS = ["standard", "proleptic_gregorian", "noleap", "all_leap", "360_day", "julian"]
calendars = st.sampled_from(CALENDARS)


def stamps(numbers, units, calendar="standard"):
    return cftime.num2date(np.asarray(numbers), units, calendar)


def monthly(calendar, count, day=1, start=(1999, 11), step=1):
    first = start[0] * 12 + start[1] - 1
    months = [divmod(first + step * i, 12) for i in range(count)]
    return np.array([cftime.datetime(y, m + 1, day, calendar=calendar) for y, m in months])


def days(first, count):
    return np.datetime64(first, "ns") + np.arange(count) * np.timedelta64(1, "D")


@given(calendars, st.integers(3, 40), st.integers(1, 28))
def test_months_are_even_steps_in_every_calendar(calendar, count, day):
    axis = TimeAxis.from_values(monthly(calendar, count, day))
    assert axis.step == "1 month"
    assert axis.calendar == calendar
    assert axis.segments == ((0, count),)
    assert axis.irregular_steps == 0


@given(calendars, st.lists(st.integers(1, 28), min_size=3, max_size=40))
def test_the_month_advancing_by_one_is_monthly_wherever_in_the_month_the_stamps_lie(calendar, in_month):
    values = [stamp.replace(day=day) for stamp, day in zip(monthly(calendar, 40), in_month, strict=False)]
    assert TimeAxis.from_values(values).step == "1 month"


@given(calendars, st.integers(2, 30), st.integers(1, 10))
def test_years_are_even_steps_in_every_calendar(calendar, count, every):
    axis = TimeAxis.from_values(monthly(calendar, count, step=12 * every))
    assert axis.step == ("1 year" if every == 1 else f"{every} years")
    assert axis.segments == ((0, count),)


@given(
    calendars,
    st.sampled_from([(86400, "1 day"), (21600, "6 hours"), (3600, "1 hour"), (900, "15 minutes")]),
    st.integers(2, 400),
)
def test_fixed_steps_keep_their_name(calendar, step, count):
    seconds, name = step
    axis = TimeAxis.from_values(stamps(np.arange(count) * seconds, "seconds since 2003-02-27", calendar))
    assert axis.step == name
    assert len(axis.segments) == 1
    assert axis.sub_daily == (seconds < 86400)


@given(calendars, st.lists(st.integers(2, 20), min_size=1, max_size=6), st.integers(2, 300))
def test_a_gap_ends_a_segment(calendar, lengths, gap):
    edges = np.cumsum([0, *lengths])
    numbers = np.concatenate([np.arange(n) + edges[i] + i * gap for i, n in enumerate(lengths)])
    axis = TimeAxis.from_values(stamps(numbers, "days since 1960-01-01", calendar))
    assert axis.step == "1 day"
    assert axis.segments == tuple(pairwise(edges.tolist()))


def test_winters_of_daily_data_are_segments():
    record = np.concatenate([days(f"{year}-12-01", 90) for year in range(1982, 2002)])
    axis = TimeAxis.from_values(record)
    assert len(axis.segments) == 20
    assert axis.segments[0] == (0, 90)
    assert axis.irregular_steps == 0


def test_winters_of_monthly_data_are_segments():
    values = [v for v in monthly("noleap", 60, start=(1999, 12)) if v.month in (12, 1, 2)]
    axis = TimeAxis.from_values(values)
    assert axis.step == "1 month"
    assert axis.segments == tuple((3 * i, 3 * i + 3) for i in range(5))


def test_thirty_days_are_not_a_month_in_the_long_run():
    axis = TimeAxis.from_values(days("2000-01-01", 900)[::30])
    assert axis.step == "30 days"


def test_single_precision_time_still_has_a_step():
    numbers = (np.arange(40) * 0.25 + 50_000).astype(np.float32).astype(float) + 1e-4
    assert TimeAxis.from_values(stamps(numbers, "days since 1850-01-01")).step == "6 hours"


@pytest.mark.parametrize(("hours", "step"), [(1, "1 hour"), (3, "3 hours"), (6, "6 hours")])
def test_stamps_in_days_with_two_decimals_have_the_step_they_were_rounded_from(hours, step):
    days = np.round(np.delete(np.arange(200), [50, 51, 52]) * hours / 24, 2)
    axis = TimeAxis.from_values(
        np.datetime64("2001-01-01", "ns") + (days * 86400e9).astype("timedelta64[ns]")
    )
    assert axis.step == step
    assert axis.segments == ((0, 50), (50, 197))


def test_irregular_steps_are_counted_and_are_no_gap():
    numbers = [0, 1, 2, 3.3, 4.3, 5.3, 5.8]
    axis = TimeAxis.from_values(stamps(numbers, "days since 2001-01-01"))
    assert axis.irregular_steps == 2
    assert len(axis.segments) == 1


def test_a_step_of_no_round_unit_is_told_in_seconds():
    quick = np.datetime64("2000-01-01", "ns") + np.array([0, 700]) * np.timedelta64(1, "ms")
    assert TimeAxis.from_values(quick).step == "0.7 seconds"


@given(calendars, st.integers(0, 360 * 24 * 8))
def test_year_fraction_is_time_since_new_year_over_the_year(calendar, hours):
    values = stamps([hours, hours + 1], "hours since 1999-01-01", calendar)
    axis = TimeAxis.from_values(values)
    begin, end = (cftime.datetime(values[0].year + i, 1, 1, calendar=calendar) for i in (0, 1))
    assert axis.year_fraction[0] == pytest.approx((values[0] - begin) / (end - begin), abs=1e-9)
    assert axis.day_fraction[0] == pytest.approx(values[0].hour / 24)
    assert axis.years[0] == pytest.approx(values[0].year + axis.year_fraction[0])
    assert axis.month[0] == values[0].month


@given(st.integers(0, 20 * 365 * 24))
def test_datetime64_and_cftime_agree(hours):
    plain = np.datetime64("1999-01-01", "ns") + np.array([hours, hours + 7]) * np.timedelta64(1, "h")
    a = TimeAxis.from_values(plain)
    b = TimeAxis.from_values(stamps([hours, hours + 7], "hours since 1999-01-01", "standard"))
    np.testing.assert_allclose(a.year_fraction, b.year_fraction, atol=1e-12)
    np.testing.assert_allclose(a.day_fraction, b.day_fraction, atol=1e-12)
    np.testing.assert_array_equal(a.seconds, b.seconds)
    assert a.labels == b.labels
    assert a.step == b.step


def test_labels_are_dates_unless_the_hour_matters():
    assert TimeAxis.from_values(days("2000-02-28", 3)).labels == ["2000-02-28", "2000-02-29", "2000-03-01"]
    hourly = np.datetime64("2000-02-28T23", "ns") + np.arange(2) * np.timedelta64(1, "h")
    assert TimeAxis.from_values(hourly).labels == ["2000-02-28T23:00:00", "2000-02-29T00:00:00"]


@pytest.mark.parametrize(
    ("time_range", "first", "last"),
    [
        ("1979:1980", "1979-01-01", "1980-12-31"),
        ("1979-12:1980-02", "1979-12-01", "1980-02-29"),
        ("1979-12-30:1980-01-02", "1979-12-30", "1980-01-02"),
        (":1979-03", "1978-06-01", "1979-03-31"),
        ("1981-05:", "1981-05-01", "1981-06-27"),
        ("1979-01-05T00:00:1979-01-07T12:00:00", "1979-01-05", "1979-01-07"),
    ],
)
def test_a_time_range_includes_the_whole_period_of_its_end(time_range, first, last):
    axis = TimeAxis.from_values(days("1978-06-01", 1123))
    start, stop = axis.indices_of(time_range)
    assert (axis.labels[start], axis.labels[stop - 1]) == (first, last)


def test_a_time_range_works_in_a_calendar_of_thirty_day_months():
    axis = TimeAxis.from_values(stamps(np.arange(720), "days since 2000-01-01", "360_day"))
    assert axis.indices_of("2000-02-30:2000-02-30") == (59, 60)


@pytest.mark.parametrize(
    "time_range", ["1979", "x:y", "1979-13:1980", "1979-01-32:", "1979:1980:1981", "79-1-1-1:"]
)
def test_what_is_not_a_time_range_is_refused(time_range):
    with pytest.raises(InputError, match="is not FIRST:LAST"):
        TimeAxis.from_values(days("1978-06-01", 1123)).indices_of(time_range)


def test_an_empty_time_range_names_the_record():
    with pytest.raises(InputError, match="The record covers 1978-06-01 to 1978-06-10"):
        TimeAxis.from_values(days("1978-06-01", 10)).indices_of("1990:1999")


def test_one_time_step_is_refused():
    with pytest.raises(InputError, match="there is only one time step"):
        TimeAxis.from_values(days("1978-06-01", 1))
    with pytest.raises(InputError, match="there is no time step"):
        TimeAxis.from_values(days("1978-06-01", 0))


@pytest.mark.parametrize(
    ("order", "message"),
    [([0, 1, 1], "2000-01-02 occurs twice"), ([0, 2, 1], "2000-01-02 follows 2000-01-03")],
)
def test_time_that_does_not_increase_is_refused(order, message):
    with pytest.raises(InputError, match=message):
        TimeAxis.from_values(days("2000-01-01", 3)[order])


def test_a_slice_keeps_step_and_clips_segments():
    record = np.concatenate([days("2000-01-01", 5), days("2001-01-01", 5)])
    part = TimeAxis.from_values(record).slice(3, 7)
    assert part.segments == ((0, 2), (2, 4))
    assert part.step == "1 day"
    assert part.labels == ["2000-01-04", "2000-01-05", "2001-01-01", "2001-01-02"]
    assert len(TimeAxis.from_values(record).slice(2, 3)) == 1


@given(calendars, st.sampled_from([(24, "days"), (6, "hours"), (0.25, "minutes"), (1 / 720, "seconds")]))
def test_the_variable_written_is_read_back(tmp_path_factory, calendar, step):
    hours, units = step
    path = tmp_path_factory.mktemp("time") / "time.nc"
    axis = TimeAxis.from_values(stamps(np.arange(20) * hours * 3600, "seconds since 1999-12-30", calendar))
    variable = axis.to_variable()
    assert variable.encoding["units"].startswith(units)
    variable.to_dataset().to_netcdf(path)
    with xr.open_dataset(path, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as back:
        read = TimeAxis.from_values(back["time"].to_numpy())
    assert read.labels == axis.labels
    assert read.calendar == calendar
    assert read.segments == axis.segments


def test_datetime64_written_is_read_back(tmp_path):
    axis = TimeAxis.from_values(days("1999-12-30", 5), "proleptic_gregorian")
    axis.to_variable().to_dataset().to_netcdf(tmp_path / "time.nc")
    with xr.open_dataset(tmp_path / "time.nc") as back:
        np.testing.assert_array_equal(back["time"], axis.values)
        assert back["time"].encoding["calendar"] == "proleptic_gregorian"


@pytest.mark.parametrize(
    ("name", "canonical"), [("gregorian", "standard"), ("365_day", "noleap"), (None, "standard")]
)
def test_calendars_have_one_name(name, canonical):
    assert TimeAxis.from_values(days("2000-01-01", 2), name).calendar == canonical


@given(calendar=calendars, count=st.integers(1, 30), index=st.integers(0, 9))
def test_the_stamps_after_a_step_are_those_a_longer_record_would_have(calendar, count, index):
    for make in (
        lambda n: stamps(np.arange(n) * 6, "hours since 1999-12-30", calendar),
        lambda n: monthly(calendar, n),
    ):
        short, long = TimeAxis.from_values(make(10)), TimeAxis.from_values(make(60))
        after = short.after(index, count)
        assert after.labels == long.labels[index + 1 : index + 1 + count]
        assert (len(after), after.step, after.calendar) == (count, short.step, short.calendar)


def test_the_stamps_after_a_gap_go_on_by_the_step():
    axis = TimeAxis.from_values(np.concatenate([days("2000-12-30", 5), days("2001-03-01", 5)]))
    assert axis.after(3, 3).values.tolist() == days("2001-01-03", 3).tolist()
    assert axis.after(9, 1).labels == ["2001-03-06"]


def test_a_month_after_the_thirty_first_is_the_last_of_a_shorter_month():
    ends = np.array(["2001-08-31", "2001-09-30", "2001-10-31"], "datetime64[ns]")
    assert TimeAxis.from_values(ends).after(2, 2).labels == ["2001-11-30", "2001-12-31"]
    noleap = [cftime.datetime(2001, month, day, calendar="noleap") for month, day in ((11, 30), (12, 31))]
    axis = TimeAxis.from_values([*noleap, cftime.datetime(2002, 1, 31, calendar="noleap")])
    assert axis.after(2, 2).labels == ["2002-02-28", "2002-03-31"]


def test_steps_that_something_is_left_out_between_have_a_gap_between():
    days = np.datetime64("2001-01-01", "ns") + np.r_[0:10, 15:30] * np.timedelta64(1, "D")
    axis = TimeAxis.from_values(days)
    taken = axis.take(np.r_[2:5, 8:14, 20:21])
    assert taken.segments == ((0, 3), (3, 5), (5, 9), (9, 10))
    assert taken.step == "1 day"
    np.testing.assert_array_equal(taken.values, days[np.r_[2:5, 8:14, 20:21]])
    assert TimeAxis.from_values(days).take(np.arange(25)).segments == axis.segments
