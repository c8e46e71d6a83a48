import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.shape.coarsen import coarsen
from faconv_cli.errors import UsageError


def _fields(steps, h, w, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    fields = rng.normal(280, 5, (steps, 1, h, w))
    fields[rng.uniform(size=fields.shape) < missing] = np.nan
    return fields


@given(h=st.integers(4, 9), w=st.integers(4, 9), side=st.integers(2, 3), seed=st.integers(0, 99))
def test_a_block_is_the_mean_of_its_valid_points_weighted_by_area(make_cube, h, w, side, seed):
    cube = make_cube(_fields(2, h, w, 0.4, seed))
    coarse = coarsen(cube, side)
    fine, area = cube.read(0, 2)[:, 0].astype(float), cube.grid.area
    for y in range(-(-h // side)):
        for x in range(-(-w // side)):
            box = np.s_[y * side : (y + 1) * side, x * side : (x + 1) * side]
            for step in range(2):
                valid = np.isfinite(fine[step][box])
                got = coarse.read(step, step + 1)[0, 0, y, x]
                if (area[box] * valid).sum() < 0.4999 * area[box].sum():
                    assert np.isnan(got)
                else:
                    expected = np.average(fine[step][box][valid], weights=area[box][valid])
                    np.testing.assert_allclose(got, expected, rtol=1e-6)
            np.testing.assert_allclose(coarse.grid.area[y, x], area[box].sum())


def test_the_mean_over_the_domain_is_kept(make_cube):
    cube = make_cube(_fields(3, 7, 10))
    coarse = coarsen(cube, 3)
    means = [(one.read(0, 3)[:, 0] * one.grid.area).sum((1, 2)) for one in (cube, coarse)]
    np.testing.assert_allclose(*means, rtol=1e-6)


@pytest.mark.parametrize("west", [0, -180])
@pytest.mark.parametrize("flip", [1, -1])
def test_a_coarse_grid_closes_the_circle_in_the_order_and_convention_of_the_file(make_cube, west, flip):
    cube = make_cube(_fields(2, 6, 12))
    grid = Grid.from_coordinates(np.arange(-75.0, 76, 30)[::flip], np.arange(0.0, 360, 30) + west)
    object.__setattr__(cube, "grid", grid)
    coarse = coarsen(cube, 2).grid
    assert coarse.periodic
    np.testing.assert_allclose(coarse.lat, [-60, 0, 60])
    np.testing.assert_allclose(coarse.lon, np.arange(15.0, 360, 60))
    np.testing.assert_allclose(coarse.file_lat, np.array([-60, 0, 60])[::flip])
    np.testing.assert_allclose(coarse.file_lon, np.arange(15.0, 360, 60) + west)
    fields = np.arange(18.0).reshape(3, 6)
    np.testing.assert_array_equal(coarse.to_canonical(coarse.to_file_order(fields)), fields)


def test_two_dimensional_coordinates_are_averaged_across_the_date_line(make_cube):
    cube = make_cube(_fields(2, 4, 4))
    lon = np.array([178.0, 179, -180, -179]) + np.zeros((4, 1))
    lat = np.arange(4.0)[:, None] + np.zeros(4)
    object.__setattr__(cube, "grid", Grid.from_coordinates(lat, lon, "y", "x"))
    coarse = coarsen(cube, 3)
    np.testing.assert_allclose(coarse.grid.lon[0] % 360, [179, 181])
    np.testing.assert_allclose(coarse.grid.lat[:, 0], [1, 3])
    assert coarse.grid.area.sum() == pytest.approx(1)


def test_blocks_that_do_not_close_the_circle_or_leave_no_grid_are_refused(make_cube):
    cube = make_cube(_fields(2, 4, 12))
    object.__setattr__(cube, "grid", Grid.from_coordinates(np.arange(4.0), np.arange(0.0, 360, 30)))
    with pytest.raises(UsageError, match="--coarsen 5 does not divide the 12 longitudes"):
        coarsen(cube, 5)
    with pytest.raises(UsageError, match="--coarsen 4 leaves 1 x 3 of 4 x 12 points"):
        coarsen(cube, 4)
