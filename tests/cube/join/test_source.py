import gc
import threading
import zipfile
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError, UsageError


def ramp(t, h, w, start=0.0):
    t, y, x = np.meshgrid(np.arange(t), np.arange(h), np.arange(w), indexing="ij")
    return (start + 100 * t + 10 * y + x).astype(np.float32)


def names(cube):
    return [channel.name for channel in cube.channels]


def whole(cube):
    return cube.read(0, cube.shape[0])


def rewrite(path: Path, change) -> Path:
    """Open a file with xarray, change the data set, and write it under another name."""
    with xr.open_dataset(path, decode_times=False) as ds:
        changed = change(ds.load())
    changed.encoding.clear()
    changed.to_netcdf(path.with_name("changed.nc"))
    return path.with_name("changed.nc")


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
)
def test_every_netcdf_format_gives_the_same_cube(write, format):
    cube = open_cube([write(format=format)])
    assert cube.shape == (6, 1, 3, 4)
    assert names(cube) == ["x"]
    assert cube.channels[0].units == "K"
    assert cube.time.step == "1 day"
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4))


def test_groups_of_a_file_are_looked_into(tmp_path):
    """As of IMERG, with its dimensions in the group, and of files whose groups use the root's."""
    path = tmp_path / "groups.h5"
    with netCDF4.Dataset(path, "w") as file:
        grid = file.createGroup("Grid")
        for group, name in ((file, "x"), (grid, "precipitation")):
            for dim, values, units in (
                ("time", np.arange(4), "days since 2001-01-01"),
                ("lon", [0, 10, 20], "degrees_east"),
                ("lat", [-10, 10], "degrees_north"),
            ):
                group.createDimension(dim, len(values))
                group.createVariable(dim, "f8", (dim,))[:] = values
                group[dim].units = units
            group.createVariable(name, "f4", ("time", "lon", "lat"))[:] = ramp(4, 3, 2)
        file.createGroup("inner/most").createVariable("y", "f4", ("time", "lon", "lat"))[:] = 1
    cube = open_cube([path])
    assert names(cube) == ["x", "precipitation", "y"]
    np.testing.assert_array_equal(whole(cube)[:, 1], ramp(4, 3, 2).swapaxes(1, 2))
    assert (whole(cube)[:, 2] == 1).all()


def test_nothing_but_coordinates_is_read_on_opening(write, monkeypatch):
    read, original = [], NetCDF4ArrayWrapper.__getitem__

    def watched(self, key):
        read.append(self.variable_name)
        return original(self, key)

    path = write()
    monkeypatch.setattr(NetCDF4ArrayWrapper, "__getitem__", watched)
    cube = open_cube([path])
    assert cube.fields.chunks is not None
    assert set(read) == {"time", "lat", "lon"}
    whole(cube)
    assert "x" in read


@pytest.mark.parametrize("north_first", [True, False])
@pytest.mark.parametrize("low", [0, -180])
@pytest.mark.parametrize("dims", [("time", "lat", "lon"), ("lon", "time", "lat"), ("lat", "lon", "time")])
def test_fields_are_canonical_and_go_back_to_file_order(write, north_first, low, dims):
    lon = np.sort((np.arange(0, 360, 45) - low) % 360 + low)
    lat = np.array([60.0, 20.0, -20.0]) if north_first else np.array([-20.0, 20.0, 60.0])
    values = (1000 * lat[:, None] + lon % 360)[None] + np.arange(4)[:, None, None]
    path = rewrite(
        write(variables={"x": values.astype(np.float32)}, lat=lat, lon=lon), lambda ds: ds.transpose(*dims)
    )
    cube = open_cube([path])
    expected = 1000 * np.array([-20, 20, 60])[:, None] + np.arange(0, 360, 45) + np.arange(4)[:, None, None]
    np.testing.assert_array_equal(whole(cube)[:, 0], expected)
    np.testing.assert_array_equal(cube.grid.to_file_order(whole(cube)[:, 0]), values)
    assert cube.grid.periodic


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 9.969209968386869e36, -1e31, 1e20], ids=str)
def test_declared_and_undeclared_fill_is_missing(write, value):
    values = ramp(4, 3, 4).astype(np.float64)
    values[1, 2, 3] = value
    path = write(variables={"x": values}, fill_value=1e20 if value == 1e20 else None)
    read = whole(open_cube([path]))
    assert np.isnan(read[1, 0, 2, 3])
    assert np.isnan(read).sum() == 1


def test_doubles_beyond_single_precision_are_missing(write):
    values = ramp(4, 3, 4).astype(np.float64)
    values[0, 0, 0] = 1e300
    assert np.isnan(whole(open_cube([write(variables={"x": values})]))[0, 0, 0, 0])


def test_large_values_that_are_no_fill_are_kept(write):
    values = ramp(4, 3, 4).astype(np.float32)
    values[0, 0, 0] = 1e29
    assert whole(open_cube([write(variables={"x": values})]))[0, 0, 0, 0] == np.float32(1e29)


