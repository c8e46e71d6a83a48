"""Grids as files describe them: rotated poles, WRF, swaths, tripolar, cell areas, staggered grids."""

import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.sphere.rotated import from_rotated_pole
from faconv_cli.errors import InputError

NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def whole(cube):
    return cube.read(0, cube.shape[0])


def fields(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def save(path, variables, coordinates):
    time = ("time", np.arange(4.0), {"units": "days since 2001-01-01"})
    xr.Dataset(variables, {"time": time} | coordinates).to_netcdf(path)
    return path


# --- rotated poles --------------------------------------------------------------------------------


def rotated(path, mapping=POLE, **more):
    variables = {
        "t": (("time", "rlat", "rlon"), fields(4, 3, 5), {"grid_mapping": "pole", "units": "K"}),
        "pole": ((), 0, mapping),
    }
    axes = {
        "rlat": ("rlat", [-1.0, 0.0, 1.0], {"standard_name": "grid_latitude", "units": "degrees"}),
        "rlon": ("rlon", np.arange(5.0) - 10, {"standard_name": "grid_longitude", "units": "degrees"}),
    }
    return save(path, variables, axes | more)


def test_a_rotated_grid_without_latitudes_gets_them_from_its_pole(tmp_path):
    cube = open_cube([rotated(tmp_path / "r.nc")])
    assert cube.grid.shape == (3, 5)
    assert (cube.grid.y_name, cube.grid.x_name) == ("rlat", "rlon")
    lat, lon = from_rotated_pole([-1, 0, 1], np.arange(5) - 10, POLE)
    np.testing.assert_allclose(cube.grid.lat, lat)
    np.testing.assert_allclose(cube.grid.lon, lon)
    assert "Latitude and longitude are computed from the rotated pole 'pole'." in cube.notes


def test_cells_of_a_rotated_grid_have_the_areas_that_they_have_about_its_own_pole(tmp_path):
    cube = open_cube([rotated(tmp_path / "r.nc")])
    area = np.cos(np.radians([-1.0, 0, 1]))[:, None] * np.ones(5)
    np.testing.assert_allclose(cube.grid.area, area / area.sum(), rtol=1e-4)


def test_latitudes_of_a_rotated_grid_in_the_file_are_kept(tmp_path):
    lat = np.full((3, 5), 50.0) + np.arange(3)[:, None]
    more = {"lat": (("rlat", "rlon"), lat, NORTH), "lon": (("rlat", "rlon"), lat - 40, EAST)}
    cube = open_cube([rotated(tmp_path / "r.nc", **more)])
    np.testing.assert_array_equal(cube.grid.lat, lat)


def test_another_grid_mapping_without_latitudes_is_refused(tmp_path):
    path = rotated(tmp_path / "r.nc", {"grid_mapping_name": "lambert_conformal_conic"})
    with pytest.raises(InputError, match="t has no horizontal grid"):
        open_cube([path])


def test_the_rotated_pole_itself_and_the_equator_are_where_they_should_be():
    lat, lon = from_rotated_pole([90.0], [0.0], POLE)
    np.testing.assert_allclose([lat[0, 0], lon[0, 0]], [39.25, -162], atol=1e-9)
    plain = POLE | {"grid_north_pole_latitude": 90.0, "grid_north_pole_longitude": 180.0}
    lat, lon = from_rotated_pole([-30.0, 60.0], [-170.0, 5.0], plain)
    np.testing.assert_allclose(lat, [[-30, -30], [60, 60]])
    np.testing.assert_allclose(lon, [[-170, 5], [-170, 5]])


_PROJ = """
import warnings; warnings.simplefilter("ignore")
import numpy as np
from pyproj import CRS, Transformer
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.sphere.rotated import from_rotated_pole
lat, lon = np.linspace(-60, 60, 7), np.linspace(-100, 100, 9)
for north, east, turn in ((39.25, -162, 0), (39.25, -162, 30), (50, 10, -45), (-30, 100, 0)):
    pole = dict(grid_mapping_name="rotated_latitude_longitude", grid_north_pole_latitude=north,
                grid_north_pole_longitude=east, north_pole_grid_longitude=turn)
    to_sphere = Transformer.from_crs(CRS.from_cf(pole), CRS.from_proj4("+proj=latlong"), always_xy=True)
    there = to_sphere.transform(*np.meshgrid(lon, lat))
    ours = from_rotated_pole(lat, lon, pole)
    assert np.abs(ours[0] - there[1]).max() < 1e-9
    assert np.abs((ours[1] - there[0] + 180) % 360 - 180).max() < 1e-9
"""


def test_rotated_coordinates_agree_with_proj():
    if subprocess.run([sys.executable, "-c", "import pyproj"], capture_output=True).returncode:
        pytest.skip("pyproj is not installed")
    subprocess.run([sys.executable, "-c", _PROJ], check=True)  # a process of its own: see `from_rotated_pole`


# --- two-dimensional coordinates ------------------------------------------------------------------


def curved(h=3, w=4):
    lat, lon = np.meshgrid(np.linspace(40, 60, h), np.linspace(-10, 20, w), indexing="ij")
    return lat + 0.05 * lon, lon + 0.05 * lat


def wrf(path, moving=0.0):
    lat, lon = curved()
    over_time = np.zeros((4, 1, 1)) + np.linspace(0, moving, 4)[:, None, None]
    about = {"coordinates": "XLONG XLAT XTIME", "units": "K"}
    staggered = {"coordinates": "XLONG_U XLAT_U XTIME", "units": "m s-1"}
    wide = np.pad(lat, ((0, 0), (0, 1)), mode="edge")
    dims, dims_u = ("Time", "south_north", "west_east"), ("Time", "south_north", "west_east_stag")
    ds = xr.Dataset(
        {
            "T2": (dims, fields(4, 3, 4), about),
            "U10": (dims_u, fields(4, 3, 5), staggered),
            "CLAT": (dims, np.broadcast_to(lat * 0, (4, 3, 4)), {"units": "degree_north"}),
            "XLAT_U": (dims_u, wide + over_time, {"units": "degree_north"}),
            "XLONG_U": (dims_u, wide + over_time, {"units": "degree_east"}),
            "XLAT": (dims, lat + over_time, {"units": "degree_north"}),
            "XLONG": (dims, lon + over_time, {"units": "degree_east"}),
            "XTIME": ("Time", np.arange(4.0) * 60, {"units": "minutes since 2001-01-31 00:00:00"}),
        }
    )
    ds.to_netcdf(path)
    return path


def test_wrf_repeats_its_grid_each_step_and_names_its_coordinates(tmp_path):
    cube = open_cube([wrf(tmp_path / "wrfout.nc")])
    assert [channel.name for channel in cube.channels] == ["T2"]
    assert cube.left_out["U10"].startswith("on a different grid (3 x 5)")
    np.testing.assert_allclose(cube.grid.lat, curved()[0])
    assert (cube.time.step, cube.grid.y_name) == ("1 hour", "south_north")


@pytest.mark.parametrize("what", ["moving", "beyond", "damaged"])
def test_what_is_wrong_with_other_variables_is_no_matter(tmp_path, what):
    path = wrf(tmp_path / "wrfout.nc")
    with netCDF4.Dataset(path, "a") as file:
        north = file["XLAT_U"]
        north[:] = {"moving": north[:] + np.arange(4)[:, None, None], "beyond": north[:] + 90}.get(
            what, np.nan
        )
    cube = open_cube([path], variables=["T2"])
    assert [channel.name for channel in cube.channels] == ["T2"]
    assert "U10" in cube.left_out
    if what == "beyond":
        for asked in (None, ["U10"], ["T2", "U10"]):
            with pytest.raises(InputError, match="goes beyond the poles"):
                open_cube([path], variables=asked)


def test_where_nothing_can_be_taken_the_reason_is_that_of_what_was_asked_for(tmp_path):
    path = wrf(tmp_path / "wrfout.nc", moving=0.5)
    with xr.open_dataset(path, decode_times=False) as file:
        deep = file.load().assign(U=file.U10.expand_dims(soil_layers=3, axis=1), T2=file.T2.rename(Time="t"))
    deep.to_netcdf(tmp_path / "deep.nc")
    with pytest.raises(InputError, match="T2 has"):
        open_cube([tmp_path / "deep.nc"], variables=["T2"])
    with pytest.raises(InputError, match="U has a grid that moves"):
        open_cube([tmp_path / "deep.nc"], variables=["U"])


def test_a_level_does_not_take_the_name_of_another_variable(tmp_path):
    """As WRF's T on its second level and T2."""
    path = wrf(tmp_path / "wrfout.nc")
    with xr.open_dataset(path, decode_times=False) as file:
        deep = file.load()
    deep["T"] = (("Time", "bottom_top", "south_north", "west_east"), fields(4, 3, 3, 4), deep.T2.attrs)
    deep.to_netcdf(tmp_path / "deep.nc")
    cube = open_cube([tmp_path / "deep.nc"])
    assert [channel.name for channel in cube.channels] == ["T2", "T0", "T1", "T_2"]
    cube = open_cube([tmp_path / "deep.nc"], variables=["T_2"])
    np.testing.assert_array_equal(whole(cube)[:, 0], deep["T"][:, 2])


def test_a_nest_that_moves_is_refused(tmp_path):
    with pytest.raises(InputError, match="a grid that moves in time"):
        open_cube([wrf(tmp_path / "wrfout.nc", moving=0.5)])


def test_a_swath_keeps_its_points_and_those_without_a_place_weigh_nothing(tmp_path):
    lat, lon = curved()
    lat[0, 0] = lon[0, 0] = np.nan
    places = {"lat": (("scan", "pixel"), lat, NORTH), "lon": (("scan", "pixel"), lon, EAST)}
    cube = open_cube([save(tmp_path / "s.nc", {"t": (("time", "scan", "pixel"), fields(4, 3, 4))}, places)])
    assert cube.grid.area[0, 0] == 0
    assert cube.grid.area.sum() == pytest.approx(1)
    whole = Grid.from_coordinates(*curved()).area
    np.testing.assert_allclose(cube.grid.area[1:] / cube.grid.area[1, 1], whole[1:] / whole[1, 1], rtol=0.02)


@pytest.mark.parametrize("named", [False, True])
def test_coordinates_that_are_chosen_among_several_are_told(tmp_path, named):
    """As of NEMO, whose staggered grids share their dimensions."""
    lat, lon = curved()
    places = {
        "gphit": (("y", "x"), lat, NORTH),
        "glamt": (("y", "x"), lon, EAST),
        "gphiu": (("y", "x"), lat + 0.1, NORTH),
        "glamu": (("y", "x"), lon + 0.1, EAST),
    }
    about = {"coordinates": "gphiu glamu"} if named else {}
    path = save(tmp_path / "n.nc", {"u": (("time", "y", "x"), fields(4, 3, 4))} | places, {})
    with netCDF4.Dataset(path, "a") as file:
        file["u"].setncatts(about)
    cube = open_cube([path])
    np.testing.assert_allclose(cube.grid.lat, lat + 0.1 * named)
    told = ["u has several latitudes, gphit, gphiu; gphit is used."]
    assert [note for note in cube.notes if "latitude" in note] == ([] if named else told)


# --- cell areas -----------------------------------------------------------------------------------


def measured(path, area=None, *, dims=("y", "x"), name="areacello", inside=True):
    lat, lon = curved()
    about = {"units": "K", "cell_measures": f"area: {name}", "coordinates": "nav_lat nav_lon"}
    variables = {"tos": (("time", "y", "x"), fields(4, 3, 4), about)}
    if inside:
        variables[name] = (dims, area, {"standard_name": "cell_area", "units": "m2"})
    return save(path, variables, {"nav_lat": (("y", "x"), lat, NORTH), "nav_lon": (("y", "x"), lon, EAST)})


AREA = np.arange(1.0, 13).reshape(3, 4)


@pytest.mark.parametrize(("area", "dims"), [(AREA, ("y", "x")), (AREA.T, ("x", "y"))])
def test_cell_areas_that_a_field_names_are_its_weights(tmp_path, area, dims):
    cube = open_cube([measured(tmp_path / "o.nc", area, dims=dims)])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())
    assert "Points are weighted by the cell areas 'areacello'." in cube.notes
    assert cube.left_out["areacello"] == "a cell measure"


