import sys

import eccodes
import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.config import DataConfig
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.cube.read.regrid import healpix_points, regridding
from faconv_cli.errors import InputError, UsageError

STEPS = 5
ALL = slice(None)


def scattered(count, south=-90.0, north=90.0, west=0.0, east=360.0):
    """Points spread evenly over part of the sphere, on no rows: a Fibonacci lattice."""
    number = np.arange(count) + 0.5
    low, high = np.sin(np.radians([south, north]))
    lat = np.degrees(np.arcsin(low + (high - low) * number / count))
    return lat, west + (east - west) * (number * (5**0.5 - 1) / 2 % 1)


def wave(lat, lon, step=0):
    return 10 * step + 5 * np.sin(np.radians(lat)) + 3 * np.cos(np.radians(lat)) * np.cos(np.radians(lon))


@pytest.fixture
def write_points(tmp_path):
    def _write(lat, lon, *, radians=False, dim="ncol", values=None, edit=None, name="points.nc"):
        fields = np.stack([wave(lat, lon, step) for step in range(STEPS)]) if values is None else values
        with netCDF4.Dataset(tmp_path / name, "w") as file:
            file.createDimension("time", STEPS)
            file.createDimension(dim, len(lat))
            file.createVariable("time", "f8", ("time",))[:] = np.arange(STEPS)
            file["time"].units = "days since 2001-01-01"
            for key, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
                file.createVariable(key, "f8", (dim,))[:] = np.radians(values) if radians else values
                standard_name = {"lat": "latitude", "lon": "longitude"}[key]
                file[key].setncatts({"units": "radian" if radians else units, "standard_name": standard_name})
            variable = file.createVariable("x", "f4", ("time", dim))
            variable.coordinates = "lat lon"
            variable[:] = fields
            if edit:
                edit(file)
        return tmp_path / name

    return _write


def test_a_smooth_field_comes_back_on_the_grid(write_points):
    cube = open_cube([write_points(*scattered(8000))], regrid=5)
    assert cube.shape == (STEPS, 1, 36, 72)
    assert cube.grid.periodic
    expected = np.stack([wave(cube.grid.lat[:, None], cube.grid.lon, step) for step in range(STEPS)])
    np.testing.assert_allclose(cube.read(0, STEPS)[:, 0], expected, atol=0.35)
    assert "8000 points along ncol are regridded to 36 x 72 cells of 5 degrees" in cube.notes[0]


def test_without_being_asked_points_are_refused_and_the_option_is_named(write_points):
    with pytest.raises(
        InputError, match=r"x has an unstructured grid \(one dimension ncol\).*--regrid DEGREES"
    ):
        open_cube([write_points(*scattered(100))])


def test_radians_are_understood(write_points):
    lat, lon = scattered(3000)
    cubes = [open_cube([write_points(lat, lon, radians=r, name=f"{r}.nc")], regrid=10) for r in (True, False)]
    np.testing.assert_allclose(cubes[0].read(0, 2), cubes[1].read(0, 2), rtol=1e-5)


def test_a_cell_is_the_mean_of_the_points_in_it():
    lat, lon = np.array([1.0, 9.0, 5.0, -5.0]), np.array([2.0, -2.0, 14.0, 10.0])
    cells = regridding(lat, lon, 10.0, "n")
    found = cells.apply(np.array([[1.0, 3.0, 7.0, 9.0]], np.float32), ALL, ALL)[0]
    assert found.shape == (2, 2)
    assert (found[1, 0], found[1, 1], found[0, 1]) == (2.0, 7.0, 9.0)


def test_missing_points_take_no_part_and_half_of_a_cell_must_be_there():
    lat, lon = np.repeat([-5.0, 5.0], 4), np.tile([-1.0, 0, 1, 2], 2)
    cells = regridding(lat, lon, 10.0, "n")
    values = np.array([[np.nan, np.nan, 2, 4, np.nan, np.nan, np.nan, 8]], np.float32)
    found = cells.apply(values, ALL, ALL)[0]
    assert found[0, 0] == 3
    assert np.isnan(found[1, 0])


def test_a_cell_without_points_takes_the_nearest_and_one_far_away_is_missing():
    lat, lon = np.meshgrid(np.arange(-20, 21, 2.0), np.arange(0, 41, 2.0))
    holed = (np.hypot(lat - 10, lon - 30) > 9).ravel()
    cells = regridding(lat.ravel()[holed], lon.ravel()[holed], 1.0, "n")
    found = cells.apply(np.ones((1, holed.sum()), np.float32), ALL, ALL)[0]
    assert cells.filled > 0
    assert cells.empty == np.isnan(found).sum() > 0
    middle = np.argmin(np.abs(cells.grid.lat - 10)), np.argmin(np.abs(cells.grid.lon - 30))
    assert np.isnan(found[middle])
    assert np.nanmax(np.abs(found - 1)) < 1e-6


