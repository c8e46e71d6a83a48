"""Areas of cells on grids of 2-D coordinates, against those that are known exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.sphere import curved
from faconv_cli.cube.sphere.places import on_sphere
from faconv_cli.cube.sphere.rotated import from_rotated_pole


def shares(lat, lon):
    area = curved.areas(on_sphere(lat, lon), lat)
    return area / np.nansum(area)


@given(st.floats(0, 90), st.floats(-180, 180), st.sampled_from([0.1, 0.5, 2.0]))
def test_a_rotated_pole_changes_no_area(pole, meridian, step):
    rlat, rlon = step * np.arange(-10, 11), step * np.arange(-8, 17)
    mapping = {"grid_north_pole_latitude": pole, "grid_north_pole_longitude": meridian}
    exact = np.cos(np.radians(rlat))[:, None] * np.ones(25)
    np.testing.assert_allclose(
        shares(*from_rotated_pole(rlat, rlon, mapping)), exact / exact.sum(), rtol=1e-3
    )


@pytest.mark.parametrize(("step", "off"), [(1.0, 1e-4), (10.0, 0.01)])
def test_a_mesh_has_the_areas_of_its_axes(step, off):
    lat, lon = np.arange(-90 + step / 2, 90, step), np.arange(0, 360, step)
    mesh = np.meshgrid(lat, lon, indexing="ij")
    np.testing.assert_allclose(shares(*mesh), Grid.from_coordinates(lat, lon).area, rtol=off)


def test_cells_that_are_stretched_have_their_own_size():
    """A grid as high as wide in each place, as of a Mercator projection: areas go with the cosine squared."""
    lat = np.degrees(np.arctan(np.sinh(np.radians(np.arange(-60.0, 61)))))
    mesh = np.meshgrid(lat, np.arange(0.0, 90), indexing="ij")
    exact = np.cos(np.radians(mesh[0])) ** 2
    np.testing.assert_allclose(shares(*mesh)[1:-1], (exact / exact.sum())[1:-1], rtol=1e-3)


def test_a_seam_and_missing_coordinates_do_not_spread():
    lat, lon = np.meshgrid(np.arange(20.0, 41), np.arange(0.0, 31), indexing="ij")
    whole = curved.areas(on_sphere(lat, lon), lat)
    torn = np.roll(lat, 10, 1), np.roll(lon, 10, 1)  # columns 0 and 30 are neighbours now
    np.testing.assert_allclose(curved.areas(on_sphere(*torn), torn[0]), np.roll(whole, 10, 1), rtol=1e-3)
    lat[5:9, 7], lat[12, 12:20] = np.nan, np.nan
    holed = curved.areas(on_sphere(lat, lon), lat)
    assert np.isnan(holed).sum() == 12
    known = np.isfinite(holed)
    np.testing.assert_allclose(holed[known], whole[known], rtol=1e-3)


def test_points_without_neighbours_count_as_average_cells_of_their_latitude():
    lat, lon = np.meshgrid(np.arange(20.0, 61, 10), np.arange(0.0, 51, 10), indexing="ij")
    lat[::2, 1::2] = lat[1::2, ::2] = np.nan  # a chessboard
    area = curved.areas(on_sphere(lat, lon), lat)
    np.testing.assert_allclose(area[np.isfinite(lat)], np.cos(np.radians(lat[np.isfinite(lat)])))
