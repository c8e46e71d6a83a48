from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from faconv_cli.config import DataConfig
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.table import open_table
from faconv_cli.cube.target import known_steps, open_target, steps_of_target, target_cycle
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError, UsageError


def _table(folder, text):
    path = folder / "index.csv"
    path.write_text(text)
    return str(path)


def _rows(dates, values, header="date,nao"):
    return "\n".join([header, *(f"{date},{value}" for date, value in zip(dates, values, strict=True))])


def _days(steps, start="2001-01-01"):
    return [str(day) for day in np.datetime64(start) + np.arange(steps)]


def _axis(start, steps, freq="D", calendar="standard"):
    stamps = xr.date_range(start, periods=steps, freq=freq, calendar=calendar, use_cftime=True)
    return TimeAxis.from_values(stamps.values, calendar)


def _open(text, **settings):
    return open_target(str(text), DataConfig(**settings))


def _of(time):
    """A target of one point on a time axis."""
    return _cube_of(np.arange(float(len(time)))[:, None, None, None], time)


def _cube_of(fields, time, grid=None):
    grid = grid or Grid.of_one_point("y", "x")
    return Cube(
        xr.DataArray(fields.astype(np.float32), dims=("time", "channel", "y", "x")),
        (Channel("pr", "mm"),),
        time,
        grid,
        sources=("pr.nc",),
    )


def test_a_table_is_a_series_at_one_point_with_empty_cells_missing(tmp_path):
    target = _open(_table(tmp_path, _rows(_days(4), [1.5, "", "NA", -2])))
    assert (target.channels[0].name, target.shape, target.time.step) == ("nao", (4, 1, 1, 1), "1 day")
    np.testing.assert_array_equal(target.read(0, 4).ravel(), [1.5, np.nan, np.nan, -2])


@pytest.mark.parametrize("name", ["date", "Time", "valid_time"])
def test_the_dates_of_a_table_are_found_by_name_wherever_they_are(tmp_path, name):
    text = f"nao,{name},remark\n1,2001-01,a\n2,2001-02,b\n3,2001-03,c\n"
    target = _open(_table(tmp_path, text))
    assert target.time.step == "1 month"
    np.testing.assert_array_equal(target.read(0, 3).ravel(), [1, 2, 3])