def test_a_region_across_the_date_line_gets_a_grid_of_its_own():
    lat, lon = scattered(2000, south=10, north=40, west=170, east=200)
    grid = regridding(lat, lon, 1.0, "n").grid
    assert not grid.periodic
    assert grid.lon[0] == pytest.approx(170, abs=1)
    assert grid.lon[-1] == pytest.approx(200, abs=1)
    assert grid.shape[0] == pytest.approx(30, abs=2)


@given(st.integers(0, 35), st.integers(1, 36), st.integers(0, 71), st.integers(1, 72), st.integers(1, 5))
def test_what_is_read_at_once_never_changes_a_cell(row, rows, column, columns, steps):
    cells = regridding(*scattered(4000), 5.0, "n")
    values = np.random.default_rng(0).normal(size=(5, 4000)).astype(np.float32)
    values[:, ::3] = np.nan
    at = slice(row, row + rows), slice(column, column + columns)
    whole = cells.apply(values, ALL, ALL)
    np.testing.assert_array_equal(cells.apply(values[:steps], *at), whole[:steps, at[0], at[1]])


def test_regions_and_blocks_of_regridded_records_are_those_of_the_whole(write_points):
    path = str(write_points(*scattered(4000)))
    whole = open_record([path], DataConfig(regrid=5.0))
    part = open_record([path], DataConfig(regrid=5.0, region="0:45,-30:60"))
    rows = np.isin(whole.grid.lat, part.grid.lat)
    columns = [int(np.argmin(np.abs((whole.grid.lon - lon + 180) % 360 - 180))) for lon in part.grid.lon]
    np.testing.assert_array_equal(part.read(1, 3), whole.read(0, 5)[1:3][:, :, rows][..., columns])


def test_fill_that_nobody_declared_is_masked_before_it_is_averaged(write_points):
    lat, lon = scattered(3000)
    values = np.stack([wave(lat, lon)] * STEPS)
    values[1, 7] = 9.96921e36
    cube = open_cube([write_points(lat, lon, values=values)], regrid=10)
    assert np.nanmax(cube.read(0, STEPS)) < 10
    assert any("1 values in 1 fields are fill" in text for text in cube.masked)


def test_healpix_without_coordinates_is_regridded(write_points):
    healpix = pytest.importorskip("healpix")
    nside = 16
    for order in ("nest", "ring"):
        lon, lat = healpix.pix2ang(nside, np.arange(12 * nside**2), nest=order == "nest", lonlat=True)

        def edit(file, order=order):
            file.renameVariable("lat", "a")
            file.renameVariable("lon", "b")
            for name in "ab":
                file[name].setncatts({"units": "1", "standard_name": "region"})
            file["x"].delncattr("coordinates")
            file["x"].grid_mapping = "crs"
            mapping = {
                "grid_mapping_name": "healpix",
                "healpix_nside": np.int32(nside),
                "healpix_order": order,
            }
            file.createVariable("crs", "i4", ()).setncatts(mapping)

        path = write_points(lat, lon, dim="cell", edit=edit, name=f"{order}.nc")
        with pytest.raises(InputError, match=r"unstructured grid \(one dimension cell"):
            open_cube([path])
        cube = open_cube([path], regrid=5)
        expected = wave(cube.grid.lat[:, None], cube.grid.lon)
        np.testing.assert_allclose(cube.read(0, 1)[0, 0], expected, atol=0.4)


def test_healpix_needs_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "healpix", None)
    with pytest.raises(UsageError, match=r"healpix is not installed.*faconv\[regrid\]"):
        healpix_points(4, nested=True, path="x.nc")


def test_a_reduced_gaussian_grib_is_regridded(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with (tmp_path / "n32.grib").open("wb") as file:
        for step in range(3):
            message = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib2")
            eccodes.codes_set(message, "dataDate", 20010101 + step)
            lat, lon = (eccodes.codes_get_array(message, key) for key in ("latitudes", "longitudes"))
            eccodes.codes_set_values(message, wave(lat, lon, step))
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)
    with pytest.raises(InputError, match="--regrid"):
        open_cube([tmp_path / "n32.grib"])
    cube = open_cube([tmp_path / "n32.grib"], regrid=2.8125)
    assert cube.shape == (3, 1, 64, 128)
    expected = np.stack([wave(cube.grid.lat[:, None], cube.grid.lon, step) for step in range(3)])
    np.testing.assert_allclose(cube.read(0, 3)[:, 0], expected, atol=0.12)


@pytest.mark.parametrize(
    ("lat", "degrees", "message"),
    [
        (np.full(9, np.nan), 5.0, "No point along n has both a latitude"),
        (np.zeros(9), 0.001, "would make 64800000000 cells"),
        (np.full(9, 95.0), 5.0, "latitude 'n' goes beyond the poles"),
    ],
)
def test_what_cannot_be_regridded_is_refused(lat, degrees, message):
    with pytest.raises(InputError, match=message):
        regridding(lat, np.arange(9.0), degrees, "n")
