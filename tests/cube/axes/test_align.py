"""Fields beside a record, brought to its points by their coordinates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.axes.align import aligned
from faconv_cli.cube.grid import Grid

LAT, LON = np.arange(-60.0, 61, 20), np.arange(0.0, 360, 30)


def curved(h=8, w=10):
    """Coordinates of a grid whose rows are no circles of latitude."""
    lat, lon = np.meshgrid(np.linspace(30, 70, h), np.linspace(-40, 50, w), indexing="ij")
    return lat + 0.1 * lon, lon + 0.3 * lat


def place(grid):
    """A field (h, w) in canonical order whose values name the place."""
    lat, lon = np.broadcast_arrays(*((grid.lat[:, None], grid.lon) if grid.regular else (grid.lat, grid.lon)))
    return np.round(1000 * lat + (lon + 1e-6) % 360, 4)


def canonical(lat, lon):
    """Make a grid, and a field in its canonical order by way of the file's order."""
    grid = Grid.from_coordinates(lat, lon)
    if not grid.regular:
        return grid, place(grid)
    in_file = np.round(1000 * np.asarray(lat)[:, None] + np.asarray(lon) % 360, 4)
    return grid, grid.to_canonical(in_file)


@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, -180.0]),
    st.integers(0, 11),
    st.integers(0, 4),
    st.integers(3, 7),
    st.integers(0, 11),
    st.integers(3, 12),
)
def test_a_global_field_is_found_at_any_box_in_any_order(
    north_first, west, low, shift, south, high, left, wide
):
    lon = np.roll((LON - low) % 360 + low, shift)
    own, field = canonical(LAT[::-1] if north_first else LAT, lon[::-1] if west else lon)
    grid = Grid.from_coordinates(
        LAT[south:high] if high - south > 1 else LAT, 30.0 * np.arange(left, left + wide)
    )
    np.testing.assert_allclose(aligned(field, own, grid), place(grid))


@pytest.mark.parametrize(
    "order",
    [
        np.s_[:, :],
        np.s_[::-1, :],
        np.s_[:, ::-1],
        np.s_[::-1, ::-1],
        "transposed",
        "rolled",
        "other convention",
    ],
)
@pytest.mark.parametrize("box", [np.s_[:, :], np.s_[2:6, 3:9]])
def test_a_field_on_two_dimensional_coordinates_is_found_in_any_order(order, box):
    lat, lon = curved()
    grid = Grid.from_coordinates(lat[box], lon[box])
    if order == "transposed":
        lat, lon = lat.T, lon.T
    elif order == "rolled":
        lat, lon = (np.roll(one, 3, axis=1) for one in (lat, lon))
    elif order == "other convention":
        lon = (lon % 360).astype(np.float32).astype(float)
    else:
        lat, lon = lat[order], lon[order]
    own, field = canonical(lat, lon)
    np.testing.assert_allclose(aligned(field, own, grid), place(grid), atol=1e-4)


def test_a_field_on_axes_is_found_on_the_mesh_of_them_and_back():
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    mesh, axes = Grid.from_coordinates(lat, lon), Grid.from_coordinates(LAT[::-1], LON - 180)
    np.testing.assert_allclose(aligned(place(axes), axes, mesh), place(mesh))
    np.testing.assert_allclose(aligned(place(mesh), mesh, axes), place(axes))


def test_points_without_coordinates_have_no_value():
    lat, lon = curved()
    own, field = canonical(lat[::-1], lon[::-1])
    lat[2, 3] = lon[5, 5] = np.nan
    found = aligned(field, own, Grid.from_coordinates(lat, lon))
    assert set(zip(*np.nonzero(np.isnan(found)), strict=True)) == {(2, 3), (5, 5)}


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (LAT + 1, LON),
        (LAT, LON + 1),
        (LAT, LON + 0.5),
        (LAT[:-1], LON),  # a row less than the data
        (np.arange(-60, 61, 10.0), LON),  # other points between those of the data
        (LAT, np.arange(0, 360, 15.0)),
    ],
)
def test_a_field_on_other_points_is_none(lat, lon):
    grid = Grid.from_coordinates(LAT, LON)
    for own, field in (canonical(lat, lon), canonical(*np.meshgrid(lat, lon, indexing="ij"))):
        assert aligned(field, own, grid) is None


def test_a_hundredth_of_a_cell_is_the_tolerance():
    grid = Grid.from_coordinates(LAT, LON)
    for off, same in ((0.19, True), (0.21, False)):
        own, field = canonical(LAT[::-1] + off, LON)
        assert (aligned(field, own, grid) is not None) == same


def test_of_an_overlap_the_point_that_weighs_is_taken():
    lat, lon = curved()
    grid = Grid.from_coordinates(lat, lon)
    wide = [np.concatenate([one, one[:, :2]], axis=1) for one in (lat, lon)]
    own = Grid.from_coordinates(*(one[::-1] for one in wide))
    field = place(own)
    field[:, -2:] = -1.0
    np.testing.assert_allclose(aligned(field, own, grid), place(grid))
