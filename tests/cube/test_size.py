import eccodes
import numpy as np
import pytest
import xarray as xr

from faconv_cli.config import DataConfig
from faconv_cli.cube import overview, size
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import InputError


def opened(*paths):
    return open_record([str(path) for path in paths], DataConfig())


@pytest.fixture
def large(monkeypatch):
    """Have every record count as too large to be held in memory."""
    monkeypatch.setattr(size, "HELD_BYTES", 0)


def test_the_size_of_a_record_is_told_before_it_is_read(write):
    cube = opened(write())
    assert size.estimate(cube).startswith(
        "6 x 1 x 3 x 4 values (time, channel, y, x), 0.0 MiB as float32, from "
    )
    assert size.file_bytes(cube) > 0
    assert size.estimate(cube).endswith("held in memory")
    assert cube.masked == []  # nothing has been read


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ((1, 3, 4), None),
        ((24, 3, 4), None),
        ((400, 1, 1), "each window of 24 steps reads some 17 times what it needs"),
        ((200, 3, 4), "reads some 8 times"),
    ],
)
def test_chunks_that_make_windows_slow_are_told_with_what_to_do(write, large, chunks, told):
    path = write(variables={"x": np.zeros((400, 3, 4), np.float32)}, chunksizes=chunks)
    advice = size.chunk_advice(opened(path))
    assert (advice is None) == (told is None)
    assert told is None or (told in advice and "faconv prepare" in advice)


def test_chunks_of_a_record_that_fits_into_memory_do_not_matter(write):
    path = write(variables={"x": np.zeros((400, 3, 4), np.float32)}, chunksizes=(400, 1, 1))
    assert size.chunk_advice(opened(path)) is None


@pytest.mark.parametrize(("chunks", "held"), [((400, 1, 1), True), ((24, 3, 4), False)])
def test_a_small_record_in_long_chunks_is_read_once(write, chunks, held):
    path = write(variables={"x": np.ones((400, 3, 4), np.float32)}, chunksizes=chunks)
    cube = opened(path)
    assert (size.eased(cube).series is None) == held
    np.testing.assert_array_equal(size.eased(cube).read(3, 9), cube.read(3, 9))


def test_time_as_the_last_axis_is_slow_too(write, large, tmp_path):
    path = tmp_path / "last.nc"
    with xr.open_dataset(write(variables={"x": np.zeros((400, 3, 4), np.float32)})) as data:
        data.transpose("lat", "lon", "time").to_netcdf(
            path, encoding={"x": {"contiguous": True}}, unlimited_dims=[]
        )
    assert "reads some 17 times" in size.chunk_advice(opened(path))


def test_fields_in_very_many_chunks_are_told(write, large):
    fields = np.zeros((2, 30, 30), np.float32)
    path = write(variables={"x": fields}, lat=np.arange(30.0), lon=np.arange(30.0), chunksizes=(1, 1, 1))
    assert "each field is in 900 chunks" in size.chunk_advice(opened(path))


def test_advice_is_a_note_of_the_record_and_few_steps_are_sampled(write, large):
    path = write(variables={"x": np.ones((400, 3, 4), np.float32)}, chunksizes=(400, 1, 1))
    seen = overview.overview(opened(path), exact_bytes=8 * 48 * 10)
    assert any("faconv prepare" in note for note in seen["notes"])
    assert seen["values"]["steps_read"] == 10


def test_a_step_that_does_not_fit_into_memory_is_refused(write, monkeypatch):
    monkeypatch.setattr(size, "available_bytes", lambda: 3 * 48 - 1)
    with pytest.raises(InputError, match=r"one time step of 1 channels has 0.0 MiB. 3 time steps must fit"):
        opened(write())
    monkeypatch.setattr(size, "available_bytes", lambda: 3 * 48)
    opened(write(name="other.nc"))
    monkeypatch.setattr(size, "available_bytes", lambda: None)
    opened(write(name="third.nc"))


def test_the_limit_of_a_job_counts_where_it_is_lower_than_the_machines(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\n")
    monkeypatch.setattr(size, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(size, "_CGROUP", tmp_path)
    assert size.available_bytes() == 1000 * 1024
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    assert size.available_bytes() == 300000
    (tmp_path / "memory.max").write_text("max\n")
    assert size.available_bytes() == 1000 * 1024
    (tmp_path / "meminfo").unlink()
    assert size.available_bytes() is None


def test_a_sparse_grib_is_read_in_pieces_and_told(tmp_path, monkeypatch):
    """30 messages, each of its own date and level: a cube of 30 dates on 30 levels, 97 % of it missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(size, "_SPARSE", 5)
    monkeypatch.setattr(size, "_SPARSE_BYTES", 0)
    with (tmp_path / "sparse.grib").open("wb") as file:
        for number in range(30):
            message = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
            eccodes.codes_set(
                message,
                "dataDate",
                int(np.datetime_as_string(np.datetime64("2001-01-01") + number).replace("-", "")),
            )
            eccodes.codes_set(message, "level", 100 + number)
            eccodes.codes_set_values(
                message, np.full(eccodes.codes_get_size(message, "values"), float(number))
            )
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)
    cube = opened(tmp_path / "sparse.grib")
    assert cube.shape[:2] == (30, 30)
    assert any("times as large as its files" in note for note in cube.notes)
    fields, own = cube.read(3, 4)[0], [channel.level for channel in cube.channels].index(103)
    assert np.isfinite(fields[own]).all()
    assert np.isnan(np.delete(fields, own, axis=0)).all()
