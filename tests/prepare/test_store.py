import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("zarr")
import zarr

from faconv_cli.app import main
from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import DataConfig
from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import InputError, OutputError
from faconv_cli.prepare import store as module
from faconv_cli.prepare.store import Anomalies, write_store

BANDS = (400, 1, 8)
LITTLE = 2**17  # bytes of memory: several pieces
QUICK = [
    *("--window", "12", "--burn-in", "4", "--hidden", "4", "--bottleneck", "4", "--embedding", "4"),
    *("--updates", "0", "--batch", "2", "--threads", "1"),
]


def write(
    cube, path, kind="none", *, detrend=False, memory=LITTLE, overwrite=False, settings=None, training=None
):
    steps = np.arange(len(cube.time)) if training is None else training
    return write_store(
        cube,
        path,
        settings or DataConfig(),
        Anomalies(kind, detrend, steps),
        command="faconv prepare",
        memory_bytes=memory,
        overwrite=overwrite,
    )


def reopened(path):
    """The cube of a store, its channels in the order of the record."""
    return open_cube([path], variables=("t", "p"))


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return stopped.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize("chunks", [(1, 6, 8), BANDS, None])
def test_what_is_written_opens_as_the_same_record(record, tmp_path, chunks):
    cube = open_cube([record(chunks)])
    done = list(write(cube, tmp_path / "out.zarr"))
    assert done == [(n, len(done) - 1) for n in range(len(done))]
    assert len(done) > 2
    again = reopened(tmp_path / "out.zarr")
    np.testing.assert_array_equal(again.read(0, 400), cube.read(0, 400))
    assert again.channels == cube.channels
    assert again.time.labels == cube.time.labels
    assert again.grid.signature() == cube.grid.signature()
    assert again.grid.y_flip == cube.grid.y_flip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.nc", "out.zarr"]


def test_a_record_across_the_ends_of_the_files_longitudes_comes_back(record, tmp_path):
    cube = open_record([str(record())], DataConfig(region="-20:20,10:50", coarsen=2))
    list(write(cube, tmp_path / "out.zarr"))
    np.testing.assert_array_equal(reopened(tmp_path / "out.zarr").read(0, 400), cube.read(0, 400))


@pytest.mark.parametrize(
    "name",
    [
        "stageiv_precip_curvilinear.nc",
        "e1_north_america_yearly_360day.nc",
        "ncep_iberia_djf_3var_1983-2002.nc",
        "unifhy_wfde5_uk_hourly",
    ],
)
def test_real_records_come_back(real_data, tmp_path, name):
    cube = open_cube([real_data / name])
    list(write(cube, tmp_path / "out.zarr", memory=2**26))
    again = open_cube([tmp_path / "out.zarr"], variables=[channel.name for channel in cube.channels])
    np.testing.assert_array_equal(again.read(0, len(cube.time)), cube.read(0, len(cube.time)))
    assert (again.time.labels, again.time.segments) == (cube.time.labels, cube.time.segments)
    assert again.grid.signature() == cube.grid.signature()
    assert again.channels == cube.channels


def test_cell_areas_are_kept(record, tmp_path):
    cube = open_cube([record()])
    area = np.random.default_rng(0).uniform(1, 2, cube.grid.shape)
    cube = replace(cube, grid=replace(cube.grid, cell_area=area))
    list(write(cube, tmp_path / "out.zarr"))
    np.testing.assert_allclose(reopened(tmp_path / "out.zarr").grid.area, cube.grid.area)


def test_numbered_steps_come_back_as_such(capsys, record, tmp_path):
    assert run(capsys, "prepare", record(), tmp_path / "out.zarr", "--time-index")[0] == 0
    again = open_cube([tmp_path / "out.zarr"], time_index=True)
    assert (len(again.time), again.time.step) == (400, "1 step")


