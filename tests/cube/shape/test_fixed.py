import netCDF4
import numpy as np
import pytest

from faconv_cli.config import DataConfig
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.fixed import apply_mask, read_mask, read_statics
from faconv_cli.cube.shape.region import cut_region
from faconv_cli.errors import CheckpointError, InputError

PLAIN = DataConfig()
LAT, LON = np.arange(-60.0, 61, 20), np.arange(0.0, 360, 30)


@pytest.fixture
def cube(write):
    fields = np.random.default_rng(0).normal(size=(5, 7, 12)).astype(np.float32)
    return open_cube([write("data.nc", {"x": fields}, lat=LAT[::-1], lon=LON - 180)])


@pytest.fixture
def fixed(tmp_path):
    """Write fields on latitude and longitude alone, in another order than the data."""

    def write(name="fixed.nc", lat=LAT, lon=LON, **fields):
        with netCDF4.Dataset(tmp_path / name, "w") as file:
            for dim, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
                file.createDimension(dim, len(values))
                file.createVariable(dim, "f8", (dim,))[:] = values
                file[dim].units = units
            file.createDimension("time", 1)
            for key, values in fields.items():
                dims = ("time", "lat", "lon")[-values.ndim :]
                fill = -9 if values.dtype.kind != "u" else None
                file.createVariable(key, values.dtype, dims, fill_value=fill)[:] = values
        return tmp_path / name

    return write


def _land(seed=0, missing=False):
    land = (np.random.default_rng(seed).uniform(size=(7, 12)) > 0.3).astype(np.int8)
    if missing:
        land[2, 3] = -9
    return land


def test_points_where_the_mask_is_zero_or_missing_are_taken_as_missing(cube, fixed):
    land = _land(missing=True)
    keep = read_mask(str(fixed(lsm=land)), cube.grid, PLAIN)
    np.testing.assert_array_equal(keep, land > 0)
    masked = apply_mask(cube, keep)
    expected = np.where(land > 0, cube.read(0, 5)[:, 0], np.nan)
    np.testing.assert_array_equal(masked.read(0, 5)[:, 0], expected)
    np.testing.assert_array_equal(masked.fields[2:4, 0], expected[2:4])
    assert f"Mask: {(land < 1).sum()} of 84 points" in masked.notes[-1]


@pytest.mark.parametrize("region", ["-40:40,270:90", "-20:60,60:180"])
def test_a_mask_of_the_whole_grid_or_of_the_region_is_cut_as_the_data(cube, fixed, region):
    land = _land()
    cut = cut_region(cube, region)
    keep = read_mask(str(fixed(lsm=land)), cut.grid, DataConfig(region=region))
    rows, columns = np.searchsorted(LAT, cut.grid.lat), np.searchsorted(LON, cut.grid.lon % 360)
    np.testing.assert_array_equal(keep, land[np.ix_(rows, columns)] > 0)
    own = fixed("own.nc", cut.grid.lat, cut.grid.lon, lsm=land[np.ix_(rows, columns)])
    np.testing.assert_array_equal(read_mask(str(own), cut.grid, DataConfig(region=region)), keep)


def test_one_of_several_fields_is_named(cube, fixed):
    path = fixed(lsm=_land(1), other=_land(2))
    np.testing.assert_array_equal(read_mask(f"{path}:other", cube.grid, PLAIN), _land(2) > 0)
    with pytest.raises(InputError, match=r"several fields: lsm, other.*--mask FILE:VARIABLE"):
        read_mask(str(path), cube.grid, PLAIN)
    with pytest.raises(InputError, match=r"no field 'sea'.*the file has lsm, other"):
        read_mask(f"{path}:sea", cube.grid, PLAIN)


def test_a_mask_on_another_grid_is_refused_with_both_named(cube, fixed):
    path = fixed(lat=LAT + 1, lsm=_land())
    with pytest.raises(
        InputError, match=r"lsm is on another grid .7 x 12 points, latitudes -59 to 61.*latitudes -60 to 60"
    ):
        read_mask(str(path), cube.grid, PLAIN)
    with pytest.raises(InputError, match="masks every point"):
        read_mask(str(fixed("zero.nc", lsm=0 * _land())), cube.grid, PLAIN)


