"""GRIB points in any order: each value is where ecCodes says that it lies."""

import eccodes
import numpy as np
import pytest

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError
from tests.cube.grib_files import LAT, LON, write_grib

FIELD = 1000 + np.arange(len(LAT) * len(LON)).reshape(len(LAT), len(LON))  # north first, from 0 to 330 E
EAST_FIRST = {
    "iScansNegatively": 1,
    "longitudeOfFirstGridPointInDegrees": LON[-1],
    "longitudeOfLastGridPointInDegrees": 0,
}
SOUTH_FIRST = {
    "jScansPositively": 1,
    "latitudeOfFirstGridPointInDegrees": LAT[-1],
    "latitudeOfLastGridPointInDegrees": LAT[0],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def every_second_turned(rows):
    turned = rows.copy()
    turned[1::2] = turned[1::2, ::-1]
    return turned


def by_columns(field):
    return field.T.reshape(field.shape)


ORDERS = {
    "usual": ({}, FIELD),
    "east_first": (EAST_FIRST, FIELD[:, ::-1]),
    "south_and_east_first": ({**EAST_FIRST, **SOUTH_FIRST}, FIELD[::-1, ::-1]),
    "by_columns": ({"jPointsAreConsecutive": 1}, by_columns(FIELD)),
    "by_columns_south_first": ({"jPointsAreConsecutive": 1, **SOUTH_FIRST}, by_columns(FIELD[::-1])),
    "by_columns_east_first": ({"jPointsAreConsecutive": 1, **EAST_FIRST}, by_columns(FIELD[:, ::-1])),
    "turning": ({"alternativeRowScanning": 1}, every_second_turned(FIELD)),
    "turning_east_first": (
        {"alternativeRowScanning": 1, **EAST_FIRST},
        every_second_turned(FIELD[:, ::-1]),
    ),
    "turning_by_columns": (
        {"alternativeRowScanning": 1, "jPointsAreConsecutive": 1},
        every_second_turned(FIELD.T).reshape(FIELD.shape),
    ),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("edition", [1, 2])
def test_values_lie_where_the_message_says_however_it_scans(tmp_path, order, edition):
    keys, values = ORDERS[order]
    if edition == 1 and "alternativeRowScanning" in keys:
        pytest.skip("there is no such order in edition 1")
    messages = [{**keys, "paramId": 167, "day": day, "values": values + 100 * day} for day in range(1, 4)]
    cube = open_cube([write_grib(tmp_path / "x.grib", messages, edition)])
    assert cube.grid.lat.tolist() == LAT[::-1].tolist()
    assert cube.grid.lon.tolist() == LON.tolist()
    for day, field in enumerate(cube.read(0, 3)[:, 0], 1):
        np.testing.assert_array_equal(field, FIELD[::-1] + 100 * day)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("west", [-150, 210, -30, 330, 0])
def test_a_region_across_the_meridian_keeps_its_columns_in_order(tmp_path, edition, west):
    half = FIELD[:, :6]  # of the columns, from west on
    keys = {
        "Ni": 6,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": (west + 150 + 180) % 360 - 180,
        "paramId": 167,
    }
    messages = [{**keys, "day": day, "values": half} for day in range(1, 4)]
    cube = open_cube([write_grib(tmp_path / "x.grib", messages, edition, shape=half.shape)])
    assert cube.grid.lon.tolist() == (((west + 180) % 360 - 180) + LON[:6]).tolist()
    np.testing.assert_array_equal(cube.read(0, 1)[0, 0], half[::-1])


PROJECTION = {
    "lambert": dict.fromkeys(("LaDInDegrees", "Latin1InDegrees", "Latin2InDegrees"), 50.0),
    "polar_stereographic": {"LaDInDegrees": 60.0},
    "lambert_azimuthal_equal_area": {"standardParallelInDegrees": 50.0},
}


def projected(path, grid, **mode):
    """Write a few steps on a projection, of 3 x 4 points."""
    keys = {
        "Nx": 4,
        "Ny": 3,
        "latitudeOfFirstGridPointInDegrees": 50.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "DxInMetres": 1e6,
        "DyInMetres": 1e6,
        **PROJECTION[grid],
        **mode,
    }
    with path.open("wb") as file:
        for day in range(1, 5):
            handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
            eccodes.codes_set(handle, "gridType", grid)
            for key, value in {**keys, "dataDate": 20000100 + day, "bitsPerValue": 16}.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, np.arange(12.0) + 100 * day)
            eccodes.codes_write(handle, file)
            eccodes.codes_release(handle)
    return path


@pytest.mark.parametrize("key", ["iScansNegatively", "jPointsAreConsecutive"])
def test_a_projection_in_an_order_that_eccodes_does_not_place_is_refused(tmp_path, key):
    path = projected(tmp_path / "x.grib", "lambert", jScansPositively=1, **{key: 1})
    with pytest.raises(InputError, match=f"lambert grid .*{key}=1.*wgrib2"):
        open_cube([path])


def test_a_projection_from_north_to_south_is_refused_where_eccodes_turns_it(tmp_path):
    with pytest.raises(InputError, match="jScansPositively=0"):
        open_cube([projected(tmp_path / "x.grib", "polar_stereographic", jScansPositively=0)])


@pytest.mark.parametrize(
    ("grid", "mode"),
    [("lambert", {"jScansPositively": 1}), ("lambert_azimuthal_equal_area", {"jScansPositively": 0})],
)
def test_a_projection_in_the_usual_order_lies_where_eccodes_says(tmp_path, grid, mode):
    path = projected(tmp_path / "x.grib", grid, **mode)
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
        lat, lon, values = eccodes.codes_get_array(handle, "latLonValues").reshape(-1, 3).T
        eccodes.codes_release(handle)
    cube = open_cube([path])
    np.testing.assert_allclose(cube.grid.lat.ravel(), lat)
    np.testing.assert_allclose(cube.grid.lon.ravel() % 360, lon % 360)
    np.testing.assert_allclose(cube.read(0, 1)[0, 0].ravel(), values, atol=0.01)
