"""Meshes written out in two dimensions, and meridians that a file gives twice."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.region import cut_region
from faconv_cli.cube.sphere.cells import axes_of_mesh, cells, holes, once_around
from faconv_cli.errors import InputError

LAT, LON = np.arange(-50.0, 51, 20), np.arange(0.0, 360, 30)


def places(lat, lon):
    """Fields (4, y, x) whose values name the place."""
    return np.arange(4.0)[:, None, None] + 1000 * lat[:, None] + lon % 360


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
        "'nav_lat' and 'nav_lon' on (a, b) are a mesh of two axes: the grid is taken as regular."
        in cube.notes
    )
    assert cube.grid.periodic
    assert cube.grid.signature() == plain.grid.signature()
    np.testing.assert_allclose(cube.grid.area, plain.grid.area)
    np.testing.assert_array_equal(cube.read(0, 4), plain.read(0, 4))


@pytest.mark.parametrize(
    ("lon", "kept"),
    [
        (np.arange(0, 361, 30), slice(0, 12)),
        (np.arange(-180, 181, 30), slice(0, 12)),
        (np.arange(180, -181, -30), slice(0, 12)),
        (np.append(np.arange(0, 360, 30), 0), slice(0, 12)),
        (np.arange(-30, 391, 30), slice(1, 13)),  # a halo of one on both sides, and the meridian twice
        (np.arange(-30, 361, 30), slice(1, 13)),
        (np.arange(0, 360, 30), slice(0, 12)),
        (np.arange(0, 331, 30)[::3], slice(0, 4)),
        (np.array([0, 10, 20, 330, 340, 350]), slice(0, 6)),
        (np.linspace(0, 360, 721).astype(np.float32), slice(0, 720)),
    ],
    ids=str,
)
def test_columns_that_go_around_the_globe_once_are_kept(lon, kept):
    assert once_around(np.asarray(lon, float), "lon") == kept


@pytest.mark.parametrize("lon", [np.arange(0, 400, 25), [0, 120, 240, 365]])
def test_longitudes_that_go_around_over_other_meridians_are_refused(lon):
    with pytest.raises(InputError, match="more than once, over other meridians"):
        once_around(np.asarray(lon, float), "lon")


@pytest.mark.parametrize(
    "lon", [np.arange(0.0, 361, 30), np.arange(-180.0, 181, 30), np.arange(-30.0, 391, 30)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_globe_with_repeated_meridians_is_the_globe(write, lon, turned):
    lon = lon[::-1] if turned else lon
    again = open_cube([write("again.nc", {"x": places(LAT, lon).astype(np.float32)}, lat=LAT, lon=lon)])
    once = open_cube([write("once.nc", {"x": places(LAT, LON).astype(np.float32)}, lat=LAT, lon=LON)])
    assert again.grid.periodic
    assert again.grid.shape == (6, 12)
    np.testing.assert_allclose(again.grid.area, once.grid.area)
    np.testing.assert_array_equal(again.read(0, 4), once.read(0, 4))
    assert set(again.grid.file_lon) <= set(lon)
    columns = len(lon) - 12
    assert (
        sum(f"{columns} of {len(lon)} columns along lon are there again" in note for note in again.notes) == 1
    )
    region = "-30:30,-60:60"
    np.testing.assert_array_equal(cut_region(again, region).read(1, 3), cut_region(once, region).read(1, 3))
    assert not any("other values" in note for note in again.notes)


@pytest.mark.parametrize("step", [0, 3])
def test_a_meridian_with_two_values_is_told(write, step):
    fields = places(LAT, np.append(LON, 360.0)).astype(np.float32)
    fields[step, 2, -1] += 1
    cube = open_cube([write(variables={"x": fields}, lat=LAT, lon=np.append(LON, 360.0))])
    assert any("x has other values on the meridians that are there again" in note for note in cube.notes)
    np.testing.assert_array_equal(cube.read(0, 4)[:, 0], fields[:, :, :-1])


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


@pytest.mark.parametrize(
    ("axis", "torn", "width"),
    [
        ([-60, -50, -40, 40, 50, 60], [2], [10] * 6),
        ([20, 30, 40, 200, 210], [2], [10] * 5),
        ([20, 80, 90], [0], [10] * 3),
        ([0, 10, 30, 40], [], [10, 15, 15, 10]),  # a row is missing: its neighbours stand for it
        ([0, 1, 3, 7, 15], [], [1, 1.5, 3, 6, 8]),  # stretched
        ([0, 60], [], [60, 60]),
    ],
)
def test_cells_beside_a_hole_reach_as_far_as_on_their_other_side(axis, torn, width):
    axis = np.array(axis, float)
    assert np.flatnonzero(holes(axis)).tolist() == torn
    lower, upper = cells(axis)
    np.testing.assert_allclose(upper - lower, width)


@given(st.lists(st.floats(0.5, 1.4), min_size=2, max_size=30))
def test_cells_of_an_axis_without_holes_touch(steps):
    axis = np.cumsum(steps)
    lower, upper = cells(axis)
    np.testing.assert_allclose(lower[1:], upper[:-1])


def test_sectors_of_the_globe_weigh_as_each_would_alone(write):
    lat, lon = np.array([-60.0, -50, -40, 40, 50, 60]), np.array([20.0, 30, 40, 200, 210, 220])
    cube = open_cube([write("a.nc", {"x": places(lat, lon)}, lat=lat, lon=lon)])
    one = Grid.from_coordinates(lat[:3], lon[:3])
    np.testing.assert_allclose(cube.grid.area[:3, :3], one.area / 4)
    (told,) = (note for note in cube.notes if "There are no points" in note)
    assert "from latitude -40 to 40 and longitude " in told


def test_a_region_that_takes_the_two_ends_of_a_grid_tells_the_hole(write):
    lat, lon = np.array([0.0, 10, 20]), np.arange(20.0, 91, 10)
    cube = cut_region(open_cube([write("a.nc", {"x": places(lat, lon)}, lat=lat, lon=lon)]), "0:50,80:30")
    assert sorted(cube.grid.lon % 360) == [20, 30, 80, 90]
    np.testing.assert_allclose(cube.grid.area.sum(axis=0), 0.25)
    assert any("There are no points from longitude 30 to 80" in note for note in cube.notes)
