"""Steps that are stamped at the end of their interval."""

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.config import DataConfig
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import InputError

CALENDARS = ["standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]
NOTE = "stamped at the end of their interval"


def month_ends(calendar, months, start="2000-01-01"):
    """Days since the start at which months begin: one more than there are months."""
    units = f"days since {start}"
    first = cftime.num2date(0, units, calendar)
    starts = [
        cftime.datetime(first.year + m // 12, m % 12 + 1, 1, calendar=calendar) for m in range(months + 1)
    ]
    return np.array(cftime.date2num(starts, units, calendar), float), units


def save(
    path, edges, units, calendar="standard", at=1.0, attrs=None, bounds="time_bnds", named=True, **methods
):
    """Write steps whose value is their number, stamped at a share of their interval."""
    stamps = edges[:-1] + at * np.diff(edges)
    about = {"units": units, "calendar": calendar} | ({"bounds": bounds} if named else {})
    fields = np.broadcast_to(np.arange(len(stamps), dtype=np.float32)[:, None, None], (len(stamps), 3, 4))
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    xr.Dataset(
        {
            "x": (("time", "lat", "lon"), fields, {"units": "K"} | methods),
            bounds: (("time", "nbnd"), pairs, attrs),
        },
        {
            "time": ("time", stamps, about),
            "lat": ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"}),
        },
    ).to_netcdf(path)
    return path


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
@given(st.integers(3, 40))
def test_a_monthly_mean_is_of_its_month_wherever_it_is_stamped(tmp_path_factory, calendar, at, months):
    edges, units = month_ends(calendar, months)
    path = save(tmp_path_factory.mktemp("months") / "x.nc", edges, units, calendar, at)
    cube = open_cube([path])
    np.testing.assert_array_equal(cube.time.month, np.arange(months) % 12 + 1)
    assert (cube.time.step, cube.time.irregular_steps, len(cube.time.segments)) == ("1 month", 0, 1)
    assert any(NOTE in note for note in cube.notes) == (at == 1.0)


def test_winter_of_monthly_means_is_december_to_february(tmp_path):
    edges, units = month_ends("noleap", 24)
    path = save(tmp_path / "x.nc", edges, units, "noleap")
    winter = open_record([path], DataConfig(season="DJF"))
    np.testing.assert_array_equal(winter.read(0, 99)[:, 0, 0, 0], [0, 1, 11, 12, 13, 23])
    first_year = open_record([path], DataConfig(time_range="2000:2000"))
    np.testing.assert_array_equal(first_year.read(0, 99)[:, 0, 0, 0], range(12))


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_a_mean_that_ends_at_midnight_is_of_the_day_before(tmp_path, hours):
    edges = np.arange(0.0, 97.0, hours)
    time = open_cube([save(tmp_path / "x.nc", edges, "hours since 2001-12-29")]).time
    assert [label[:10] for label in time.labels][-1] == "2002-01-01"
    assert time.labels[0] == f"2001-12-29T{hours // 2:02d}:{30 * (hours % 2):02d}:00"
    assert time.step in ("1 hour", "6 hours", "1 day")


@pytest.mark.parametrize("spelling", ["time_bnds", "time_bounds", "time_bound"])
@pytest.mark.parametrize("attrs", [{}, {"units": "days since 1999-12-31"}])
def test_bounds_are_found_by_their_usual_names_and_may_have_their_own_units(tmp_path, spelling, attrs):
    edges = np.arange(6.0)
    path = save(tmp_path / "x.nc", edges, "days since 2000-01-01", bounds=spelling, named=False)
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    shift = 1.0 if attrs else 0.0
    ds[spelling] = ds[spelling] + shift
    ds[spelling].attrs = attrs
    ds.to_netcdf(path)
    assert open_cube([path]).time.labels[0] == "2000-01-01T12:00:00"


def test_instants_keep_their_stamps(tmp_path):
    path = save(
        tmp_path / "x.nc", np.arange(6.0), "days since 2000-01-01", cell_methods="area: mean time: point"
    )
    assert open_cube([path]).time.labels[0] == "2000-01-02"


def test_the_months_of_a_climatology_are_no_intervals(tmp_path):
    path = save(tmp_path / "x.nc", np.arange(6.0), "days since 2000-01-01", named=False)
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    ds.time.attrs["climatology"] = "time_bnds"
    ds.to_netcdf(path)
    assert open_cube([path]).time.labels[0] == "2000-01-02"


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([[5.0, 6.0]] * 5, "not intervals around the stamps"),
        ([[1.0, 0.0]] * 5, "not intervals around the stamps"),
        ([[0.0, stop] for stop in (1.0, 2, 3, 4, 5)], "overlap"),
        ([[np.nan, np.nan]] * 5, "not intervals around the stamps"),
    ],
)
def test_bounds_that_are_no_intervals_are_not_heeded_and_told(tmp_path, pairs, told):
    """Sums since the start of a forecast are nested, for example."""
    path = save(tmp_path / "x.nc", np.arange(6.0), "days since 2000-01-01")
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    ds["time_bnds"] = (("time", "nbnd"), np.array(pairs))
    ds.to_netcdf(path)
    cube = open_cube([path])
    assert cube.time.labels[0] == "2000-01-02"
    assert any(told in note for note in cube.notes)


