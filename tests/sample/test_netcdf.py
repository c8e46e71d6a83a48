"""The file holds the cube, whole or not at all, and is written in bounded memory."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import xarray as xr

from faconv_cli.errors import OutputError, UsageError
from faconv_cli.sample.config import PlantedConfig
from faconv_cli.sample.netcdf import count_blocks, write_planted
from faconv_cli.sample.planted import plan, planted_cube

SMALL = PlantedConfig(steps=60, lat=8, lon=16, missing=0.2)


def write(path, config=SMALL, **options):
    for _ in write_planted(config, path, **options):
        pass
    return path


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
@pytest.mark.parametrize("step", ["6-hourly", "daily", "monthly"])
def test_bare_xarray_reads_the_cube_back(tmp_path, calendar, step):
    config = replace(SMALL, calendar=calendar, step=step, variables=3)
    with xr.open_dataset(write(tmp_path / "a.nc", config)) as read:
        xr.testing.assert_identical(read.load(), planted_cube(config))
        np.testing.assert_array_equal(read["regime_true"], plan(config).regime)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, kind="motion", calendar="noleap", variables=6),
        replace(SMALL, kind="teleconnection", calendar="360_day", step="monthly"),
    ],
    ids=lambda config: config.kind,
)
def test_file_complies_with_cf(tmp_path, config, assert_cf):
    assert_cf(write(tmp_path / "a.nc", config))


@pytest.mark.parametrize("chunk", [1, 7, 60, 1000])
def test_chunks_do_not_change_a_bit(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr("faconv_cli.sample.planted.BLOCK_BYTES", 5 * SMALL.step_bytes)
    with xr.open_dataset(write(tmp_path / "a.nc", chunk=chunk)) as read:
        assert read["t2m"].encoding["chunksizes"] == (min(chunk, 60), 8, 16)
        xr.testing.assert_identical(read.load(), planted_cube(SMALL))


def test_the_same_settings_give_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.nc"), write(tmp_path / "b.nc")
    assert first.read_bytes() == second.read_bytes()


def test_default_chunks_are_about_a_mebibyte(tmp_path):
    config = replace(SMALL, lat=181, lon=360, steps=10)
    with xr.open_dataset(write(tmp_path / "a.nc", config)) as read:
        assert read["t2m"].encoding["chunksizes"] == (4, 181, 360)


def test_compression_is_off_unless_asked_for(tmp_path):
    plain, small = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", complevel=4)
    with xr.open_dataset(plain) as a, xr.open_dataset(small) as b:
        assert (a["t2m"].encoding["complevel"], b["t2m"].encoding["complevel"]) == (0, 4)
        xr.testing.assert_identical(a.load(), b.load())
    assert small.stat().st_size < plain.stat().st_size


def test_time_can_grow(tmp_path):
    with netCDF4.Dataset(write(tmp_path / "a.nc")) as file:
        assert file.dimensions["time"].isunlimited()


def test_progress_counts_the_steps_written(tmp_path, monkeypatch):
    monkeypatch.setattr("faconv_cli.sample.planted.BLOCK_BYTES", 14 * SMALL.step_bytes)
    progress = list(write_planted(SMALL, tmp_path / "a.nc", chunk=7))
    assert progress == [14, 28, 42, 56, 60]
    assert count_blocks(SMALL, 7) == len(progress)


def test_memory_does_not_grow_with_the_record(tmp_path, monkeypatch):
    monkeypatch.setattr("faconv_cli.sample.planted.BLOCK_BYTES", 2**20)

    def peak(steps):
        tracemalloc.start()
        write(tmp_path / "a.nc", PlantedConfig(lat=64, lon=128, steps=steps), overwrite=True)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(20)
    short, long = peak(60), peak(600)  # 4 MB and 39 MB
    assert long < 1.2 * short


def test_a_file_that_exists_is_replaced_only_when_asked(tmp_path):
    path = write(tmp_path / "a.nc")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write(path, replace(SMALL, seed=1))
    assert path.read_bytes() == before
    write(path, replace(SMALL, seed=1), overwrite=True)
    assert path.read_bytes() != before


def test_writing_that_is_given_up_leaves_nothing_behind(tmp_path):
    writing = write_planted(SMALL, tmp_path / "a.nc", chunk=1)
    next(writing)
    writing.close()
    assert list(tmp_path.iterdir()) == []


def test_a_cube_larger_than_the_disk_is_refused_at_once(tmp_path):
    with pytest.raises(OutputError, match=r"GB are free. The cube takes 6553600\d*\.\d GB"):
        write(tmp_path / "a.nc", replace(SMALL, lat=40_000, lon=40_000, steps=512_000, variables=2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing_behind(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from faconv_cli.errors import OutputError\n"
        "from faconv_cli.sample.netcdf import PlantedConfig, write_planted\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
        "try: list(write_planted(PlantedConfig(), Path(sys.argv[1]), chunk=10))\n"
        "except OutputError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.nc"], check=True, capture_output=True, text=True
    )
    assert "The file could not be written" in run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "complaint"),
    [({"chunk": 0}, "--chunk is 0"), ({"complevel": 10}, "--complevel is 10"), ({"complevel": -1}, "--comp")],
)
def test_storage_options_out_of_range_are_refused(tmp_path, option, complaint):
    with pytest.raises(UsageError, match=complaint):
        write(tmp_path / "a.nc", **option)
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_while_a_cube_is_written(tmp_path):
    path = write(tmp_path / "a.nc")
    for _ in write_planted(SMALL, tmp_path / "b.nc", chunk=7):
        with xr.open_dataset(path) as data:  # would wait for ever if the lock were held between blocks
            data.load()


def test_the_check_of_cf_finds_what_is_wrong(tmp_path, assert_cf):
    path = write(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["t2m"].units = "furlongs"
    with pytest.raises(AssertionError, match="units"):
        assert_cf(path)