def test_packed_integers_come_as_single_precision(write):
    packed = np.arange(4 * 12, dtype=np.int16).reshape(4, 3, 4)
    packed[2, 0, 1] = -32768

    def edit(file):
        file["x"].scale_factor, file["x"].add_offset = 0.01, 273.15

    cube = open_cube([write(variables={"x": packed}, fill_value=-32768, edit=edit)])
    read = whole(cube)[:, 0]
    assert read.dtype == np.float32
    assert np.isnan(read[2, 0, 1])
    np.testing.assert_allclose(read[0], packed[0] * 0.01 + 273.15, rtol=1e-6)


def test_names_of_coordinates_do_not_matter(write):
    def change(ds):
        return ds.rename(lat="j", lon="i", time="when")

    cube = open_cube([rewrite(write(), change)])
    assert (cube.grid.y_name, cube.grid.x_name) == ("j", "i")
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4))


def test_attributes_come_before_names(write):
    def change(ds):
        ds = ds.rename(lat="lon", lon="lat")
        ds["lon"].attrs["standard_name"], ds["lat"].attrs["standard_name"] = "latitude", "longitude"
        return ds

    cube = open_cube([rewrite(write(), change)])
    assert (cube.grid.y_name, cube.grid.x_name) == ("lon", "lat")


def test_names_are_enough_where_there_is_nothing_else(write):
    def change(ds):
        for name in ("lat", "lon"):
            ds[name].attrs.clear()
        return ds.rename(lat="latitude", lon="nav_lon")

    assert open_cube([rewrite(write(), change)]).shape == (6, 1, 3, 4)


def test_an_auxiliary_time_is_not_mistaken_for_time(write):
    def edit(file):
        start = file.createVariable("forecast_reference_time", "f8", ("time",))
        start[:] = 0
        start.units, start.standard_name = "hours since 1999-01-01", "forecast_reference_time"
        file["x"].coordinates = "forecast_reference_time"

    cube = open_cube([write(edit=edit)])
    assert cube.time.labels[0] == "2001-01-01"
    assert names(cube) == ["x"]


def test_an_axis_marked_as_time_without_stamps_gives_way_to_the_stamps(write):
    def change(ds):
        ds = ds.assign_coords(time_centered=("time", ds["time"].to_numpy(), ds["time"].attrs))
        ds["time"].attrs = {"axis": "T"}
        return ds

    assert open_cube([rewrite(write(), change)]).time.labels[0] == "2001-01-01"


def test_two_dimensional_coordinates_are_kept(write):
    def change(ds):
        lat, lon = np.meshgrid(ds["lat"] * 1.1 + 3, ds["lon"], indexing="ij")
        lat = lat + 0.1 * lon
        ds = ds.drop_vars(["lat", "lon"]).rename(lat="y", lon="x_")
        ds["nav_lat"] = ("y", "x_"), lat, {"units": "degrees_north"}
        ds["nav_lon"] = ("y", "x_"), lon, {"units": "degrees_east"}
        return ds

    cube = open_cube([rewrite(write(), change)])
    assert not cube.grid.regular
    assert cube.grid.shape == (3, 4)
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4))
    assert "nav_lat" not in cube.left_out


def test_what_is_no_field_is_left_out_with_its_reason(write):
    def edit(file):
        file.createDimension("bnds", 2)
        file["time"].bounds = "time_bnds"
        file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = 0
        file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        file["x"].grid_mapping = "crs"
        file.createVariable("index", "f4", ("time",))[:] = 0
        file.createVariable("orography", "f4", ("lat", "lon"))[:] = 0
        file.createVariable("name", "S1", ("time", "lat", "lon"))[:] = b"a"
        file.createDimension("band", 3)
        file.createVariable("spectrum", "f4", ("time", "band", "lat", "lon"))[:] = 0

    cube = open_cube([write(edit=edit)])
    assert names(cube) == ["x"]
    reasons = {
        "time_bnds": "cell bounds",
        "index": "no horizontal grid",
        "orography": "no time axis",
        "name": "not numeric",
        "spectrum": "a further dimension band of 3",
    }
    assert {name: cube.left_out[name][: len(why)] for name, why in reasons.items()} == reasons


def test_dimensions_of_one_point_are_dropped_and_told(write):
    cube = open_cube([rewrite(write(), lambda ds: ds.expand_dims(["height", "number"], axis=(1, 2)))])
    assert cube.shape == (6, 1, 3, 4)
    assert "Dimensions of one point are dropped: height, number." in cube.notes


def test_final_and_preliminary_data_are_merged_and_told(write):
    def change(ds):
        first, second = ds["x"].where(ds["time"] < 80), ds["x"].where(ds["time"] >= 80)
        both = xr.concat([first, second], "expver").transpose("time", "expver", "lat", "lon")
        return ds.assign(x=both.assign_attrs(units="K")).assign_coords(expver=[1, 5])

    cube = open_cube([rewrite(write(), change)])
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4))
    assert any("expver is merged" in note for note in cube.notes)


def test_fill_that_nothing_declares_does_not_hide_preliminary_data(write):
    def change(ds):
        first = ds["x"].where(ds["time"] < 80, 1e20)
        both = xr.concat([first, ds["x"]], "expver").transpose("time", "expver", "lat", "lon")
        return ds.assign(x=both.assign_attrs(units="K")).assign_coords(expver=[1, 5])

    np.testing.assert_array_equal(whole(open_cube([rewrite(write(), change)]))[:, 0], ramp(6, 3, 4))


