import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.errors import InputError


def box(lon, lat=(30.0, 40.0, 50.0)):
    return Grid.from_coordinates(np.array(lat), np.asarray(lon, float))


def field_of(grid):
    """A field in file order whose values name the place."""
    lat, lon = grid.file_lat.astype(float), grid.file_lon.astype(float)
    return 1000 * lat[:, None] + lon[None, :] % 360


@given(
    st.integers(0, 71),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, -180.0]),
    st.sampled_from([5.0, 10.0, 30.0]),
)
def test_a_grid_around_the_globe_is_one_grid_whatever_the_files_order(shift, north_first, west, low, step):
    lon = np.roll((np.arange(0, 360, step) - low) % 360 + low, shift)
    lat = np.arange(-80, 81, 20.0)
    grid = box(lon[::-1] if west else lon, lat[::-1] if north_first else lat)
    assert grid.periodic
    np.testing.assert_allclose(grid.lon, np.arange(0, 360, step))
    np.testing.assert_allclose(grid.lat, lat)
    field = field_of(grid)
    canonical = grid.to_canonical(field)
    np.testing.assert_allclose(canonical, 1000 * lat[:, None] + grid.lon[None, :])
    np.testing.assert_array_equal(grid.to_file_order(canonical), field)


@given(st.integers(-180, 179), st.integers(2, 30), st.booleans(), st.booleans())
def test_a_region_is_one_grid_in_both_conventions(west_edge, count, from_zero, westward):
    east = west_edge + np.arange(count) * 7.5
    written = east % 360 if from_zero else (east + 180) % 360 - 180
    grid = box(written[::-1] if westward else written)
    assert not grid.periodic
    np.testing.assert_allclose(grid.lon, east)
    field = field_of(grid)
    np.testing.assert_array_equal(grid.to_file_order(grid.to_canonical(field)), field)
    np.testing.assert_allclose(grid.to_canonical(field)[0] % 1000, 30_000 % 1000 + east % 360)


def test_a_region_across_greenwich_sorted_by_number_is_put_together():
    grid = box([0, 10, 20, 330, 340, 350])
    np.testing.assert_allclose(grid.lon, [-30, -20, -10, 0, 10, 20])
    assert grid.x_roll == 3


def test_other_axes_can_be_brought_back_to_file_order():
    grid = box([0, 10, 20, 350], lat=(50.0, 40.0))
    field = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    canonical = grid.to_canonical(field, y_axis=0, x_axis=1)
    np.testing.assert_array_equal(grid.to_file_order(canonical, y_axis=0, x_axis=1), field)
    assert not np.array_equal(canonical, field)


def test_single_precision_longitudes_close_the_circle():
    assert box(np.linspace(0, 360, 432, endpoint=False).astype(np.float32)).periodic


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        ([10, 30, 20], [0, 1, 2], "neither increases nor decreases"),
        ([10, 20, 20], [0, 1, 2], "latitude 'lat' is there twice"),
        ([10, 20, 30], [0, 1, 1e20], r"longitude 'lon' has values such as 1e\+20"),
        ([10, 20, 95], [0, 1, 2], "beyond the poles"),
        ([10, 20, np.nan], [0, 1, 2], "has missing values"),
        ([10, 20, 30], [0, 100, 50], "neither east nor west"),
        ([10, 20, 30], [0, 0, 50], "neither east nor west"),
        ([10, 20, 30], [0, 120, 240, 360], "neither east nor west"),
    ],
)
def test_coordinates_in_no_order_are_refused(lat, lon, message):
    with pytest.raises(InputError, match=message):
        box(lon, lat)


@given(st.integers(2, 90), st.integers(3, 90), st.booleans())
def test_areas_are_those_of_the_sphere(h, w, poles):
    lat = np.linspace(-90, 90, h) if poles else (np.arange(h) + 0.5) * 180 / h - 90
    grid = Grid.from_coordinates(lat, np.arange(w) * 360 / w)
    assert grid.area.sum() == pytest.approx(1)
    assert (grid.area > 0).all()
    north = grid.area[lat > 1e-9].sum()
    assert north == pytest.approx(grid.area[lat < -1e-9].sum())
    if not poles and h % 2 == 0:
        tropics = grid.area[np.abs(lat) < 30].sum()
        assert tropics == pytest.approx(0.5, abs=np.cos(np.pi / 6) * np.pi / h)


def test_cells_of_uneven_width_weigh_by_their_width():
    assert box([0, 10, 30, 40]).area[0] == pytest.approx(
        box([0, 10, 30, 40]).area[0, 0] * np.array([1, 1.5, 1.5, 1])
    )


