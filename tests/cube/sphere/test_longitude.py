"""Meridians that a file gives twice."""

import numpy as np
import pytest

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.region import cut_region
from faconv_cli.cube.sphere.longitude import once_around
from faconv_cli.errors import InputError
from tests.cube.conftest import places

LAT, LON = np.arange(-50.0, 51, 20), np.arange(0.0, 360, 30)


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
    with pytest.raises(InputError, match="more than once, with different meridians"):
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
        sum(f"{columns} of {len(lon)} columns along lon repeat the other end" in note for note in again.notes)
        == 1
    )
    region = "-30:30,-60:60"
    np.testing.assert_array_equal(cut_region(again, region).read(1, 3), cut_region(once, region).read(1, 3))
    assert not any("different values" in note for note in again.notes)


@pytest.mark.parametrize("step", [0, 3])
def test_a_meridian_with_two_values_is_told(write, step):
    fields = places(LAT, np.append(LON, 360.0)).astype(np.float32)
    fields[step, 2, -1] += 1
    cube = open_cube([write(variables={"x": fields}, lat=LAT, lon=np.append(LON, 360.0))])
    assert any("x has different values on repeated meridians" in note for note in cube.notes)
    np.testing.assert_array_equal(cube.read(0, 4)[:, 0], fields[:, :, :-1])