def test_cell_areas_may_be_in_a_file_of_their_own(tmp_path):
    data = measured(tmp_path / "o.nc", inside=False)
    told = (
        "None of the files has the cell areas 'areacello': points are weighted by cell areas computed from "
    )
    assert told + "their coordinates." in open_cube([data]).notes
    about = {"standard_name": "cell_area", "units": "m2"}
    lat, lon = curved()
    places = {"latitude": (("j", "i"), lat, NORTH), "longitude": (("j", "i"), lon, EAST)}
    fixed = xr.Dataset({"areacello": (("j", "i"), AREA, about)}, places)
    fixed.to_netcdf(tmp_path / "areacello_fx.nc")
    cube = open_cube([data, tmp_path / "areacello_fx.nc"])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())


def test_cell_areas_on_a_regular_grid_turn_with_it(tmp_path):
    path = tmp_path / "a.nc"
    axes = {"lat": ("lat", [60.0, 0.0, -60.0], NORTH), "lon": ("lon", [0.0, 90.0, 180.0, 270.0], EAST)}
    about = {"cell_measures": "area: areacella"}
    variables = {"t": (("time", "lat", "lon"), fields(4, 3, 4), about), "areacella": (("lat", "lon"), AREA)}
    cube = open_cube([save(path, variables, axes)])
    np.testing.assert_allclose(cube.grid.area, AREA[::-1] / AREA.sum())


@pytest.mark.parametrize("area", [np.full((3, 4), np.nan), np.zeros((3, 4))])
def test_areas_that_hold_nothing_do_not_count(tmp_path, area):
    cube = open_cube([measured(tmp_path / "o.nc", area)])
    assert cube.grid.cell_area is None


def test_missing_areas_weigh_nothing(tmp_path):
    area = AREA.copy()
    area[0, 0] = np.nan
    cube = open_cube([measured(tmp_path / "o.nc", area)])
    np.testing.assert_allclose(cube.grid.area, np.nan_to_num(area) / np.nansum(area))