@pytest.mark.parametrize("units", ["kPa", "hectopascals", "mb"])
def test_a_single_level_in_any_unit_of_pressure_is_named(write, units):
    assert names(open_cube([on_levels(write, "a.nc", [500], units)], variables=["z"])) == ["z500"]


@pytest.mark.parametrize("versions", [["0001"] * 4 + ["0005"] * 2, np.array([1, 1, 1, 1, 5, 5], "i4")])
def test_steps_of_preliminary_data_are_told(write, versions):
    def edit(file):
        kind = str if isinstance(versions, list) else "i4"
        file.createVariable("expver", kind, ("time",))[:] = np.array(versions)

    assert "2 of 6 steps are preliminary data (expver 0005)." in open_cube([write(edit=edit)]).notes


def test_levels_of_one_variable_do_not_outnumber_the_variables_of_another_grid(write):
    """As WRF's U beside T2 and U10."""

    def edit(file):
        file.createDimension("lat2", 2)
        file.createDimension("level", 3)
        for name, values in (("lat2", [0, 1]), ("level", [500, 700, 850])):
            file.createVariable(name, "f8", (name,))[:] = values
        file["lat2"].units, file["level"].units = "degrees_north", "hPa"
        file.createVariable("u", "f4", ("time", "level", "lat2", "lon"))[:] = 0
        file.createVariable("y", "f4", ("time", "lat", "lon"))[:] = 0

    assert names(open_cube([write(edit=edit)])) == ["x", "y"]


def test_variables_on_another_grid_are_left_out(write):
    def edit(file):
        file.createDimension("lat2", 2)
        file.createVariable("lat2", "f8", ("lat2",))[:] = [0, 1]
        file["lat2"].units = "degrees_north"
        file.createVariable("coarse", "f4", ("time", "lat2", "lon"))[:] = 0
        file.createVariable("y", "f4", ("time", "lat", "lon"))[:] = 0

    path = write(edit=edit)
    cube = open_cube([path])
    assert names(cube) == ["x", "y"]
    assert cube.left_out["coarse"] == "on a different grid (2 x 4) from x (3 x 4)"
    assert open_cube([path], variables=["coarse"]).shape == (6, 1, 2, 4)
    with pytest.raises(InputError, match="coarse is on a different grid"):
        open_cube([path], variables=["x", "y", "coarse"])


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "julian"])
def test_calendars_are_kept(write, calendar):
    cube = open_cube([write(units="days since 2000-02-27", hours=np.arange(6), calendar=calendar)])
    assert cube.time.calendar == calendar
    assert cube.time.step == "1 day"


def test_years_beyond_nanoseconds_are_read(write):
    cube = open_cube([write(units="days since 9000-01-01", hours=np.arange(6))])
    assert cube.time.labels[0] == "9000-01-01"


def test_unsorted_time_is_sorted_and_told(write):
    order = np.array([3, 0, 5, 1, 4, 2])
    path = write(variables={"x": ramp(6, 3, 4)[order]}, hours=order * 24.0)
    cube = open_cube([path])
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4))
    np.testing.assert_array_equal(cube.fields.to_numpy()[:, 0], ramp(6, 3, 4))
    assert any("are sorted" in note for note in cube.notes)


def test_irregular_steps_are_told(write):
    cube = open_cube([write(hours=[0, 24, 48, 80, 104, 128.0])])
    assert "1 time steps differ from the usual 1 day." in cube.notes


def in_other_units(units, **attributes):
    return lambda file: file["x"].setncatts({"units": units, **attributes})


def test_files_in_other_units_of_one_quantity_are_read_in_those_of_the_first(write):
    celsius = ramp(6, 3, 4, 100) - np.float32(273.15)
    later = write("b.nc", {"x": celsius}, hours=np.arange(6) * 24.0 + 144, edit=in_other_units("degrees C"))
    cube = open_cube([write("a.nc"), later])
    np.testing.assert_allclose(whole(cube)[6:, 0], ramp(6, 3, 4, 100), atol=1e-4)
    np.testing.assert_array_equal(whole(cube)[:6, 0], ramp(6, 3, 4))
    note = next(note for note in cube.notes if "converted" in note)
    assert note.endswith(f"b.nc: x is converted from degrees C to K, as in {cube.sources[0]}.")


def test_points_to_be_regridded_are_converted_too(write):
    def points(path):
        flat = rewrite(path, lambda ds: ds.stack(cell=("lat", "lon")).reset_index("cell"))
        return flat.rename(path.with_name(f"points_{path.name}"))

    first, other = (
        points(write(f"{units}.nc", {"x": ramp(6, 3, 4)}, hours=24.0 * (6 * i + np.arange(6)), edit=edit))
        for i, (units, edit) in enumerate([("K", None), ("mine", in_other_units("degC"))])
    )
    fields = open_cube([first, other], regrid=10.0).read(0, 12)[:, 0]
    np.testing.assert_allclose(fields[6:] - 273.15, fields[:6], atol=1e-3)


def test_spellings_of_one_unit_are_the_same_among_files(write):
    hours = np.arange(6) * 24.0 + 144
    first = write("a.nc", edit=in_other_units("kg m**-2 s**-1"))
    cube = open_cube([first, write("b.nc", hours=hours, edit=in_other_units("kg m-2 s-1"))])
    assert cube.channels[0].units == "kg m**-2 s**-1"
    np.testing.assert_array_equal(whole(cube)[6:, 0], ramp(6, 3, 4))
    assert not any("converted" in note for note in cube.notes)


