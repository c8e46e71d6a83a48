"""Meshes written out in two dimensions, and coordinates of any numbers."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.sphere.mesh import axes_of_mesh
from faconv_cli.errors import InputError
from tests.cube.conftest import places

LAT, LON = np.arange(-50.0, 51, 20), np.arange(0.0, 360, 30)


@given(
    st.booleans(), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]), st.integers(0, 11)
)
def test_a_mesh_is_two_axes_in_any_order_and_precision(turned, south, west, dtype, shift):
    lat = LAT[::-1] if south else LAT
    lon = np.roll(LON[::-1] if west else LON, shift)
    mesh = np.meshgrid(lat.astype(dtype), lon.astype(dtype) - 180, indexing="xy" if turned else "ij")
    axes = axes_of_mesh(*(one.astype(float) for one in mesh))
    assert axes.turned == turned
    np.testing.assert_allclose(axes.lat, lat)
    np.testing.assert_allclose(axes.lon, lon - 180)


@pytest.mark.parametrize("slope", [0.02, 1.0])
def test_a_grid_that_curves_by_more_than_a_hundredth_of_a_cell_is_no_mesh(slope):
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    assert axes_of_mesh(lat + slope * lon / 30, lon) is None
    assert axes_of_mesh(lat, lon + slope * lat) is None
    assert axes_of_mesh(np.where(lat < 0, np.nan, lat), lon) is None


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_with_a_mesh_gives_the_cube_of_its_axes(write, tmp_path, turned):
    fields = places(LAT, LON).astype(np.float32)
    plain = open_cube([write("plain.nc", {"x": fields}, lat=LAT, lon=LON)])
    lat, lon = np.meshgrid(LAT[::-1], LON, indexing="ij")
    dims = ("b", "a") if turned else ("a", "b")
    order = (1, 0) if turned else (0, 1)
    coordinates = {
        "nav_lat": (dims, lat.transpose(order), {"units": "degrees_north"}),
        "nav_lon": (dims, lon.transpose(order), {"units": "degrees_east"}),
        "time": ("time", np.arange(4), {"units": "days since 2001-01-01"}),
    }
    values = fields[:, ::-1].transpose(0, *(1 + np.array(order)))
    xr.Dataset({"x": (("time", *dims), values)}, coordinates).to_netcdf(tmp_path / "mesh.nc")
    cube = open_cube([tmp_path / "mesh.nc"])
    assert (
        "'nav_lat' and 'nav_lon' on (a, b) are a mesh of two axes. The grid counts as regular." in cube.notes
    )
    assert cube.grid.periodic
    assert cube.grid.signature() == plain.grid.signature()
    np.testing.assert_allclose(cube.grid.area, plain.grid.area)
    np.testing.assert_array_equal(cube.read(0, 4), plain.read(0, 4))


NUMBERS = st.one_of(st.floats(width=32), st.floats(-90, 90), st.sampled_from([0.0, 30.0, 60.0, 90.0, 360.0]))
SORTED = st.sampled_from([True, True, False])


@given(
    st.data(), st.sampled_from(["j,i", "ji,ji", "i,i"]), st.sampled_from(["", "radian", "degrees"]), SORTED
)
def test_coordinates_of_any_numbers_are_read_or_refused(tmp_path_factory, data, dims, unit, in_order):
    sizes = {"j": data.draw(st.integers(1, 4)), "i": data.draw(st.integers(1, 5))}
    along = [tuple(own) for own in dims.split(",")]
    lat, lon = (_numbers(data, [sizes[dim] for dim in own], in_order=in_order) for own in along)
    about = {"units": unit, "bounds": "edges"}
    coordinates = {
        "lat": (along[0], lat, about | {"standard_name": "latitude"}),
        "lon": (along[1], lon, about | {"standard_name": "longitude"}),
        "time": ("time", np.arange(4), {"units": "days since 2001-01-01"}),
    }
    own = tuple(sorted(set(along[0] + along[1]), reverse=True))
    fields = np.ones((4, *(sizes[dim] for dim in own)), np.float32)
    variables = {"t": (("time", *own), fields, {"cell_measures": "area: area"}), "area": (own, fields[0])}
    if lat.ndim == 1:
        variables["edges"] = ((along[0][0], "two"), np.stack([lat, lat + 30], axis=1))
    path = tmp_path_factory.mktemp("any") / "a.nc"
    xr.Dataset(variables, coordinates).to_netcdf(path)
    try:
        cube = open_cube([path], regrid=30.0)
    except InputError:
        return
    assert cube.grid.area.sum() == pytest.approx(1)
    assert cube.read(0, 4).shape == cube.shape


def _numbers(data, shape, *, in_order):
    size = int(np.prod(shape))
    numbers = np.array(data.draw(st.lists(NUMBERS, min_size=size, max_size=size)))
    return np.reshape(np.sort(numbers) if in_order else numbers, shape)