def test_a_first_instant_among_means_keeps_its_stamp(tmp_path):
    """CESM writes the initial state as a first step of no length."""
    path = save(tmp_path / "x.nc", np.array([0.0, 0.0, 1, 2, 3, 4]), "days since 2000-01-01")
    assert open_cube([path]).time.labels[:2] == ["2000-01-01T00:00:00", "2000-01-01T12:00:00"]


def test_files_stamped_at_either_place_of_their_interval_are_one_record(tmp_path):
    edges, units = month_ends("noleap", 24)
    paths = [
        save(tmp_path / "a.nc", edges[:13], units, "noleap", at=1.0),
        save(tmp_path / "b.nc", edges[12:], units, "noleap", at=0.5),
    ]
    time = open_cube(paths).time
    np.testing.assert_array_equal(time.month, np.arange(24) % 12 + 1)


def test_a_mean_and_an_instant_at_its_end_are_not_the_same_time(tmp_path):
    edges = np.arange(6.0)
    path = save(tmp_path / "a.nc", edges, "days since 2000-01-01")
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    ds["y"] = ds.x.assign_attrs(cell_methods="time: point")
    ds.to_netcdf(path)
    with pytest.raises(
        InputError, match=r"share no time step \(x begins at 2000-01-01T12:00:00, y begins at 2000-01-02"
    ):
        open_cube([path])


def test_a_damaged_last_interval_of_a_record_that_was_cut_short_is_left_out_with_its_step(tmp_path):
    path = save(tmp_path / "a.nc", np.arange(7.0), "days since 2000-01-01")
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    ds["time"] = ds.time.copy(data=[*ds.time.values[:-1], np.nan])
    ds["time_bnds"][-1] = np.nan
    ds.to_netcdf(path)
    assert open_cube([path]).time.labels == [f"2000-01-{day:02d}T12:00:00" for day in range(1, 6)]


@pytest.mark.parametrize("damage", ["repeated", "zeros", "fill", "reversed", "all reversed"])
def test_a_damaged_interval_among_months_that_end_at_their_stamps_moves_none_of_them(tmp_path, damage):
    edges, units = month_ends("noleap", 24)
    path = save(tmp_path / "x.nc", edges, units, "noleap")
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    pairs = ds.time_bnds.values
    odd = slice(None) if damage == "all reversed" else slice(7, 8)
    changed = {"repeated": pairs[6:7], "zeros": 0.0, "fill": 9.96921e36}
    pairs[odd] = changed[damage] if damage in changed else pairs[odd, ::-1]
    ds.to_netcdf(path)
    cube = open_cube([path])
    assert cube.time.month.tolist() == [*range(1, 13)] * 2
    repaired = any("1 of the intervals do not contain their stamps" in note for note in cube.notes)
    assert repaired == (damage in changed)


def days_in_two_files(tmp_path, step, **second):
    """Thirty steps with bounds, stamped at the end of them, and thirty that go on."""
    edges = np.arange(61) * step
    one = save(tmp_path / "a.nc", edges[:31], "days since 2001-01-01")
    two = save(tmp_path / "b.nc", edges[30:], "days since 2001-01-01", **{"at": 1.0, **second})
    if not second.get("named", True):
        with xr.open_dataset(two, decode_times=False) as file:
            file = file.load().drop_vars("time_bnds")
        file.to_netcdf(two)
    return [one, two]


@pytest.mark.parametrize("step", [1.0, 0.125])
def test_files_of_which_some_tell_that_stamps_are_ends_are_refused(tmp_path, step):
    paths = days_in_two_files(tmp_path, step, named=False)
    for order in (paths, paths[::-1]):
        with pytest.raises(
            InputError, match=r"end of its intervals in .*a\.nc.*b\.nc, which has no such bounds"
        ):
            open_cube(order)


@pytest.mark.parametrize("at", [0.5, 1.0])
@pytest.mark.parametrize("named", [True, False])
def test_files_that_come_out_in_the_same_place_are_joined(tmp_path, at, named):
    if at == 1.0 and not named:
        pytest.skip("refused above")
    cube = open_cube(days_in_two_files(tmp_path, 1.0, at=at, named=named))
    assert (cube.time.irregular_steps, len(cube.time.segments)) == (0, 1)
    assert not any("another place" in note for note in cube.notes)


def test_files_of_instants_at_other_hours_are_told(tmp_path):
    noon = np.arange(30) + 0.5
    one = save(tmp_path / "a.nc", np.arange(31.0), "days since 2001-01-01", at=0.0, named=False, bounds="b")
    two = save(tmp_path / "b.nc", np.append(noon, 30.5) + 30, "days since 2001-01-01", at=0.0, bounds="b")
    (told,) = (note for note in open_cube([one, two]).notes if "another place" in note)
    assert "another place in its 1 day in " in told
    assert "b.nc (2001-01-31T12:00:00, ...)" in told