def test_an_overlap_in_other_units_holds_the_same_values(write):
    celsius = ramp(6, 3, 4) - np.float32(273.15)
    cube = open_cube([write("a.nc"), write("b.nc", {"x": celsius}, edit=in_other_units("degC"))])
    assert any("the same times and values" in note and "is skipped" in note for note in cube.notes)


def test_anomalies_and_the_quantity_itself_do_not_make_one_record(write):
    later = write(
        "b.nc",
        hours=np.arange(6) * 24.0 + 144,
        edit=in_other_units("K", units_metadata="temperature: difference"),
    )
    with pytest.raises(InputError, match=r"x holds anomalies or differences in .*b\.nc but full values"):
        open_cube([write("a.nc"), later])


# --- what to take ---------------------------------------------------------------------------------


@pytest.fixture
def levels_file(write):
    def edit(file):
        file.createDimension("plev", 3)
        level = file.createVariable("plev", "f8", ("plev",))
        level[:], level.units, level.standard_name = [850, 500, 250], "hPa", "air_pressure"
        for number, name in enumerate(("z", "t")):
            values = ramp(6, 3, 4)[:, None] + 10000 * np.arange(3)[:, None, None] + number * 1e5
            file.createVariable(name, "f4", ("time", "plev", "lat", "lon"))[:] = values

    return write(edit=edit)


def test_levels_become_channels(levels_file):
    cube = open_cube([levels_file])
    assert names(cube) == ["x", "z850", "z500", "z250", "t850", "t500", "t250"]
    assert cube.channels[2].level == 500
    assert cube.channels[2].level_units == "hPa"
    np.testing.assert_array_equal(whole(cube)[:, 2], ramp(6, 3, 4) + 10000)


def on_levels(write, name, levels, units, day=0):
    def edit(file):
        file.createDimension("plev", len(levels))
        level = file.createVariable("plev", "f4", ("plev",))
        level[:], level.units, level.standard_name = levels, units, "air_pressure"
        values = ramp(6, 3, 4, day)[:, None] + 10000 * np.arange(len(levels))[:, None, None]
        file.createVariable("z", "f4", ("time", "plev", "lat", "lon"))[:] = values

    return write(name, edit=edit, hours=24.0 * (day + np.arange(6)))


@pytest.mark.parametrize(
    ("units", "levels"),
    [("Pa", [92500, 50000]), ("hPa", [925, 500]), ("mb", [925, 500]), ("kPa", [92.5, 50])],
)
def test_levels_in_other_units_are_the_same_levels_in_the_next_file(write, units, levels):
    first = on_levels(write, "a.nc", [925, 500], "hPa")
    cube = open_cube([first, on_levels(write, "b.nc", levels, units, day=6)], variables=["z"])
    assert names(cube) == ["z925", "z500"]
    assert [channel.level for channel in cube.channels] == [925, 500]
    np.testing.assert_array_equal(whole(cube)[6:, 1], ramp(6, 3, 4, 6) + 10000)
    told = f"b.nc: levels of z are converted from {units} to hPa."
    assert any(note.endswith(told) for note in cube.notes) == (units in ("Pa", "kPa"))


def test_levels_can_be_asked_for_in_the_units_of_a_training(write):
    path = on_levels(write, "a.nc", [92500, 50000], "Pa")
    assert names(open_cube([path], variables=["z"])) == ["z92500", "z50000"]
    assert names(open_cube([path], levels=[500], level_units=["m", "hPa"])) == ["x", "z500"]


@pytest.mark.parametrize(
    ("variables", "levels", "expected"),
    [
        (["t", "x"], None, ["t850", "t500", "t250", "x"]),
        (["z"], [250, 850], ["z250", "z850"]),
        (None, [500], ["x", "z500", "t500"]),
        (["t250", "z500"], None, ["t250", "z500"]),
        (["T=t"], [500], ["T500"]),
        (["geopotential=z500"], None, ["geopotential"]),
        (["air=x"], None, ["air"]),
    ],
)
def test_variables_and_levels_choose_channels_in_their_order(levels_file, variables, levels, expected):
    cube = open_cube([levels_file], variables=variables, levels=levels)
    assert names(cube) == expected
    assert len(cube.left_out) >= (7 - len(expected))


def test_a_renamed_channel_holds_the_files_variable(levels_file):
    cube = open_cube([levels_file], variables=["a=z500", "b=x"])
    np.testing.assert_array_equal(whole(cube)[:, 0] - 10000, whole(cube)[:, 1])


def test_an_unknown_variable_names_those_there_and_the_nearest(levels_file):
    with pytest.raises(InputError, match=r"no variable 'z50'.*variables are x, z, t.*Write z[58]50,"):
        open_cube([levels_file], variables=["z50"])


def test_an_unknown_level_names_those_there(levels_file, write):
    with pytest.raises(InputError, match=r"no level 700. Available levels are 250, 500, 850"):
        open_cube([levels_file], levels=[700])
    with pytest.raises(InputError, match="No variable has levels"):
        open_cube([write("plain.nc")], levels=[700])


