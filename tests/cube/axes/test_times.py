"""Which axis of a file is its time, and what becomes of it: forecasts, members, numbered steps, seasons."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.config import DataConfig
from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.cycles import resolve_anomaly
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.cube.shape.season import keep_season
from faconv_cli.cube.shape.smooth import smooth
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError, UsageError
from faconv_cli.windows.plan import plan_windows

LAT = ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"})
LON = ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"})


def whole(cube):
    return cube.read(0, cube.shape[0])


@pytest.fixture
def save(tmp_path):
    """Write a variable x of some leading dimensions on a grid; its values are its flat index along them."""

    def _save(sizes, coordinates=None, name="data.nc", attrs=None, **extra):
        values = np.arange(np.prod(list(sizes.values())), dtype=np.float32).reshape(*sizes.values(), 1, 1)
        fields = np.broadcast_to(values, (*sizes.values(), 3, 4))
        x = ((*sizes, "lat", "lon"), fields, {"units": "K"} | (attrs or {}))
        ds = xr.Dataset({"x": x, **extra}, {"lat": LAT, "lon": LON} | (coordinates or {}))
        ds.to_netcdf(tmp_path / name)
        return tmp_path / name

    return _save


def hours(dim, values, since="2001-01-01", **attrs):
    return dim, np.asarray(values, float), {"units": f"hours since {since}"} | attrs


# --- names of the axis ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["time", "valid_time", "Time", "time_counter", "XTIME", "T", "date"])
def test_time_is_found_by_its_units_whatever_its_name(save, name):
    path = save({name: 4}, {name: hours(name, [0, 12, 24, 36])})
    cube = open_cube([path])
    assert (cube.time.step, cube.time.labels[1]) == ("12 hours", "2001-01-01T12:00:00")


@pytest.mark.parametrize("name", ["time", "step", "timestep", "time_step"])
def test_an_integer_step_axis_is_time_without_dates(save, name):
    cube = open_cube([save({name: 4}, {name: (name, [0, 1, 2, 5])})])
    assert (cube.time.step, cube.time.labels, cube.time.dated) == ("1 step", ["0", "1", "2", "5"], False)
    assert cube.time.segments == ((0, 3), (3, 4))
    assert any("numbers the steps without dates" in note for note in cube.notes)


def test_wrf_times_are_read_from_text(save):
    text = np.array([b"2001-01-31_18:00:00", b"2001-02-01_00:00:00", b"2001-02-01_06:00:00"])
    cube = open_cube([save({"Time": 3}, Times=("Time", text))])
    assert (cube.time.step, cube.time.labels[0]) == ("6 hours", "2001-01-31T18:00:00")


# --- numbered steps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coordinate",
    [("time", [0.0, 1, 2, 3], {"units": "fortnights after tea"}), ("time", [np.nan] * 4), None],
    ids=["bad units", "missing", "absent"],
)
def test_steps_are_numbered_when_told_and_only_then(save, coordinate):
    path = save({"time": 4}, {"time": coordinate} if coordinate else {})
    with pytest.raises(InputError, match="--time-index"):
        open_cube([path])
    cube = open_cube([path], time_index=True)
    assert (cube.time.labels, cube.time.segments) == (["0", "1", "2", "3"], ((0, 4),))
    assert any("--time-index" in note for note in cube.notes)
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], range(4))


def test_numbers_go_on_over_files_as_they_are_named(save):
    paths = [save({"t": 3}, name=name) for name in ("b.nc", "a.nc")]
    cube = open_cube(paths, time_index=True)
    assert cube.time.labels == list("012345")
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [0, 1, 2, 0, 1, 2])


def test_the_numbered_dimension_can_be_named(save):
    path = save({"a": 2, "b": 3})
    with pytest.raises(InputError, match="Name it with --time-dim"):
        open_cube([path], time_index=True)
    with pytest.raises(InputError, match="a further dimension b of 3"):
        open_cube([path], time_index=True, time_dim="a")
    assert open_cube([save({"wave": 5})], time_index=True).shape[0] == 5


@pytest.mark.parametrize("leading", [{}, {"time": 1}, {"band": 1}], ids=str)
def test_fields_without_time_are_steps_file_after_file(save, leading):
    paths = []
    for number in (2, 0, 1):
        path = save(leading, name=f"{number}.nc")
        with xr.open_dataset(path) as ds:
            paths.append(path.with_name(f"field_{number}.nc"))
            (ds + number).to_netcdf(paths[-1])
    with pytest.raises(InputError, match=r"--time-index|--static"):
        open_cube(paths)
    cube = open_cube(paths, time_index=True)
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [2, 0, 1])
    assert cube.time.labels == list("012")
    assert any("numbered" in note for note in cube.notes)
    with pytest.raises(InputError, match="there is only one time step"):
        open_cube(paths[:1], time_index=True)


@pytest.mark.parametrize("name", ["t", "step", "date", "year", "time"])
@pytest.mark.parametrize("leading", [(), ("band",)])
def test_a_field_may_have_a_name_that_times_have_too(tmp_path, name, leading):
    """ERA5 calls temperature t."""
    paths = []
    for number in range(3):
        fields = np.full((1,) * len(leading) + (3, 4), 280.0 + number)
        paths.append(tmp_path / f"{number}.nc")
        xr.Dataset(
            {name: ((*leading, "lat", "lon"), fields, {"units": "K"})},
            {
                "lat": ("lat", [0.0, 10, 20], {"units": "degrees_north"}),
                "lon": ("lon", [0.0, 10, 20, 30], {"units": "degrees_east"}),
            },
        ).to_netcdf(paths[-1])
    cube = open_cube(paths, time_index=True)
    assert [channel.name for channel in cube.channels] == [name]
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [280, 281, 282])


@pytest.mark.parametrize("in_one_file", [True, False])
def test_a_constant_field_beside_numbered_steps_is_no_step(save, in_one_file):
    height = {"height": (("lat", "lon"), np.ones((3, 4)))}
    paths = [save({"time": 5}, **(height if in_one_file else {}))]
    if not in_one_file:
        path = save({}, name="height.nc", **height)
        with xr.open_dataset(path) as ds:
            ds.drop_vars("x").to_netcdf(path.with_name("constant.nc"))
        paths.append(path.with_name("constant.nc"))
    cube = open_cube(paths, time_index=True)
    assert ([channel.name for channel in cube.channels], len(cube.time)) == (["x"], 5)
    assert "--static" in cube.left_out["height"]


@pytest.mark.parametrize("units", ["days", "hours", "h"])
def test_time_without_a_reference_date_is_told_as_such(save, units):
    path = save({"time": 4}, {"time": ("time", [0.0, 1, 2, 3], {"units": units})})
    for named in (None, "time"):
        with pytest.raises(InputError, match=rf"'{units}' without a reference date.*--time-index"):
            open_cube([path], time_dim=named)
    assert len(open_cube([path], time_index=True).time) == 4


def test_numbered_steps_have_no_seasons(save):
    cube = open_cube([save({"time": 40})], time_index=True)
    time = cube.time
    assert not time.year_fraction.any()
    assert not time.sub_daily
    assert time.indices_of("10:19") == (10, 20)
    assert time.indices_of(":4") == (0, 5)
    assert resolve_anomaly("auto", time) == "none"
    assert fit_climatology(cube, "none", detrend=True).expected(time)[:, 0, 0, 0] == pytest.approx(range(40))
    for refused in (
        lambda: resolve_anomaly("monthly", time),
        lambda: keep_season(cube, "DJF"),
        lambda: smooth(cube, 5),
    ):
        with pytest.raises(UsageError, match="needs dates, but the time steps have none"):
            refused()
    with pytest.raises(InputError, match="The steps have no dates but are numbered from 0 to 39"):
        time.indices_of("1979-01:1980")
    with pytest.raises(InputError, match="no time step lies in 50:60"):
        time.indices_of("50:60")


def test_numbers_and_dates_do_not_mix(save):
    paths = [
        save({"time": 3}, {"time": hours("time", [0, 1, 2])}, "a.nc"),
        save({"time": 3}, {"time": ("time", [3, 4, 5])}, "b.nc"),
    ]
    with pytest.raises(InputError, match=r"a\.nc has calendar standard, but .*b\.nc has no dates"):
        open_cube(paths)


# --- forecasts ------------------------------------------------------------------------------------


REFERENCE = {"standard_name": "forecast_reference_time"}
LEAD = {"standard_name": "forecast_period", "units": "hours"}


@pytest.mark.parametrize("with_valid_time", [True, False])
@pytest.mark.parametrize("named", [("time", "step"), ("start", "lead"), ("reftime", "fcst")])
def test_one_lead_of_many_starts_is_a_series_of_valid_times(save, with_valid_time, named):
    start, lead = named
    coordinates = {start: hours(start, [0, 24, 48], **REFERENCE), lead: (lead, [0.0, 6.0, 48.0], LEAD)}
    if with_valid_time:
        valid = np.add.outer([0.0, 24.0, 48.0], [0.0, 6.0, 48.0])
        about = {"standard_name": "time", "units": "hours since 2001-01-01"}
        coordinates["valid_time"] = ((start, lead), valid, about)
    path = save({start: 3, lead: 3}, coordinates)
    with pytest.raises(InputError, match=r"--step.*0, 6, 48 hours|0, 6, 48 hours.*--step"):
        open_cube([path])
    for text in ("48", "48h", "2d", "2 days"):
        cube = open_cube([path], step=text)
        assert cube.time.labels == ["2001-01-03", "2001-01-04", "2001-01-05"]
        np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [2, 5, 8])
    assert any(f"of 3 is selected (dimension {lead}; --step)" in note for note in cube.notes)


@pytest.mark.parametrize("attributes", [REFERENCE, {}], ids=["cf", "names alone"])
def test_the_leads_of_one_start_are_a_series(save, attributes):
    path = save(
        {"step": 4},
        {"time": hours((), 12, **attributes), "step": ("step", [0.0, 6, 12, 18], {"units": "hours"})},
    )
    cube = open_cube([path])
    assert cube.time.labels[:2] == ["2001-01-01T12:00:00", "2001-01-01T18:00:00"]


@pytest.mark.parametrize("with_valid_time", [True, False])
def test_forecasts_that_follow_each_other_are_a_series_as_accumulations_of_era5(save, with_valid_time):
    starts, leads = np.array([6.0, 18.0, 30.0, 42.0]), np.arange(1.0, 13.0)
    coordinates = {"time": hours("time", starts, **REFERENCE), "step": ("step", leads, LEAD)}
    if with_valid_time:
        about = {"standard_name": "time", "units": "hours since 2001-01-01"}
        coordinates["valid_time"] = (("time", "step"), np.add.outer(starts, leads), about)
    path = save({"time": 4, "step": 12}, coordinates)
    cube = open_cube([path])
    assert (cube.time.step, cube.time.labels[0]) == ("1 hour", "2001-01-01T07:00:00")
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], range(48))
    told = "The forecasts of 4 init times follow each other. Their 12 lead times are joined into one series."
    assert told in cube.notes
    assert open_cube([path], step="3").time.step == "12 hours"


def test_leads_in_days_are_added_in_the_units_of_the_start(save):
    lead = ("lead", [1.0, 2.0, 3.0], {"standard_name": "forecast_period", "units": "days"})
    path = save(
        {"lead": 3}, {"start": hours((), 0, calendar="noleap", since="2000-02-27", **REFERENCE), "lead": lead}
    )
    cube = open_cube([path])
    assert cube.time.labels == ["2000-02-28", "2000-03-01", "2000-03-02"]
    assert cube.time.calendar == "noleap"


@pytest.mark.parametrize(
    ("start", "lead"), [("months since 2001-01-01", "hours"), ("hours since 2001-01-01", "months")]
)
def test_starts_and_leads_in_months_are_refused(save, start, lead):
    """As of seasonal forecasts: a month has no fixed length to add."""
    coordinates = {
        "S": ("S", np.arange(4.0), {"units": start, "standard_name": "forecast_reference_time"}),
        "L": ("L", [0.5, 1.5], {"units": lead, "standard_name": "forecast_period"}),
    }
    with pytest.raises(InputError, match=r"data\.nc: forecast times are in units of 'months'"):
        open_cube([save({"S": 4, "L": 2}, coordinates)])


def test_leads_without_a_start_are_steps_without_dates(save):
    cube = open_cube([save({"lead": 3}, {"lead": ("lead", [6.0, 12.0, 18.0], LEAD)})])
    assert (cube.time.labels, cube.time.step) == (["6", "12", "18"], "6 steps")
    assert any("gives no init time for forecast step" in note for note in cube.notes)


@pytest.mark.parametrize(
    ("step", "kind", "told"),
    [
        ("7", InputError, "no forecast step 7. There are 0, 6 hours"),
        ("soon", UsageError, "--step soon"),
        ("2 parsecs", UsageError, "--step 2 parsecs"),
    ],
)
def test_a_lead_that_is_not_there_is_refused(save, step, kind, told):
    path = save(
        {"start": 2, "lead": 2},
        {"start": hours("start", [0, 24], **REFERENCE), "lead": ("lead", [0.0, 6.0], LEAD)},
    )
    with pytest.raises(kind, match=told):
        open_cube([path], step=step)


def test_a_step_in_hours_is_no_time_of_its_own(save):
    dates = ("hdate", [20000103, 20010103, 20020103])
    path = save({"hdate": 3, "step": 2}, {"hdate": dates, "step": ("step", [0, 24], {"units": "hours"})})
    cube = open_cube([path], time_dim="hdate", step="24")
    assert (cube.time.labels[0], cube.time.step) == ("2000-01-03", "1 year")


def test_a_record_without_leads_or_members_has_none_to_pick_and_says_so(write):
    cube = open_cube([write()], step="6", member="3")
    assert cube.shape[0] == 6
    assert "The data have no forecast steps, so --step 6 has no effect." in cube.notes
    assert "The data have no ensemble members, so --member 3 has no effect." in cube.notes


def test_a_file_of_one_lead_is_that_lead(save):
    path = save({"start": 3}, {"start": hours("start", [0, 24, 48], **REFERENCE), "lead": ((), 6.0, LEAD)})
    assert open_cube([path], step="6").time.labels[0] == "2001-01-01T06:00:00"
    with pytest.raises(InputError, match=r"no forecast step 12\. There are 6 hours"):
        open_cube([path], step="12")


# --- members --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coordinate", "labels"),
    [
        (("number", [0, 1, 2]), "012"),
        (("number", [5.0, 7.0, 11.0]), ["5", "7", "11"]),
        (("number", ["r1i1p1f1", "r2i1p1f1", "r3i1p1f1"]), ["r1i1p1f1", "r2i1p1f1", "r3i1p1f1"]),
        (None, "012"),
    ],
)
def test_a_member_is_picked_by_its_name_or_number(save, coordinate, labels):
    coordinates = {"time": hours("time", [0, 24, 48, 72])} | ({"number": coordinate} if coordinate else {})
    path = save({"number": 3, "time": 4}, coordinates)
    with pytest.raises(InputError, match=r"3 ensemble members \(dimension number\).*--member"):
        open_cube([path])
    cube = open_cube([path], member=labels[2])
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [8, 9, 10, 11])
    assert any(f"Member {labels[2]} of 3 is selected" in note for note in cube.notes)
    with pytest.raises(InputError, match=f"no member 99. There are {labels[0]}"):
        open_cube([path], member="99")


def test_a_realization_is_a_member_whatever_its_name(save):
    path = save(
        {"run": 2, "time": 3},
        {"time": hours("time", [0, 1, 2]), "run": ("run", [1, 2], {"standard_name": "realization"})},
    )
    assert open_cube([path], member="2").shape[0] == 3


def ensemble(save, name="data.nc", labels=(0, 1, 2), steps=4, first=0):
    time = hours("time", 24.0 * np.arange(first, first + steps))
    sizes = {"time": steps, "number": len(labels)}
    return save(sizes, {"time": time, "number": ("number", list(labels))}, name)


def test_members_as_samples_follow_each_other_and_no_window_crosses(save):
    cube = open_cube([ensemble(save, steps=30)], member="all")
    assert cube.shape[0] == 90
    expected = np.arange(90).reshape(30, 3).T.ravel()
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], expected)
    np.testing.assert_array_equal(cube.fields.to_numpy()[:, 0, 0, 0], expected)
    assert cube.time.segments == cube.time.passes == ((0, 30), (30, 60), (60, 90))
    assert cube.time.step == "1 day"
    assert any("3 members are joined one after another (--member all): 0, 1, 2." in n for n in cube.notes)
    windows = plan_windows(cube.time.segments, window=24, stride=16, burn_in=8)
    assert all(w.start // 30 == (w.stop - 1) // 30 for w in windows)


def test_members_in_several_files_are_joined_each_in_time(save):
    paths = [
        ensemble(save, "a.nc", (0, 1), 3),
        ensemble(save, "b.nc", (0, 1, 2), 2, first=3),
        ensemble(save, "c.nc", (2,), 3),
    ]
    cube = open_cube(paths, member="all")
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [0, 2, 4, 0, 3, 1, 3, 5, 1, 4, 0, 1, 2, 2, 5])


@pytest.mark.parametrize("dims", [(), ("number",)], ids=["a scalar", "one point"])
def test_files_of_one_member_each_are_an_ensemble(save, dims):
    paths = []
    for number in (0, 1, 2):
        axes = {"time": hours("time", [0, 1, 2]), "number": (dims, [number] if dims else number)}
        paths.append(save({"time": 3} | dict.fromkeys(dims, 1), axes, f"{number}.nc"))
    paths[2] = save({"time": 4}, {"time": hours("time", [0, 1, 2, 3]), "number": ((), 2)}, "2.nc")
    cube = open_cube(paths, member="all")
    assert cube.time.passes == ((0, 3), (3, 6), (6, 9))
    assert open_cube(paths, member="2").shape[0] == 4
    with pytest.raises(InputError, match="no member 7"):
        open_cube(paths, member="7")


def test_ranges_of_an_ensemble_are_taken_of_every_member(save):
    path = ensemble(save, steps=20)
    cube = open_record([path], DataConfig(member="all", time_range="2001-01-03:2001-01-05"))
    assert cube.time.segments == ((0, 3), (3, 6), (6, 9))
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [6, 9, 12, 7, 10, 13, 8, 11, 14])
    smoothed = open_record([path], DataConfig(member="all", smooth=2))
    one = open_record([path], DataConfig(member="1", smooth=2))
    np.testing.assert_array_equal(whole(smoothed)[20:40], whole(one))


def test_all_members_of_a_record_without_any_are_the_record(write):
    assert open_cube([write()], member="all").time.passes == ((0, 6),)


def test_members_that_not_every_variable_has_are_dropped_and_told(save, tmp_path):
    first = ensemble(save, "a.nc", (0, 1, 2))
    with xr.open_dataset(ensemble(save, "b.nc", (1, 2, 3))) as ds:
        ds.rename(x="y").to_netcdf(tmp_path / "c.nc")
    cube = open_cube([first, tmp_path / "c.nc"], member="all")
    assert cube.shape[:2] == (8, 2)
    assert "Ensemble members are dropped because not every variable has them: 0, 3." in cube.notes
    with xr.open_dataset(ensemble(save, "d.nc", (7, 8))) as ds:
        ds.rename(x="y").to_netcdf(tmp_path / "e.nc")
    with pytest.raises(InputError, match="share no ensemble member"):
        open_cube([first, tmp_path / "e.nc"], member="all")


def test_a_variable_without_members_is_the_same_for_all(save, write):
    plain = write("plain.nc", {"sst": np.zeros((4, 3, 4), "f4")}, hours=np.arange(4) * 24.0)
    cube = open_cube([ensemble(save), plain], member="all")
    assert cube.shape[:2] == (12, 2)


# --- seasons, gaps, half days ---------------------------------------------------------------------


def test_a_record_of_winters_has_a_gap_each_summer(save):
    days = np.arange("1999-01-01", "2003-01-01", dtype="datetime64[D]")
    winter = np.flatnonzero(np.isin(days.astype("datetime64[M]").astype(int) % 12, [11, 0, 1]))
    cube = open_cube([save({"time": len(winter)}, {"time": ("time", days[winter].astype("datetime64[ns]"))})])
    lengths = [stop - start for start, stop in cube.time.segments]
    assert lengths == [59, 31 + 31 + 29, 90, 90, 31]
    windows = plan_windows(cube.time.segments, window=24, stride=16, burn_in=8)
    assert all(any(a <= w.start and w.stop <= b for a, b in cube.time.segments) for w in windows)


@given(
    step=st.sampled_from([1, 3, 6, 12, 24, 120]),
    calendar=st.sampled_from(["standard", "noleap", "360_day", "all_leap", "julian", "proleptic_gregorian"]),
    runs=st.lists(st.tuples(st.integers(2, 9), st.integers(2, 30)), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_gaps_are_found_whatever_step_calendar_and_order(tmp_path_factory, step, calendar, runs, seed):
    numbers, at, starts = [], 0, []
    for length, gap in runs:
        starts.append(len(numbers))
        numbers += range(at, at + length)
        at += length - 1 + gap
    order = np.random.default_rng(seed).permutation(len(numbers))
    time = (
        "time",
        np.array(numbers)[order] * float(step),
        {"units": "hours since 1999-12-27", "calendar": calendar},
    )
    fields = np.broadcast_to(
        np.arange(len(numbers), dtype=np.float32)[order, None, None], (len(numbers), 3, 4)
    )
    path = tmp_path_factory.mktemp("gaps") / "x.nc"
    xr.Dataset({"x": (("time", "lat", "lon"), fields)}, {"time": time, "lat": LAT, "lon": LON}).to_netcdf(
        path
    )
    cube = open_cube([path])
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], range(len(numbers)))
    assert cube.time.calendar == calendar
    assert [start for start, _ in cube.time.segments] == starts
    assert cube.time.irregular_steps == 0


def test_an_undated_axis_keeps_its_step_when_cut():
    axis = TimeAxis.from_values([0.0, 2.0, 4.0, 10.0, 12.0])
    assert (axis.step, axis.segments) == ("2 steps", ((0, 3), (3, 5)))
    assert axis.slice(1, 4).step == "2 steps"
    assert axis.after(1, 3).labels == ["4", "6", "8"]
    assert axis.irregular_steps == 0
