"""Latitude and longitude in any unit of angle."""

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.axes.angles import degrees_in_one, radians_told
from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError

LAT, LON = np.arange(-50.0, 51, 20), np.arange(0.0, 360, 30)
FIELDS = np.random.default_rng(0).normal(size=(4, 6, 12)).astype(np.float32)


def save(path, lat, lon, units=("", ""), names=("lat", "lon")):
    """A record on coordinates of one or two dimensions."""
    dims = names if lat.ndim == 1 else ("j", "i")
    attributes = [{"units": unit} if unit else {} for unit in units]
    coordinates = {
        name: (dims[number] if lat.ndim == 1 else dims, values, about)
        for number, (name, values, about) in enumerate(zip(names, (lat, lon), attributes, strict=True))
    }
    coordinates["time"] = ("time", np.arange(4), {"units": "days since 2001-01-01"})
    fields = FIELDS[:, : lat.shape[0], : lon.shape[-1]]
    xr.Dataset({"x": (("time", *dims), fields)}, coordinates).to_netcdf(path)
    return path


@pytest.mark.parametrize(
    ("units", "degrees"),
    [
        ("", 1),
        ("1", 1),
        ("degrees_north", 1),
        ("degrees north", 1),
        ("deg", 1),
        ("degrees", 1),
        ("degrees_S", -1),
        ("degrees_west", -1),
        ("degree_south", -1),
        ("radian", 180 / np.pi),
        ("rad", 180 / np.pi),
        ("Radians", 180 / np.pi),
        ("radians_north", 180 / np.pi),
        ("rad east", 180 / np.pi),
        ("radians_west", -180 / np.pi),
        ("degreesS", -1),
        ("°W", -1),
        ("degreesN", 1),
        ("arc_minute", 1 / 60),
        ("arcsec", 1 / 3600),
        ("km", None),
        ("m", None),
        ("degC", None),
    ],
)
def test_units_of_angle_are_known_from_others(units, degrees):
    assert degrees_in_one(units) == (degrees if degrees is None else pytest.approx(degrees))


@pytest.mark.parametrize("unit", ["radian", "rad", "arc_minutes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dims", [1, 2])
def test_coordinates_in_another_unit_give_the_grid_in_degrees(tmp_path, unit, dtype, dims):
    lat, lon = (LAT, LON) if dims == 1 else np.meshgrid(LAT, LON, indexing="ij")
    if dims == 2:
        lat = lat + lon / 40
    plain = open_cube([save(tmp_path / "a.nc", lat, lon, ("degrees_north", "degrees_east"))])
    factor = 60 if unit == "arc_minutes" else np.pi / 180
    other = save(tmp_path / "b.nc", (lat * factor).astype(dtype), (lon * factor).astype(dtype), (unit, unit))
    cube = open_cube([other])
    assert cube.grid.same_points(plain.grid)
    assert cube.grid.periodic == (dims == 1)
    np.testing.assert_allclose(cube.grid.file_lat, lat, atol=1e-4 if dtype == np.float32 else 1e-8)
    np.testing.assert_array_equal(cube.read(0, 4), plain.read(0, 4))
    assert f"'lat' is converted from {unit} to degrees." in cube.notes
    assert f"'lon' is converted from {unit} to degrees." in cube.notes


def test_points_of_an_unstructured_grid_may_be_in_radians_with_one_of_the_coordinates_in_degrees(tmp_path):
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 500))), rng.uniform(0, 360, 500)
    cubes = []
    for name, unit, values in (("a.nc", "degrees_north", lat), ("b.nc", "radian", np.radians(lat))):
        coordinates = {
            "clat": ("cell", values, {"units": unit, "standard_name": "latitude"}),
            "clon": ("cell", lon, {"units": "degrees_east"}),
            "time": ("time", np.arange(4), {"units": "days since 2001-01-01"}),
        }
        fields = (("time", "cell"), np.outer(np.arange(4.0), lat))
        xr.Dataset({"x": fields}, coordinates).to_netcdf(tmp_path / name)
        cubes.append(open_cube([tmp_path / name], regrid=20))
    np.testing.assert_allclose(cubes[1].read(0, 4), cubes[0].read(0, 4), rtol=1e-6)