def test_a_channel_asked_for_twice_is_refused(levels_file):
    with pytest.raises(UsageError, match="selects channel z500 twice"):
        open_cube([levels_file], variables=["z", "z500"])


def test_a_variable_that_cannot_be_taken_says_why_when_asked_for(write):
    path = write(variables={"x": ramp(6, 3, 4), "land": ramp(1, 3, 4)[0]})
    with pytest.raises(InputError, match=r"land has no time axis \(dimensions lat, lon\)"):
        open_cube([path], variables=["land"])


def test_one_pressure_level_is_named_and_one_height_is_not(write):
    def on(level, units, name):
        return rewrite(
            write(),
            lambda ds: ds.expand_dims({name: [level]}, 1).assign_coords(
                {name: (name, [level], {"units": units})}
            ),
        )

    assert names(open_cube([on(500.0, "hPa", "level")])) == ["x500"]
    assert names(open_cube([on(2.0, "m", "height")])) == ["x"]


def test_a_scalar_pressure_that_the_variable_names_is_its_level(write):
    def change(ds):
        return ds.assign_coords(plev=((), 50000.0, {"units": "Pa", "standard_name": "air_pressure"}))

    assert names(open_cube([rewrite(write(), change)])) == ["x50000"]


def test_the_time_coordinate_can_be_named(write):
    def change(ds):
        ds["start"] = ("time", ds["time"].to_numpy() - 240.0, dict(ds["time"].attrs))
        return ds.drop_vars("time")

    def both(ds):
        return change(ds).assign_coords(end=("time", ds["time"].to_numpy() + 240.0, dict(ds["time"].attrs)))

    path = rewrite(write(), both)
    assert open_cube([path], time_dim="end").time.labels[0] == "2001-01-11"
    assert open_cube([path], time_dim="start").time.labels[0] == "2000-12-22"
    with pytest.raises(InputError, match=r"no time coordinate 'begin'.*Pass one of these to --time-dim"):
        open_cube([path], time_dim="begin")


# --- several files --------------------------------------------------------------------------------


@given(st.data())
@pytest.mark.slow
def test_any_split_of_a_record_over_files_gives_the_same_cube(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("split")
    cuts = sorted(data.draw(st.sets(st.integers(1, 11), max_size=4)))
    chunk = data.draw(st.sampled_from([1, 2, 5]))
    values = ramp(12, 3, 4)
    ds = xr.Dataset(
        {"x": (("time", "lat", "lon"), values)},
        {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(6, "h"),
            "lat": [10.0, 0.0, -10.0],
            "lon": [0.0, 10.0, 20.0, 350.0],
        },
    )
    paths = []
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, 12], strict=True)):
        part = ds.isel(time=slice(start, stop))
        part = part.isel(lat=slice(None, None, -1)) if data.draw(st.booleans()) else part
        paths.append(folder / f"{number}.nc")
        steps = min(chunk, stop - start)
        part.to_netcdf(paths[-1], encoding={"x": {"chunksizes": (steps, 3, 4)}})
    cube = open_cube(data.draw(st.permutations(paths)))
    expected = np.roll(values[:, ::-1], 1, axis=-1)
    np.testing.assert_array_equal(whole(cube)[:, 0], expected)
    np.testing.assert_array_equal(cube.fields.to_numpy()[:, 0], expected)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 12), st.integers(0, 12))))
    np.testing.assert_array_equal(cube.read(start, stop)[:, 0], expected[start:stop])
    np.testing.assert_array_equal(cube.slice(start, stop).read(0, 99)[:, 0], expected[start:stop])
    np.testing.assert_array_equal(cube.slice(start, stop).fields.to_numpy()[:, 0], expected[start:stop])


def test_different_variables_of_several_files_are_merged(write):
    paths = [write(f"{name}.nc", {name: ramp(6, 3, 4, start)}) for name, start in (("a", 0), ("b", 1e4))]
    cube = open_cube(paths)
    assert names(cube) == ["a", "b"]
    np.testing.assert_array_equal(whole(cube)[:, 1], ramp(6, 3, 4, 1e4))
    assert cube.sources == tuple(map(str, paths))


def test_steps_that_not_every_variable_has_are_dropped_and_told(write):
    paths = [
        write("a.nc", {"a": ramp(6, 3, 4)}),
        write("b.nc", {"b": ramp(6, 3, 4)}, hours=np.arange(2, 8) * 24.0),
    ]
    cube = open_cube(paths)
    assert cube.shape[0] == 4
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(6, 3, 4)[2:])
    np.testing.assert_array_equal(whole(cube)[:, 1], ramp(6, 3, 4)[:4])
    assert "4 of 8 time steps are dropped, because not every variable has them." in cube.notes


def test_variables_without_a_common_step_are_refused(write):
    paths = [
        write("a.nc", {"a": ramp(6, 3, 4)}),
        write("b.nc", {"b": ramp(6, 3, 4)}, units="hours since 1950-01-01"),
    ]
    with pytest.raises(InputError, match="the variables share no time step"):
        open_cube(paths)


def test_the_same_variable_at_the_same_times_names_both_files(write):
    with pytest.raises(
        InputError, match=r"a\.nc and .*b\.nc both hold x at the same times, but with different values"
    ):
        open_cube([write("a.nc"), write("b.nc", {"x": ramp(6, 3, 4, 1.0)})])