@pytest.mark.parametrize(("fill", "dtype"), [(255, "u1"), (-127, "i1"), (-1, "f4"), (2, "i2")])
def test_a_mask_whose_fill_is_not_declared_is_refused(cube, fixed, fill, dtype):
    path = str(fixed(lsm=np.where(_land() > 0, 1, fill).astype(dtype)))
    held = ", ".join(map(str, sorted((1, fill))))
    with pytest.raises(
        InputError, match=rf"lsm holds {held}, but neither 0 nor a missing point.*0 or missing"
    ):
        read_mask(path, cube.grid, PLAIN)
    keep = read_mask(path, cube.grid, DataConfig(missing_value=(fill,)))
    np.testing.assert_array_equal(keep, _land() > 0)


def test_a_mask_of_shares_none_of_which_is_zero_is_refused(cube, fixed):
    shares = np.linspace(0.2, 1, 84, dtype="f4").reshape(7, 12)
    with pytest.raises(InputError, match=r"lsm holds 0\.2 to 1, but neither 0"):
        read_mask(str(fixed(lsm=shares)), cube.grid, PLAIN)


def test_a_mask_of_one_value_and_basins_that_a_region_has_no_land_between_keep_all_points(cube, fixed):
    assert read_mask(str(fixed(lsm=np.ones((7, 12), np.int8))), cube.grid, PLAIN).all()
    basins = np.repeat(np.array([0, 1, 1, 2, 2, 3, 0], np.int8), 12).reshape(7, 12)
    cut = cut_region(cube, "-40:40,0:360").grid
    assert read_mask(str(fixed("basins.nc", basin=basins)), cut, PLAIN).all()


def test_a_field_that_changes_in_time_is_no_mask(cube, write):
    path = write("moving.nc", {"ice": np.ones((4, 7, 12), np.float32)}, lat=LAT, lon=LON)
    with pytest.raises(InputError, match="ice has a further dimension time of 4"):
        read_mask(f"{path}:ice", cube.grid, PLAIN)
    with pytest.raises(InputError, match="no field without a time"):
        read_mask(str(path), cube.grid, PLAIN)


def test_a_mask_with_several_time_steps_is_refused_for_them(cube, write):
    def standard(file):
        file["time"].standard_name = "time"

    path = write("moving.nc", {"ice": np.ones((4, 7, 12), np.float32)}, lat=LAT, lon=LON, edit=standard)
    with pytest.raises(InputError, match="ice has 4 time steps"):
        read_mask(f"{path}:ice", cube.grid, PLAIN)


def test_a_global_mask_fits_a_record_of_a_region_without_being_told(write, fixed):
    land = _land()
    fields = np.zeros((5, 3, 5), np.float32)
    cube = open_cube([write("part.nc", {"x": fields}, lat=LAT[4:1:-1], lon=[-60.0, -30, 0, 30, 60])])
    path = fixed(lat=LAT[::-1], lsm=land[::-1])
    expected = land[2:5][:, [10, 11, 0, 1, 2]] > 0
    np.testing.assert_array_equal(read_mask(str(path), cube.grid, PLAIN), expected)


def test_a_field_beside_a_mask_that_is_wrong_is_no_matter(cube, fixed):
    path = fixed(lsm=_land())
    with netCDF4.Dataset(path, "a") as file:
        for name, units in (("far", "degrees_north"), ("away", "degrees_east")):
            file.createVariable(name, "f8", ("lat", "lon"))[:] = 95.0
            file[name].units = units
        other = file.createVariable("other", "f8", ("lat", "lon"))
        other[:], other.coordinates = 1.0, "far away"
    np.testing.assert_array_equal(read_mask(f"{path}:lsm", cube.grid, PLAIN), _land() > 0)
    with pytest.raises(InputError, match="beyond the poles"):
        read_mask(f"{path}:other", cube.grid, PLAIN)


