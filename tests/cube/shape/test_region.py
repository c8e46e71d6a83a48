from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.region import Region, cut_region
from faconv_cli.errors import InputError, UsageError

LAT = np.arange(-80.0, 81.0, 20)
LON = np.arange(0.0, 360.0, 30)


def _place(lat, lon):
    """(1, h, w) values that name their place, whatever the convention of longitudes."""
    return (1000 * np.asarray(lat)[:, None] + np.asarray(lon)[None] % 360)[None].astype(np.float32)


def _world(write, lat=LAT, lon=LON, steps=4, name="data.nc"):
    return open_cube([write(name, {"x": np.repeat(_place(lat, lon), steps, 0)}, lat=lat, lon=lon)])


@pytest.mark.parametrize(
    ("text", "lon"),
    [
        ("-20:40,30:90", [30, 60, 90]),
        ("40:-20,30:90", [30, 60, 90]),
        ("-20:40,150:-150", [150, 180, 210]),
        ("-20:40,-60:30", [-60, -30, 0, 30]),
        ("-20:40,300:30", [-60, -30, 0, 30]),
        ("-20:40,-60:390", LON),
        ("-20:40,-180:180", LON),
        ("-20:40,0:360", LON),
    ],
)
@pytest.mark.parametrize("west", [0, -180])
@pytest.mark.parametrize("turned", [False, True])
def test_a_region_holds_its_points_whatever_the_order_of_the_file(write, text, lon, west, turned):
    file_lon = np.sort((LON - west) % 360 + west)
    cube = cut_region(_world(write, LAT[::-1] if turned else LAT, file_lon), text)
    np.testing.assert_array_equal(cube.grid.lat, [-20, 0, 20, 40])
    np.testing.assert_array_equal(cube.grid.lon, lon)
    assert cube.grid.periodic == (len(lon) == len(LON))
    np.testing.assert_array_equal(cube.read(1, 3)[:, 0], np.repeat(_place(cube.grid.lat, lon), 2, 0))
    np.testing.assert_array_equal(cube.fields[1:3, 0], cube.read(1, 3)[:, 0])
    assert f"4 x {len(lon)} of 9 x 12 points" in cube.notes[-1]


def test_longitudes_of_a_region_stay_those_of_the_file_unless_they_cross_its_ends(write):
    inside = cut_region(_world(write, LAT[::-1]), "-20:40,190:330").grid
    np.testing.assert_array_equal(inside.file_lon, [210, 240, 270, 300, 330])
    np.testing.assert_array_equal(inside.file_lat, [40, 20, 0, -20])
    np.testing.assert_array_equal(inside.lon, [-150, -120, -90, -60, -30])
    across = cut_region(_world(write), "-20:40,-60:30").grid
    np.testing.assert_array_equal(across.file_lon, [-60, -30, 0, 30])


def test_a_meridian_that_a_file_repeats_at_its_end_is_taken_once(write):
    lon = np.append(LON, 360.0)
    cube = cut_region(_world(write, lon=lon), "-20:40,-60:30")
    np.testing.assert_array_equal(cube.grid.lon, [-60, -30, 0, 30])
    np.testing.assert_array_equal(cube.read(0, 1)[:, 0], _place(cube.grid.lat, cube.grid.lon))


def test_a_region_of_the_globe_is_the_grid_of_a_file_cut_already(write):
    lon = np.array([150.0, 180, 210])
    cut = cut_region(_world(write), "-20:40,150:-150")
    alone = cut_region(_world(write, LAT[3:7], lon, name="cut.nc"), "-20:40,150:-150")
    assert cut.grid.same_points(alone.grid)
    np.testing.assert_allclose(cut.grid.area, alone.grid.area)
    np.testing.assert_array_equal(cut.read(0, 4), alone.read(0, 4))


def test_of_two_dimensional_coordinates_the_box_is_kept_and_what_lies_outside_is_missing(make_cube):
    cube = make_cube(np.arange(2 * 8 * 9.0).reshape(2, 1, 8, 9))
    y, x = np.mgrid[0:8, 0:9]
    grid = Grid.from_coordinates(40.0 + y + x, 175.0 + x - y, "y", "x")  # turned by an eighth of a circle
    object.__setattr__(cube, "grid", grid)
    cut = cut_region(cube, "43:47,174:-178")
    inside = (grid.lat >= 43) & (grid.lat <= 47) & (grid.lon >= 174) & (grid.lon <= 182)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    expected = np.where(inside, cube.read(0, 2)[:, 0], np.nan)[:, *box]
    np.testing.assert_array_equal(cut.read(0, 2)[:, 0], expected)
    np.testing.assert_array_equal(cut.grid.lat, grid.lat[box])
    assert f"{np.isnan(expected[0]).sum()} of them outside the region and set to missing" in cut.notes[-1]
    assert np.isnan(expected).any()


@given(west=st.integers(-180, 179), width=st.integers(0, 400), convention=st.sampled_from([0, -180]))
def test_longitudes_inside_lie_eastwards_of_the_western_edge(west, width, convention):
    lon = (LON - convention) % 360 + convention
    inside = lon[Region(-10, 10, west, west + width).longitudes(lon)]
    assert set(inside) == {x for x in lon if (x - west) % 360 <= width or width >= 360}


@pytest.mark.parametrize("text", ["20:80", "a:b,c:d", "0:95,0:10", "0:10,0:900", "0:10;0:10", ""])
def test_what_is_no_region_is_refused(write, text):
    with pytest.raises(UsageError, match="--region"):
        cut_region(_world(write), text)


def test_a_region_without_points_is_refused_with_what_there_is(write):
    with pytest.raises(InputError, match=r"holds 0 x 12 points.*latitudes -80 to 80"):
        cut_region(_world(write), "1:9,0:360")


def test_a_region_whose_cells_have_no_area_is_refused(write):
    world = _world(write)
    area = np.where(world.grid.lat[:, None] > 0, 1.0, 0.0) * np.ones(world.grid.shape)
    weighted = replace(world, grid=replace(world.grid, cell_area=area))
    assert cut_region(weighted, "-20:40,0:90").grid.area.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="all points in --region -60:-20,0:90 have a cell area of 0"):
        cut_region(weighted, "-60:-20,0:90")


def test_a_region_can_be_cut_twice(write):
    world = _world(write)
    twice = cut_region(cut_region(world, "-40:60,270:120"), "-20:40,300:30")
    once = cut_region(world, "-20:40,300:30")
    np.testing.assert_array_equal(twice.read(0, 4), once.read(0, 4))
    np.testing.assert_array_equal(twice.grid.lon, once.grid.lon)