def test_a_file_that_says_the_same_again_is_left_out_and_told(write):
    cube = open_cube([write("a.nc"), write("b.nc")])
    assert cube.shape[0] == 6
    assert any("b.nc is skipped for x: it has the same times and values as" in note for note in cube.notes)


def test_a_file_within_another_is_left_out_where_it_says_the_same(write):
    inner = write("b.nc", {"x": ramp(6, 3, 4)[2:5]}, hours=[48.0, 72.0, 96.0])
    assert any("b.nc is skipped for x" in note for note in open_cube([write("a.nc"), inner]).notes)
    other = write("c.nc", {"x": ramp(3, 3, 4)}, hours=[48.0, 72.0, 96.0])
    with pytest.raises(InputError, match=r"a\.nc and .*c\.nc both hold x"):
        open_cube([write("a.nc"), other])


def test_a_file_within_the_union_of_others_is_no_new_record(write):
    paths = [
        write("a.nc"),
        write("b.nc", {"x": ramp(6, 3, 4)}, hours=np.arange(6, 12) * 24.0),
        write("c.nc", {"x": ramp(6, 3, 4)[[3, 4, 5, 0, 1, 2]]}, hours=np.arange(3, 9) * 24.0),
    ]
    cube = open_cube(paths)
    assert cube.shape[0] == 12
    assert sum("c.nc is skipped for x" in note for note in cube.notes) == 2
    paths[2] = write("d.nc", {"x": ramp(6, 3, 4, 1.0)}, hours=np.arange(3, 9) * 24.0)
    with pytest.raises(InputError, match=r"[ab]\.nc and .*d\.nc both hold x"):
        open_cube(paths)


def test_a_step_that_is_there_twice_with_the_same_values_is_read_once(write):
    order = np.array([0, 1, 1, 2, 3, 3, 3, 4])
    path = write(variables={"x": ramp(6, 3, 4)[order]}, hours=order * 24.0)
    cube = open_cube([path])
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(5, 3, 4))
    assert any("3 duplicate time steps are skipped; the values are the same" in n for n in cube.notes)


@given(st.data())
def test_any_overlapping_split_of_a_record_gives_it_back(tmp_path_factory, data):
    """Whatever the order, the overlap, the chunks and the calendar."""
    folder = tmp_path_factory.mktemp("overlap")
    calendar = data.draw(st.sampled_from(["standard", "noleap", "360_day", "all_leap", "julian"]))
    runs = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(2, 6)), min_size=1, max_size=4))
    covered = sorted({step for start, length in runs for step in range(start, start + length)})
    paths = []
    for number, (start, length) in enumerate(runs):
        steps = data.draw(st.permutations(range(start, start + length)))
        time = ("time", np.array(steps, float), {"units": "days since 2000-02-26", "calendar": calendar})
        values = ramp(20, 3, 4)[steps]
        ds = xr.Dataset(
            {"x": (("time", "lat", "lon"), values, {"units": "K"})},
            {"time": time, "lat": [-10.0, 0.0, 10.0], "lon": [0.0, 10.0, 20.0, 30.0]},
        )
        chunk = data.draw(st.integers(1, length))
        ds.to_netcdf(folder / f"{number}.nc", encoding={"x": {"chunksizes": (chunk, 3, 4)}})
        paths.append(folder / f"{number}.nc")
    cube = open_cube(data.draw(st.permutations(paths)))
    np.testing.assert_array_equal(whole(cube)[:, 0], ramp(20, 3, 4)[covered])
    assert cube.time.calendar == calendar


def test_an_overlap_is_taken_from_the_first_file_and_told(write):
    paths = [write("a.nc"), write("b.nc", {"x": ramp(6, 3, 4, 420.0)}, hours=np.arange(4, 10) * 24.0)]
    cube = open_cube(paths)
    assert cube.shape[0] == 10
    assert whole(cube)[5, 0, 0, 0] == 500
    assert whole(cube)[6, 0, 0, 0] == 620
    told = (
        "2 time steps of x are also in files named before it and are read from those; the values differ "
        "(by 20, while the record varies by 100)."
    )
    assert any(told in note for note in cube.notes)


def test_one_step_per_file_makes_a_record(write):
    paths = [write(f"{i}.nc", {"x": ramp(1, 3, 4, i)}, hours=[24.0 * i]) for i in range(3)]
    assert open_cube(paths).shape == (3, 1, 3, 4)


def test_scalar_times_of_files_make_a_record(write):
    paths = []
    for i in range(3):
        path = write(f"{i}.nc", {"x": ramp(1, 3, 4, i)}, hours=[24.0 * i])
        paths.append(rewrite(path, lambda ds: ds.squeeze("time")).rename(path.with_name(f"s{i}.nc")))
    cube = open_cube(paths)
    np.testing.assert_array_equal(whole(cube)[:, 0, 0, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat": (-10.0, 0.0, 11.0)}, "is on a different grid from that in"),
        ({"calendar": "noleap"}, "All files must have the same calendar"),
        ({"edit": lambda file: file["x"].setncattr("units", "Pa")}, "has units 'K' in .* but 'Pa' in"),
    ],
)
def test_files_that_contradict_each_other_are_refused(write, change, message):
    with pytest.raises(InputError, match=message):
        open_cube([write("a.nc"), write("b.nc", hours=np.arange(6) * 24.0 + 240, **change)])


