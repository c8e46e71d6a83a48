"""What real files say of themselves, and what we make of it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.open.gribindex import grib_index
from faconv_cli.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["ostia_monthly.nc", "ostia_monthly.grib"])
def test_the_sample_is_a_monthly_cube_around_the_globe(sample_data, name):
    cube = open_cube([sample_data / name])
    assert cube.shape == (54, 1, 18, 432)
    assert (cube.time.step, cube.time.labels[0][:7], len(cube.time.segments)) == ("1 month", "2006-04", 1)
    assert cube.grid.periodic
    assert np.isnan(cube.read(0, 54)).mean() == pytest.approx(0.264, abs=0.001)


def test_netcdf_and_grib_hold_the_same_fields(sample_data):
    netcdf, grib = (open_cube([sample_data / f"ostia_monthly.{end}"]) for end in ("nc", "grib"))
    assert netcdf.grid.same_points(grib.grid)
    np.testing.assert_allclose(netcdf.read(0, 54), grib.read(0, 54), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "step", "segments", "channels"),
    [
        ("ncep_slp_daily_natl_2001-2010.nc", (3652, 1, 17, 33), "1 day", 1, ["slp"]),
        ("cobe2_sst_pacific_2deg_1950-2009.nc", (720, 1, 45, 85), "1 month", 1, ["sst"]),
        ("ncep_iberia_djf_3var_1983-2002.nc", (1805, 3, 5, 7), "1 day", 20, ["psl", "ta850", "hus850"]),
        ("e1_north_america_yearly_360day.nc", (240, 1, 37, 49), "1 year", 1, ["air_temperature"]),
        ("grib/xrd_era5-2mt-2019-03-uk.grib", (744, 1, 33, 49), "1 hour", 1, ["t2m"]),
        (
            "grib/cfgrib_multi_param_on_multi_dims.grib",
            (4, 12, 37, 72),
            "12 hours",
            1,
            [f"{v}{level}" for v in "ztu" for level in (1000, 850, 500, 300)],
        ),
    ],
)
def test_real_files_open_as_what_they_are(real_data, name, shape, step, segments, channels):
    cube = open_cube([real_data / name])
    assert cube.shape == shape
    assert (cube.time.step, len(cube.time.segments)) == (step, segments)
    assert [channel.name for channel in cube.channels] == channels


def test_members_and_levels_of_a_real_file_are_picked(real_data):
    path = real_data / "grib" / "cfgrib_era5-levels-members.grib"
    one = open_cube([path], member="3", levels=[500])
    assert one.shape == (4, 2, 61, 120)
    samples = open_cube([path], member="all", levels=[500])
    assert samples.shape == (40, 2, 61, 120)
    np.testing.assert_array_equal(samples.read(12, 16), one.read(0, 4))


def test_a_folder_of_real_files_is_one_record(real_data):
    cube = open_cube([real_data / "unifhy_wfde5_uk_hourly"])
    assert cube.shape == (744, 6, 20, 28)
    assert any("contains 6 data files" in note for note in cube.notes)


def test_many_real_files_join(real_data):
    years = open_cube(sorted((real_data / "cobe2_yearly").glob("*.nc")))
    assert years.shape == (72, 1, 180, 360)
    assert years.grid.periodic
    assert years.grid.y_flip
    variables = open_cube(sorted((real_data / "unifhy_wfde5_uk_hourly").glob("*.nc")))
    assert variables.shape == (744, 6, 20, 28)


def test_a_real_curvilinear_file_keeps_its_grid(real_data):
    cube = open_cube([real_data / "stageiv_precip_curvilinear.nc"])
    assert cube.shape == (23, 1, 118, 87)
    assert not cube.grid.regular


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cfgrib_era5-levels-members.grib", "10 ensemble members"),
        ("cfgrib_hpa_and_pa.grib", "there is only one time step"),
    ],
)
def test_real_files_that_are_no_cube_say_why(real_data, name, message):
    with pytest.raises(InputError, match=message):
        open_cube([real_data / "grib" / name])


@pytest.mark.parametrize("cut", [1, 3, 100, 2000])
def test_a_truncated_grib_file_is_refused(sample_data, tmp_path, cut):
    content = (sample_data / "ostia_monthly.grib").read_bytes()
    (tmp_path / "cut.grib").write_bytes(content[:-cut])
    with pytest.raises(InputError, match="cannot be read"):
        open_cube([tmp_path / "cut.grib"])


def test_the_grib_index_lies_in_the_cache_and_follows_the_file(sample_data, tmp_path, cache):
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = folder / "data.grib"
    shutil.copy(sample_data / "ostia_monthly.grib", path)
    first = grib_index(path, cache)
    open_cube([path])
    assert [p.name for p in folder.iterdir()] == ["data.grib"]
    assert len(list((cache / "faconv" / "grib").glob("*.idx"))) == 1
    os.utime(path, (1, 1))
    assert grib_index(path, cache) != first


def test_a_damaged_index_is_made_anew(sample_data, cache):
    cube = open_cube([sample_data / "ostia_monthly.grib"])
    (index,) = Path(cache / "faconv" / "grib").glob("*.idx")
    index.write_bytes(b"not a pickle")
    np.testing.assert_array_equal(open_cube([sample_data / "ostia_monthly.grib"]).read(0, 2), cube.read(0, 2))


def test_a_cache_that_cannot_be_written_is_done_without(sample_data, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert open_cube([sample_data / "ostia_monthly.grib"]).shape[0] == 54


def test_one_process_at_a_time_makes_indices(sample_data, cache, monkeypatch):
    monkeypatch.setattr("faconv_cli.cube.open.gribindex.LONGEST_WAIT_S", 0.05)
    folder = cache / "faconv" / "grib"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):  # another job's: the index is then kept in memory
        assert open_cube([sample_data / "ostia_monthly.grib"]).shape[0] == 54
    assert not list(folder.glob("*.idx"))
    open_cube([sample_data / "ostia_monthly.grib"])
    assert len(list(folder.glob("*.idx"))) == 1