def test_a_rotated_pole_may_be_in_radians(tmp_path):
    pole = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    grids = []
    for unit, factor in (("degrees", 1.0), ("radian", np.pi / 180)):
        axes = {
            name: (name, np.arange(6.0) * 0.5 * factor, {"standard_name": standard, "units": unit})
            for name, standard in (("rlat", "grid_latitude"), ("rlon", "grid_longitude"))
        }
        axes["time"] = ("time", np.arange(4), {"units": "days since 2001-01-01"})
        variables = {
            "x": (("time", "rlat", "rlon"), FIELDS[:, :, :6], {"grid_mapping": "pole"}),
            "pole": ((), 0, pole),
        }
        path = tmp_path / f"{unit}.nc"
        xr.Dataset(variables, axes).to_netcdf(path)
        grids.append(open_cube([path]).grid)
    np.testing.assert_allclose(grids[1].lat, grids[0].lat, atol=1e-6)
    np.testing.assert_allclose(grids[1].lon, grids[0].lon, atol=1e-6)


def test_longitudes_without_units_that_close_the_circle_in_radians_are_radians(tmp_path):
    plain = open_cube([save(tmp_path / "a.nc", LAT, LON)])
    cube = open_cube([save(tmp_path / "b.nc", np.radians(LAT), np.radians(LON))])
    assert cube.grid.same_points(plain.grid)
    assert any("span 2 pi: converted" in note for note in cube.notes)


@pytest.mark.parametrize(
    ("lat", "lon", "units", "told"),
    [
        (np.arange(-1, 1.1, 0.5), np.arange(0.0, 6, 0.5), ("", ""), True),
        (np.arange(-1, 1.1, 0.5), np.arange(0.0, 6, 0.5), ("degrees_north", "degrees_east"), False),
        (np.radians(LAT), np.radians(LON), ("degrees_north", "degrees_east"), True),
        (LAT, LON, ("", ""), False),
    ],
)
def test_what_may_be_radians_is_told_and_not_converted(tmp_path, lat, lon, units, told):
    cube = open_cube([save(tmp_path / "a.nc", lat, lon, units)])
    np.testing.assert_allclose(cube.grid.file_lat, lat)
    assert any("may be radians. Set their units" in note for note in cube.notes) == told


@pytest.mark.parametrize("step", [0.05, 0.1, 0.25, 0.5])
def test_no_region_in_degrees_is_surely_radians(step):
    lat = np.arange(-1.5, 1.6, step)
    for count in range(2, int(6.28 / step) + 1):
        assert radians_told(lat, np.arange(count) * step) == "perhaps"


@pytest.mark.parametrize("which", [0, 1])
def test_text_is_no_latitude(tmp_path, which):
    path = save(tmp_path / "a.nc", np.arange(6.0), np.arange(12.0))
    with xr.open_dataset(path, decode_times=False) as file:
        name, other = ("lat", "lon")[which], file.load()
    named = other.assign_coords({name: (name, [f"{value}N" for value in other[name].values])})
    named[name].attrs["standard_name"] = {"lat": "latitude", "lon": "longitude"}[name]
    named.to_netcdf(tmp_path / "text.nc")
    with pytest.raises(InputError, match=rf"a coordinate {name} of type|no horizontal grid"):
        open_cube([tmp_path / "text.nc"])


def test_distances_on_a_map_are_no_latitudes(tmp_path):
    path = save(tmp_path / "a.nc", np.arange(6.0), np.arange(12.0), ("km", "km"))
    with pytest.raises(InputError, match=r"x has a coordinate lat in km.*must be angles"):
        open_cube([path])