def test_standard_and_proleptic_calendars_go_together(write):
    other = write("b.nc", hours=np.arange(6) * 24.0 + 144, calendar="proleptic_gregorian")
    assert open_cube([write("a.nc"), other]).shape[0] == 12


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 4, 7, 30])
def test_blocks_cover_the_record_in_whole_chunks_within_the_limit(write, chunk):
    path = write(variables={"x": ramp(30, 3, 4)}, chunksizes=(chunk, 3, 4))
    cube = open_cube([path])
    assert cube.file_chunk_steps == chunk
    blocks = list(cube.blocks(max_bytes=10 * 48))
    assert blocks[0][0] == 0
    assert blocks[-1][1] == 30
    assert all(a[1] == b[0] for a, b in pairwise(blocks))
    assert all(stop - start <= 10 for start, stop in blocks)
    if chunk <= 10:
        assert all(stop % chunk == 0 for _, stop in blocks[:-1])
        shifted = cube.slice(5, 30)
        assert all((stop + 5) % chunk == 0 for _, stop in list(shifted.blocks(max_bytes=480))[:-1])
    assert list(cube.blocks(start=3, stop=9)) == [(3, 9)]


def test_a_cached_cube_reads_the_same_from_memory(write):
    cube = open_cube([write()])
    cached = cube.cached()
    assert cached is not cube
    np.testing.assert_array_equal(whole(cached), whole(cube))
    np.testing.assert_array_equal(cached.slice(2, 4).read(0, 1), cube.read(2, 3))
    assert cube.cached(limit_bytes=100) is cube
    whole(cached)[:] = 0
    assert whole(cached).any()


def test_threads_may_read_at_once(write):
    cube = open_cube([write(variables={"x": ramp(200, 3, 4)}, chunksizes=(1, 3, 4), zlib=True)])
    expected, wrong = whole(cube), []

    def read(start):
        pairs = ((cube.read(i, i + 10), expected[i : i + 10]) for i in range(start, 190, 3))
        wrong.extend(not np.array_equal(*pair) for pair in pairs)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) > 180
    assert not any(wrong)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_only_the_files_read_last_stay_open(write):
    paths = [write(f"{i}.nc", {"x": ramp(1, 3, 4, i)}, hours=[24.0 * i]) for i in range(20)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    cube = open_cube(paths)
    first, again = whole(cube), whole(cube)
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 8
    np.testing.assert_array_equal(first, again)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_file_stays_open_when_the_cube_is_gone(write):
    paths = [write(f"{i}.nc", {"x": ramp(1, 3, 4, i)}, hours=[24.0 * i]) for i in range(20)]
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    cube = open_cube(paths)
    whole(cube)
    del cube
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


# --- bad input ------------------------------------------------------------------------------------


def test_no_path_is_a_usage_error():
    with pytest.raises(UsageError, match="No file was named"):
        open_cube([])


@pytest.mark.parametrize("option", ["variables", "levels"])
def test_a_choice_of_nothing_is_a_usage_error(levels_file, option):
    with pytest.raises(UsageError, match=f"--{option} is an empty list"):
        open_cube([levels_file], **{option: ()})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just some text, named .nc by mistake\n", "is neither NetCDF nor GRIB"),
        (b"PK\x03\x04rest", "is a truncated or damaged zip archive"),
        (b"\x1f\x8brest", "is compressed with gzip"),
        (b"\x0e\x03\x13\x01rest", "is an HDF4 file"),
        (b"BUFR\0\0\0\4rest", "is a BUFR file"),
        (b"a.nc".ljust(257, b"\0") + b"ustar\x0000", "is a tar archive. .*Unpack it first"),
        (b"\n<!DOCTYPE html><title>Login</title> GRIB", "but text, such as a server sends.*Login"),
        (b'{"message": "licence not accepted"}', "but text, such as a server sends.*licence"),
        (b"CDF\x01", "cannot be read"),
        (b"\x89HDF\r\n\x1a\n", "cannot be read"),
        (b"GRIB", "cannot be read"),
        (b"GRIB\0\0\x10\1" + b"\0" * 40 + b"7777", "cannot be read"),
    ],
)
def test_what_is_no_data_file_is_refused(tmp_path, content, message):
    path = tmp_path / "data.nc"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_cube([path])


def test_a_zip_archive_under_the_name_of_a_data_file_is_to_be_unpacked(tmp_path):
    """As the Climate Data Store sends what makes more than one file."""
    path = tmp_path / "download.nc"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data_0.nc", "data_1.nc"):
            archive.writestr(name, "x")
    with pytest.raises(InputError, match=r"zip archive of data_0.nc, data_1.nc.*Unpack it first"):
        open_cube([path])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        open_cube([tmp_path / "none.nc"])
    with pytest.raises(InputError, match="is not UTF-8"):
        open_cube([tmp_path / "\udcff.nc"])
    with pytest.raises(InputError, match="The folder"):
        open_cube([tmp_path])


