"""Cells of an axis, and parts that it leaves out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.region import cut_region
from faconv_cli.cube.sphere.cells import cells, holes
from tests.cube.conftest import places


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