def test_two_dimensional_coordinates_are_kept():
    lat = np.array([[10.0, 12.0], [60.0, 61.0], [59.0, np.nan]])
    lon = np.array([[190.0, 200.0], [190.0, 201.0], [180.0, 202.0]])
    grid = Grid.from_coordinates(lat, lon, "y", "x")
    assert grid.shape == (3, 2)
    assert not grid.regular
    assert grid.area[2, 1] == 0
    assert (grid.area > 0).sum() == 5
    assert grid.area.sum() == pytest.approx(1)
    np.testing.assert_array_equal(grid.to_canonical(lat), lat)
    assert grid.nearest(60.2, 190) == (1, 0)
    assert grid.coordinates()["lat"].dims == ("y", "x")


def test_of_points_at_one_place_the_first_weighs_as_the_largest():
    lat = np.array([[10.0, 20.0, 10.0], [30.0, 40.0, 30.0]])
    lon = np.array([[-5.0, 5.0, 355.0], [-5.0, 5.0, 355.00001]])
    grid = Grid.from_coordinates(lat, lon, "y", "x")
    np.testing.assert_array_equal(grid.again, [[False, False, True]] * 2)
    np.testing.assert_array_equal(grid.area > 0, [[True, True, False]] * 2)
    area = np.array([[0.0, 2.0, 3.0], [1.0, 1.0, 0.0]])
    np.testing.assert_allclose(grid.with_area(area).area, np.array([[3, 2, 0], [1, 1, 0]]) / 7)


def test_two_dimensional_points_are_the_same_in_any_convention_and_single_precision():
    lat, lon = np.mgrid[40:60:4j, -20:20:5j]
    lat, lon = lat + 0.01 * lon, lon + 0.1 * lat
    grid, other = (Grid.from_coordinates(lat, east.astype(np.float32)) for east in (lon, lon % 360))
    assert grid.same_points(other)
    assert not grid.same_points(Grid.from_coordinates(lat + 0.1, lon))


def test_the_nearest_point_is_found_across_the_date_line():
    grid = box(np.arange(0, 360, 10), lat=(50, 40, 30))
    assert grid.nearest(31, -9) == (0, 35)
    assert grid.nearest(49, 359) == (2, 0)


@pytest.mark.parametrize(("lat", "lon"), [(30, 40), (70, 5), (0, 0), (40, -160)])
def test_a_place_outside_the_grid_is_refused(lat, lon):
    with pytest.raises(InputError, match="lies outside the grid"):
        box([0, 10, 20]).nearest(lat, lon)


@pytest.mark.parametrize(("lat", "lon"), [(95, 5), (np.nan, 5), (50, np.nan), (50, np.inf)])
def test_what_is_no_place_is_refused(lat, lon):
    with pytest.raises(InputError, match="not a place on the globe"):
        box([0, 10, 20]).nearest(lat, lon)


def test_a_place_just_outside_belongs_to_the_last_cell():
    assert box([0, 10, 20]).nearest(53, 24) == (2, 2)


def test_coordinates_come_back_in_file_order_with_cf_attributes():
    lat, lon = np.array([50, 40, 30], np.float32), np.array([-180, -90, 0, 90], np.float32)
    coordinates = Grid.from_coordinates(lat, lon, "Y", "X").coordinates()
    xr.testing.assert_equal(coordinates["lat"].variable, xr.Variable("lat", lat))
    xr.testing.assert_equal(coordinates["lon"].variable, xr.Variable("lon", lon))
    assert coordinates["lat"].attrs["standard_name"] == "latitude"
    assert coordinates["lon"].attrs["axis"] == "X"
    assert coordinates["lat"].dtype == np.float32


def test_signatures_tell_grids_apart_and_not_orders():
    a, b = box([0, 90, 180, 270]), box([-180, -90, 0, 90], lat=(50, 40, 30))
    assert a.signature() == b.signature()
    assert a.same_points(b)
    other = box([1, 91, 181, 271])
    assert not a.same_points(other)
    assert not a.same_points(box([0, 90, 180]))
    assert a.signature() != other.signature()


def test_a_cell_beside_a_hole_is_as_wide_as_on_its_other_side():
    """Two polar caps, and two sectors of longitude."""
    caps = Grid.from_coordinates(np.array([-60.0, -50, -40, 40, 50, 60]), np.arange(0.0, 100, 10))
    north = np.radians([35, 45, 55, 65])
    np.testing.assert_allclose(caps.cell_heights[3:], np.diff(np.sin(north)))
    np.testing.assert_allclose(caps.cell_heights, caps.cell_heights[::-1])
    sectors = Grid.from_coordinates(np.arange(0.0, 50, 10), np.array([0.0, 10, 20, 100, 110, 120]))
    np.testing.assert_allclose(sectors.cell_widths, 10)


def test_a_step_that_grows_smoothly_is_no_hole():
    lat = np.cumsum(1.3 ** np.arange(12.0))
    grid = Grid.from_coordinates(lat, np.arange(0.0, 100, 10))
    middles = (lat[1:] + lat[:-1]) / 2
    edges = np.radians([2 * lat[0] - middles[0], *middles, 2 * lat[-1] - middles[-1]])
    np.testing.assert_allclose(grid.cell_heights, np.diff(np.sin(edges)))