def test_a_checkpoint_s_mask_does_not_fit_another_grid(cube):
    with pytest.raises(CheckpointError, match=r"7 x 12 points.*mask of the checkpoint has 3 x 3"):
        apply_mask(cube, np.ones((3, 3), bool))


def test_static_channels_have_mean_zero_and_variance_one_over_the_area(cube, fixed):
    height = np.random.default_rng(1).gamma(1, 800, (7, 12)).astype(np.float32)
    height[0, :3] = -9
    path = fixed(oro=height[None], lsm=_land())
    names, statics = read_statics([f"{path}:lsm,oro"], cube.grid, PLAIN)
    assert names == ("lsm", "oro")
    known = height != -9
    area = np.where(known, cube.grid.area, 0)
    assert (statics[1] * area).sum() == pytest.approx(0, abs=1e-6)
    assert (statics[1] ** 2 * area).sum() / area.sum() == pytest.approx(1, rel=1e-5)
    assert (statics[1][~known] == 0).all()
    np.testing.assert_allclose(np.corrcoef(statics[1][known], height[known])[0, 1], 1, rtol=1e-6)


def test_static_channels_are_coarsened_as_the_data(cube, fixed):
    height = np.random.default_rng(1).normal(size=(7, 12)).astype(np.float32)
    _, statics = read_statics([str(fixed(oro=height))], cube.grid, DataConfig(coarsen=2))
    area = cube.grid.area
    blocks = np.array(
        [
            [
                np.average(height[y : y + 2, x : x + 2], weights=area[y : y + 2, x : x + 2])
                for x in range(0, 12, 2)
            ]
            for y in range(0, 7, 2)
        ]
    )
    assert statics.shape == (1, 4, 6)
    np.testing.assert_allclose(np.corrcoef(statics.ravel(), blocks.ravel())[0, 1], 1, rtol=1e-6)


def test_a_constant_static_field_and_one_named_twice_are_refused(cube, fixed):
    path = fixed(one=np.full((7, 12), 3.3, np.float32), oro=_land())
    with pytest.raises(InputError, match="one is constant"):
        read_statics([f"{path}:one"], cube.grid, PLAIN)
    with pytest.raises(InputError, match="names oro twice"):
        read_statics([f"{path}:oro", f"{path}:oro"], cube.grid, PLAIN)


def test_a_file_beside_the_data_may_hold_both(write, cube):
    def add(file):
        file.createVariable("oro", "f4", ("lat", "lon"))[:] = _land()

    path = write("both.nc", {"x": np.ones((4, 7, 12), np.float32)}, lat=LAT, lon=LON, edit=add)
    assert read_statics([str(path)], cube.grid, PLAIN)[0] == ("oro",)


def test_a_mask_on_points_without_a_grid_is_regridded_as_the_data(tmp_path):
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-30, 30, 400), rng.uniform(0, 60, 400)
    with netCDF4.Dataset(tmp_path / "points.nc", "w") as file:
        file.createDimension("time", 5)
        file.createDimension("cell", 400)
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createVariable(name, "f8", ("cell",))[:] = values
            file[name].units = units
        file.createVariable("time", "f8", ("time",))[:] = np.arange(5)
        file["time"].units = "days since 2001-01-01"
        file.createVariable("x", "f4", ("time", "cell"))[:] = rng.normal(size=(5, 400))
        file["x"].coordinates = "lat lon"
        file.createVariable("lsm", "f4", ("cell",))[:] = lat > 0
        file["lsm"].coordinates = "lat lon"
    path = str(tmp_path / "points.nc")
    grid = open_cube([path], regrid=6.0).grid
    keep = read_mask(f"{path}:lsm", grid, DataConfig(regrid=6.0))
    np.testing.assert_array_equal(keep, (grid.lat > 0)[:, None] & np.ones(grid.shape, bool))