@pytest.mark.parametrize("chunks", [(1, 6, 8), BANDS])
@pytest.mark.parametrize(("kind", "detrend"), [("monthly", False), ("daily", True), ("none", True)])
def test_anomalies_are_those_of_the_training_period(record, tmp_path, chunks, kind, detrend):
    cube, training = open_cube([record(chunks)]), np.arange(300)
    list(write(cube, tmp_path / "out.zarr", kind, detrend=detrend, training=training))
    expected = fit_climatology(cube.slice(0, 300), kind, detrend).subtract(cube.read(0, 400), cube.time)
    again = reopened(tmp_path / "out.zarr")
    np.testing.assert_allclose(again.read(0, 400), expected, rtol=1e-4, atol=1e-3)
    assert again.channels[0].anomaly.endswith("of 2001-01-01 to 2001-10-27")
    assert again.channels[0].standard_name == ""
    assert any("t holds anomalies: its" in note for note in again.notes)


def test_differences_of_temperature_are_written_as_such(record, tmp_path):
    cube = open_record([str(record())], DataConfig(derive=("warming=t-t",)))
    list(write(cube, tmp_path / "whole.zarr"))
    list(write(cube, tmp_path / "anomalies.zarr", kind="daily"))
    whole, anomalies = (
        {one.name: one.difference for one in open_cube([tmp_path / f"{name}.zarr"]).channels}
        for name in ("whole", "anomalies")
    )
    assert whole == {"t": False, "p": False, "warming": True}
    assert all(anomalies.values())


def test_chunks_are_runs_of_whole_fields_and_the_record_says_where_it_comes_from(record, tmp_path):
    path = record()
    list(write(open_cube([path]), tmp_path / "out.zarr", memory=2**30))
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group["t"].chunks == (400, 6, 8)
    assert group["t"].dtype == "float32"
    assert dict(group.attrs)["faconv_sources"] == str(path)
    assert "1 values" not in dict(group.attrs)["faconv_notes"]
    assert "t: 2.1 % of the values are missing." in dict(group.attrs)["faconv_notes"]


@pytest.mark.parametrize("kind", ["none", "monthly"])
@pytest.mark.parametrize("chunks", [(1, 6, 8), BANDS])
def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(record, tmp_path, kind, chunks):
    cube = open_cube([record(chunks)])
    begun = write(cube, tmp_path / "out.zarr", kind)
    total = [next(begun) for _ in range(3)][-1][1]
    with pytest.raises(KeyboardInterrupt):
        begun.throw(KeyboardInterrupt)
    assert not (tmp_path / "out.zarr").exists()
    rest = list(write(cube, tmp_path / "out.zarr", kind, memory=2**25))  # the layout stays that of the first
    assert rest == [(n, total) for n in range(2, total + 1)]
    list(write(cube, tmp_path / "whole.zarr", kind))
    one, other = (open_cube([tmp_path / f"{name}.zarr"]).read(0, 400) for name in ("out", "whole"))
    np.testing.assert_array_equal(one, other)


def interrupted(cube, path):
    """Leave a store unfinished."""
    begun = write(cube, path)
    for _ in range(3):
        next(begun)
    with pytest.raises(KeyboardInterrupt):
        begun.throw(KeyboardInterrupt)


@pytest.mark.parametrize("rewritten", ["one chunk", "the whole", "nothing"])
def test_a_store_that_was_written_anew_meanwhile_is_read_from_the_beginning(record, tmp_path, rewritten):
    list(write(open_cube([record()]), tmp_path / "in.zarr"))
    interrupted(open_cube([tmp_path / "in.zarr"]), tmp_path / "out.zarr")
    if rewritten == "one chunk":
        (chunk, *_) = sorted((tmp_path / "in.zarr" / "t").glob("1.*"))
        os.utime(chunk, (1, 1))
    elif rewritten == "the whole":
        xr.open_zarr(tmp_path / "in.zarr").load().to_zarr(tmp_path / "in.zarr", mode="w", zarr_format=2)
    done = next(write(open_cube([tmp_path / "in.zarr"]), tmp_path / "out.zarr"))[0]
    assert (done > 0) == (rewritten == "nothing")