def test_the_dates_of_a_table_are_its_first_column_whatever_its_name(tmp_path):
    path = _table(tmp_path, "day,nao,ao\n20010101,1,4\n20010102,2,5\n")
    np.testing.assert_array_equal(_open(f"{path}:ao").read(0, 2).ravel(), [4, 5])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("date,nao\n2001-01-01,1\n2001-01-02,2\n2001-01-03,x\n", "nao holds 'x' in row 3"),
        ("date,nao\nfirst,1\nsecond,2\n", "'first'"),
        ("", "columns separated by commas"),
        ("date,nao,ao\n2001-01-01,1,2\n2001-01-02,1,2\n", "several variables: nao, ao"),
        ("date,nao\n2001-01-01,1\n2001-01-01,2\n2001-01-02,2\n", "occurs more than once"),
    ],
)
def test_a_table_that_is_no_series_is_refused(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        _open(_table(tmp_path, text))


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    path = _table(tmp_path, _rows(_days(3), [1, 2, 3]))
    with pytest.raises(InputError, match="no variable 'ao'"):
        _open(f"{path}:ao")


@pytest.fixture
def file(tmp_path):
    """A NetCDF file of a field, a series at a station and one with levels."""
    rng, time = (
        np.random.default_rng(0),
        np.datetime64("2001-01-01", "ns") + np.arange(30) * np.timedelta64(1, "D"),
    )
    dataset = xr.Dataset(
        {
            "pr": (("time", "lat", "lon"), rng.normal(size=(30, 3, 4)).astype("f4"), {"units": "mm"}),
            "flow": (("time", "station"), rng.normal(size=(30, 1)).astype("f4"), {"units": "m3 s-1"}),
            "wind": (("time", "level"), rng.normal(size=(30, 2)).astype("f4"), {"units": "m s-1"}),
        },
        {"time": time, "lat": [10.0, 20, 30], "lon": [0.0, 10, 20, 30], "level": [850.0, 500.0]},
    )
    dataset.flow[3] = np.nan
    dataset.to_netcdf(tmp_path / "a.nc")
    return tmp_path / "a.nc", dataset


def test_a_field_and_a_series_are_read_from_netcdf(file):
    path, dataset = file
    assert _open(f"{path}:pr").shape == (30, 1, 3, 4)
    flow = _open(f"{path}:flow")
    assert (flow.shape, flow.channels[0].units) == ((30, 1, 1, 1), "m3 s-1")
    np.testing.assert_array_equal(flow.read(0, 30).ravel(), dataset.flow.values.ravel())


def test_a_file_with_a_choice_must_be_named(file):
    path, _ = file
    with pytest.raises(InputError, match="no horizontal grid"):
        _open(f"{path}:wind")
    path.with_suffix(".csv").write_text("date,a,b\n2001-01-01,1,1\n2001-01-02,2,2\n")
    with pytest.raises(InputError, match="several variables"):
        _open(path.with_suffix(".csv"))


def test_steps_and_missing_values_are_taken_as_in_the_record(tmp_path):
    path = _table(tmp_path, _rows(_days(3), [1, -99, 3]))
    target = _open(path, missing_value=(-99.0,), time_index=True)
    np.testing.assert_array_equal(target.read(0, 3).ravel(), [1, np.nan, 3])
    assert target.time.labels == ["0", "1", "2"]


def test_a_step_has_the_target_some_steps_later_in_the_same_run():
    time = _axis("2001-01-01", 10)
    record = time.take(np.array([0, 1, 2, 3, 6, 7, 8]))
    np.testing.assert_array_equal(steps_of_target(record, _of(time), 0), [0, 1, 2, 3, 6, 7, 8])
    np.testing.assert_array_equal(steps_of_target(record, _of(time), 2), [2, 3, -1, -1, 8, -1, -1])
    np.testing.assert_array_equal(steps_of_target(record, _of(time), 5), [-1] * 7)


def test_a_target_shorter_than_the_record_has_its_own_steps_alone():
    found = steps_of_target(_axis("2001-01-01", 6), _of(_axis("2001-01-03", 2)), 0)
    np.testing.assert_array_equal(found, [-1, -1, 0, 1, -1, -1])


@pytest.mark.parametrize(
    ("record", "target"),
    [
        (("2001-01-01T00", "D"), ("2001-01-01T12", "D")),
        (("2001-01-01", "MS"), ("2001-01-31", "ME")),
        (("2001-01-01", "YS"), ("2001-12-31", "YE")),
        (("2001-01-01", "6h"), ("2001-01-01", "6h")),
    ],
)
def test_days_months_and_years_match_wherever_in_them_the_stamps_are(record, target):
    found = steps_of_target(_axis(record[0], 5, record[1]), _of(_axis(target[0], 5, target[1])), 0)
    np.testing.assert_array_equal(found, range(5))


def test_hours_match_by_their_stamps():
    found = steps_of_target(_axis("2001-01-01T00", 5, "6h"), _of(_axis("2001-01-01T03", 5, "6h")), 0)
    assert (found == -1).all()


def test_another_step_or_calendar_is_refused():
    with pytest.raises(InputError, match="a time step of 1 month, but the data have 1 day"):
        steps_of_target(_axis("2001-01-01", 60), _of(_axis("2001-01-01", 12, "MS")), 0)
    with pytest.raises(InputError, match="has the calendar noleap, but the data have standard"):
        steps_of_target(_axis("2001-01-01", 9), _of(_axis("2001-01-01", 9, calendar="noleap")), 0)
    same = steps_of_target(
        _axis("2001-01-01", 9, calendar="noleap"), _of(_axis("2001-01-01", 9, calendar="noleap")), 0
    )
    np.testing.assert_array_equal(same, range(9))


def test_members_of_an_ensemble_have_no_target_in_common():
    time = _axis("2001-01-01", 5)
    with pytest.raises(UsageError, match="2 ensemble members"):
        steps_of_target(time.repeated(2), _of(time), 0)


def test_a_step_is_known_where_half_of_the_usual_area_is():
    fields = np.ones((6, 1, 4, 5))
    fields[:, :, :, 0] = np.nan  # never valid
    fields[2, :, :, :2] = np.nan
    fields[3, :, :, :4] = np.nan
    grid = Grid.from_coordinates(np.arange(4.0), np.arange(5.0))
    target = _cube_of(fields, _axis("2001-01-01", 6), grid)
    valid = np.ones((4, 5))
    valid[:, 0] = 0
    assert known_steps(target, valid).tolist() == [True, True, True, False, True, True]


def test_a_target_has_the_cycle_of_the_record_taken_off_unless_it_is_off():
    target = _of(_axis("2001-01-01", 5))
    assert target_cycle("daily", target) == "daily"
    assert target_cycle("none", target) == "mean"
    done = replace(target, channels=(replace(target.channels[0], anomaly="daily cycle"),))
    assert target_cycle("daily", done) == "mean"


def test_text_among_numbers_is_refused_with_its_cell(tmp_path):
    path = tmp_path / "flow.csv"
    days = [f"2001-01-{day:02d},{day},{'trace' if day == 7 else day / 2},dry" for day in range(1, 20)]
    path.write_text("\n".join(["date,gauge,rain,remark", *days]))
    with pytest.raises(InputError, match=r"column rain holds 'trace' in row 7 \(1 cells"):
        open_table(str(path))
    path.write_text(path.read_text().replace("trace", ""))
    assert set(open_table(str(path))[0].dataset.data_vars) == {"gauge", "rain"}