@pytest.mark.parametrize(
    "format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_netcdf_file_is_refused(write, format, share):
    path = write(variables={"x": ramp(60, 3, 4)}, format=format)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cannot be read|neither"):
        open_cube([path])


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "f8"])
def test_a_whole_classic_file_of_any_type_is_not_taken_for_truncated(write, format, dtype):
    values = np.arange(7 * 3 * 5).reshape(7, 3, 5).astype(dtype)
    one = write("one.nc", {"x": values}, lon=range(5), format=format)
    two = write("two.nc", {"x": values, "y": values}, lon=range(5), format=format)
    for path in (one, two):
        np.testing.assert_array_equal(whole(open_cube([path]))[:, 0], values)


def test_data_damaged_inside_are_told_when_read(write):
    path = write(
        variables={"x": np.random.default_rng(0).random((40, 3, 4))}, chunksizes=(40, 3, 4), zlib=True
    )
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\x78")  # begins a deflate stream
    start = content.index(b"\x78\x5e") if b"\x78\x5e" in content else at
    content[start + 20 : start + 220] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.nc.*(cannot be read|damaged)"):
        whole(open_cube([path]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ({"variables": {"x": ramp(1, 3, 4)}}, "there is only one time step"),
        ({"variables": {"x": ramp(1, 3, 4)[0]}}, "x has no time axis"),
        ({"hours": [0, 24, 24, 48, 72, 96.0]}, "2001-01-02T00:00:00 occurs more than once"),
        ({"units": "fortnights after tea"}, "x has no time axis|units 'fortnights after tea'"),
        ({"units": "days since yesterday"}, "has units 'days since yesterday'"),
        ({"calendar": "mayan"}, "time has the unknown calendar 'mayan'. Known calendars are standard"),
        ({"hours": [0, 24, np.nan, 72, 96, 120]}, "has missing stamps"),
        ({"hours": [0, 24, 1e300, 72, 96, 120]}, "time has units"),
        ({"lat": (-10.0, 40.0, 10.0)}, "neither increases nor decreases"),
    ],
)
def test_bad_coordinates_are_refused(write, make, message):
    with pytest.raises(InputError, match=message):
        open_cube([write(**make)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("time"), "x has no time axis"),
        (lambda ds: ds.drop_vars("lat"), "x has no horizontal grid"),
        (lambda ds: ds.isel(lat=0), "x has no horizontal grid"),
        (lambda ds: ds.stack(values=("lat", "lon")).reset_index("values"), "x has an unstructured grid"),
        (lambda ds: ds.expand_dims(number=3), "x has 3 ensemble members"),
        (lambda ds: ds.isel(time=slice(0)), r"x has no value \(dimension time has no point\)"),
        (lambda ds: ds.expand_dims(band=3), "x has a further dimension band of 3"),
        (lambda ds: ds.drop_vars("x"), "no variable has latitude, longitude and time"),
    ],
)
def test_what_is_no_cube_is_refused_for_what_it_lacks(write, change, message):
    with pytest.raises(InputError, match=message):
        open_cube([rewrite(write(), change)])


def test_forecasts_of_several_starts_and_leads_are_refused(write):
    def change(ds):
        ds = ds.rename(time="start").expand_dims(lead=[0.0, 6.0], axis=1)
        ds["start"].attrs["standard_name"] = "forecast_reference_time"
        valid = ds["start"].to_numpy()[:, None] + ds["lead"].to_numpy()
        attrs = {"standard_name": "time", "units": "hours since 2001-01-01"}
        return ds.assign_coords(valid_time=(("start", "lead"), valid, attrs))

    with pytest.raises(InputError, match="time 'valid_time' has 2 dimensions, start and lead"):
        open_cube([rewrite(write(), change)])
    first = rewrite(write(), lambda ds: change(ds).isel(start=[0]))
    assert open_cube([first]).time.step == "6 hours"


def test_a_field_of_one_step_beside_a_record_is_left_out_and_told(tmp_path):
    """As the archive of ERA5 gives its land-sea mask."""
    lat, lon = (
        ("lat", [0.0, 10, 20], {"units": "degrees_north"}),
        ("lon", [0.0, 10], {"units": "degrees_east"}),
    )
    for name, steps in (("t2m", 10), ("lsm", 1)):
        time = ("time", np.arange(float(steps)), {"units": "days since 2001-01-01"})
        fields = np.random.default_rng(0).normal(size=(steps, 3, 2)).astype("f4")
        file = xr.Dataset({name: (("time", "lat", "lon"), fields)}, {"time": time, "lat": lat, "lon": lon})
        file.to_netcdf(tmp_path / f"{name}.nc")
    cube = open_cube([tmp_path / "t2m.nc", tmp_path / "lsm.nc"])
    assert ([channel.name for channel in cube.channels], len(cube.time)) == (["t2m"], 10)
    assert cube.left_out["lsm"].startswith("only one time step")


@pytest.mark.parametrize(
    ("name", "told"),
    [("time", "coordinates"), ("lat", "coordinates"), ("lon", "coordinates"), ("a/b", "slash")],
)
def test_a_channel_cannot_be_called_what_no_file_can_hold(write, name, told):
    with pytest.raises(UsageError, match=f"--variables names a channel '{name}'.*{told}"):
        open_cube([write()], variables=[f"{name}=x"])