def test_other_fields_of_a_source_without_files_begin_anew(record, tmp_path):
    cube = replace(open_cube([record()]), sources=("https://example.org/data.zarr",))
    interrupted(cube, tmp_path / "out.zarr")
    other = replace(cube, fields=cube.fields + 1, series=None)
    for source, goes_on in ((cube, True), (other, False)):
        rest = write(source, tmp_path / "out.zarr")
        assert (next(rest)[0] > 0) == goes_on
        if goes_on:
            with pytest.raises(KeyboardInterrupt):
                rest.throw(KeyboardInterrupt)


@pytest.mark.parametrize("change", ["settings", "data"])
def test_another_command_or_changed_data_begin_anew(record, tmp_path, change):
    path = record()
    interrupted(open_cube([path]), tmp_path / "out.zarr")
    if change == "data":
        os.utime(path, (1, 1))
    settings = DataConfig(season="DJF") if change == "settings" else None
    assert next(write(open_cube([path]), tmp_path / "out.zarr", settings=settings))[0] == 0


def test_data_that_turn_out_damaged_leave_nothing(record, tmp_path, monkeypatch):
    def fail(*_):
        raise InputError("damaged", wanted="a", do="b")

    monkeypatch.setattr(module, "_write_piece", fail)
    path = record()
    with pytest.raises(InputError):
        list(write(open_cube([path]), tmp_path / "out.zarr"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_nothing(record, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_piece", fail)
    path = record()
    with pytest.raises(OutputError, match="No space left"):
        list(write(open_cube([path]), tmp_path / "out.zarr"))
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_do_not_write_one_store(record, tmp_path):
    cube = open_cube([record()])
    first = write(cube, tmp_path / "out.zarr")
    next(first)
    with pytest.raises(OutputError, match="is being written by another process"):
        next(write(cube, tmp_path / "out.zarr"))
    assert list(first)
    assert (tmp_path / "out.zarr").exists()


def test_only_a_store_is_ever_replaced_and_only_when_asked(record, tmp_path):
    cube, out = open_cube([record()]), tmp_path / "out.zarr"
    list(write(cube, out))
    with pytest.raises(OutputError, match=r"already exists\. .*--overwrite"):
        next(write(cube, out))
    (tmp_path / "precious.zarr").mkdir()
    with pytest.raises(OutputError, match="is no Zarr store"):
        next(write(cube, tmp_path / "precious.zarr", overwrite=True))
    with pytest.raises(OutputError, match=r"does not end in \.zarr"):
        next(write(cube, tmp_path / "out.nc"))
    with pytest.raises(OutputError, match="is not a folder"):
        next(write(cube, tmp_path / "no" / "out.zarr"))
    list(write(cube.pick([0]), out, overwrite=True))
    assert len(open_cube([out]).channels) == 1


def test_prepare_then_train_and_embed(capsys, record, tmp_path):
    out, checkpoint = tmp_path / "out.zarr", tmp_path / "m.pt"
    code, said, _ = run(
        capsys, "prepare", record(), out, "--anomaly", "daily", "--validation", "0.25", "--detrend"
    )
    assert (code, said) == (0, f"{out}: 400 steps of 2 channels on 6 x 8 points\n")
    assert run(capsys, "train", out, "-o", checkpoint, *QUICK)[0] == 0
    trained = read_checkpoint(checkpoint)
    assert trained.config.data.anomaly == "none"
    assert trained.channels[0].anomaly == "daily cycle and trend of 2001-01-01 to 2001-10-27"
    assert run(capsys, "embed", "-c", checkpoint, out, tmp_path / "e.nc", "--threads", 1)[0] == 0
    code, _, err = run(capsys, "embed", "-c", checkpoint, record(), tmp_path / "f.nc")
    assert code == 4
    assert "is a field as it is, not prepared" in err
    for data in (out, tmp_path / "*.zarr"):
        code, _, err = run(capsys, "prepare", data, out, "--time-range", "2001-02", "--overwrite")
        assert code == 5
        assert "is an input and would be replaced" in err
    code, _, err = run(capsys, "train", out, "-o", tmp_path / "n.pt", "--anomaly", "daily", *QUICK)
    assert code == 2
    assert "already holds anomalies" in err


def test_a_diurnal_cycle_that_is_left_in_is_told_and_recorded(capsys, record, tmp_path):
    data, out = tmp_path / "hours.nc", tmp_path / "out.zarr"
    with xr.open_dataset(record()) as file:
        times = xr.date_range("2001-01-01", periods=file.sizes["time"], freq="6h")
        file.assign_coords(time=times).to_netcdf(data)
    for anomaly, told in (
        ("diurnal", "The seasonal change of the diurnal"),
        ("daily", "The diurnal"),
        ("none", ""),
    ):
        code, _, err = run(capsys, "prepare", data, out, "--anomaly", anomaly, "--overwrite")
        recorded = dict(zarr.open_group(out, mode="r").attrs)["faconv_notes"]
        assert code == 0
        assert ("cycle is not removed" in err) == ("cycle is not removed" in recorded) == bool(told)
        assert told in err


def test_settings_of_the_data_are_heeded_and_recorded(capsys, record, tmp_path):
    out = tmp_path / "out.zarr"
    chosen = ("--variables", "t", "--region=-20:20,0:40", "--season", "JJA", "--memory", "0.01")
    assert run(capsys, "prepare", record(), out, *chosen)[0] == 0
    cube = open_cube([out])
    assert (len(cube.channels), cube.grid.shape, len(cube.time)) == (1, (4, 5), 92)
    about = dict(zarr.open_group(out, mode="r").attrs)
    assert json.loads(about["faconv_config"])["season"] == "JJA"
    assert "Season JJA" in about["faconv_notes"]


@pytest.mark.slow
def test_a_killed_command_goes_on(record, tmp_path):
    """SIGTERM, as Slurm sends it, then SIGKILL; the third run finishes."""
    slowly = (
        "import time, faconv_cli.prepare.layout as layout, faconv_cli.prepare.store as store\n"
        "layout._COPIES, save = 1000, store._save_state\n"
        "def save_slowly(*given):\n"
        "    save(*given)\n"
        "    if given[3]: print('piece', flush=True); time.sleep(0.1)\n"
        "store._save_state = save_slowly\n"
        "from faconv_cli.app import main\n"
        "main()\n"
    )
    path, out = record(), tmp_path / "out.zarr"
    command = [sys.executable, "-c", slowly, "prepare", str(path), str(out), "--memory", "0.01"]
    for number, code in ((signal.SIGTERM, 75), (signal.SIGKILL, -9)):
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert started.stdout.readline() == "piece\n"
        started.send_signal(number)
        err = started.communicate()[1]  # of the work, too, which ends when it is no longer waited for
        assert started.returncode == code, err
        assert not out.exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "continuing after" in done.stderr
    np.testing.assert_array_equal(reopened(out).read(0, 400), open_cube([path]).read(0, 400))


def test_cell_areas_that_coordinates_do_not_tell_are_kept(record, tmp_path):
    cube = open_record([record()], DataConfig(coarsen=4))  # of 6 x 8 points: the last row is half as high
    list(write(cube, tmp_path / "coarse.zarr"))
    stored = reopened(tmp_path / "coarse.zarr")
    np.testing.assert_allclose(stored.grid.area, cube.grid.area, rtol=1e-12)
    np.testing.assert_array_equal(stored.read(0, 400), cube.read(0, 400))


def test_a_store_that_was_written_anew_is_another_source(tmp_path, record):
    source = tmp_path / "in.zarr"
    list(write(open_cube([record()]), source))
    begun = write(open_cube([source]), tmp_path / "out.zarr")
    for _ in range(3):
        next(begun)
    with pytest.raises(KeyboardInterrupt):
        begun.throw(KeyboardInterrupt)
    cube = open_cube([source])
    chunk = next(path for path in source.rglob("*") if path.is_file() and path.name[0].isdigit())
    os.utime(chunk, ns=(1, 2**62))
    assert next(write(cube, tmp_path / "out.zarr"))[0] <= 1
