"""What bad input gets: a short message, its exit code, and nothing half-written; whatever the command."""

import io
import os
import shutil
import signal
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.app import main
from faconv_cli.guard import stopping_signals

IN_USE = ["--updates", "2", "--validation", "0"]  # a network that is trusted, and its attention written
QUICK = [
    *("--window", "12", "--burn-in", "4", "--hidden", "4", "--bottleneck", "4", "--embedding", "4"),
    *("--updates", "0", "--batch", "2", "--threads", "1"),
]


def _fields(steps=40, shape=(6, 8), **changes):
    """A small record with land in one corner; ``changes`` replace its coordinates."""
    values = np.random.default_rng(0).normal(280, 5, (steps, *shape)).astype(np.float32)
    values[:, 0, 0] = np.nan
    coordinates = {
        "time": xr.date_range("2001-01-01", periods=steps),
        "lat": ("lat", np.linspace(-25, 25, shape[0]), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 70, shape[1]), {"units": "degrees_east"}),
    }
    return xr.Dataset({"t": (("time", "lat", "lon"), values, {"units": "K"})}, coordinates | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A record, a checkpoint and an embedding of it, and a file for each way to be wrong."""
    folder = tmp_path_factory.mktemp("bad")
    good = _fields()
    files = {
        "good": good,
        "one_step": good.isel(time=[0]),
        "no_time": good.drop_vars("time").rename(time="n"),
        "no_grid": good.mean("lon"),
        "short": good.isel(time=slice(5)),
        "missing": good.where(good.t > 1e6).assign(t=lambda f: f.t.assign_attrs(units="K")),
        "constant": good.assign(t=xr.full_like(good.t, 280.1)),
        "pascal": good.assign(t=good.t.assign_attrs(units="Pa")),
        "every_other_day": good.isel(time=slice(None, None, 2)),
        "elsewhere": _fields(lon=("lon", np.linspace(10, 80, 8), {"units": "degrees_east"})),
        "coarse": _fields(shape=(6, 7)),
        "other": good.rename(t="q"),
    }
    for name, file in files.items():
        file.to_netcdf(folder / f"{name}.nc")
    whole = (folder / "good.nc").read_bytes()
    (folder / "text.nc").write_text("<html>404 Not Found</html>")
    (folder / "empty.nc").touch()
    (folder / "cut.nc").write_bytes(whole[: len(whole) * 2 // 3])
    for arguments in (
        ["train", folder / "good.nc", "-o", folder / "good.pt", *QUICK, *IN_USE],
        ["embed", "-c", folder / "good.pt", folder / "good.nc", folder / "embedding.nc", "--threads", "1"],
    ):
        _call(arguments)
    checkpoint = (folder / "good.pt").read_bytes()
    (folder / "cut.pt").write_bytes(checkpoint[: len(checkpoint) // 2])
    (folder / "flipped.pt").write_bytes(_flipped(checkpoint))
    with zipfile.ZipFile(folder / "archive.nc", "w") as archive:
        archive.write(folder / "good.nc", "good.nc")
    torch.save({"state_dict": {}}, folder / "foreign.pt")
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    return folder


def _call(arguments):
    handlers = {number: signal.getsignal(number) for number in stopping_signals()}
    try:
        with pytest.raises(SystemExit) as stopped:
            main(list(map(str, arguments)))
        assert not stopped.value.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _flipped(data):
    """The same archive with one byte of its largest part changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    header = data[largest.header_offset : largest.header_offset + 30]
    names = sum(struct.unpack("<HH", header[26:]))  # what lies between a header and its part
    middle = largest.header_offset + len(header) + names + largest.file_size // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


UNREADABLE = {
    "none.nc": "No such file",
    "text.nc": "is neither NetCDF nor GRIB",
    "empty.nc": "is empty",
    "cut.nc": "damaged or truncated",
    "no_time.nc": "no time axis",
    "one_step.nc": "there is only one time step",
    "no_grid.nc": "no horizontal grid",
}
NOTHING_TO_LEARN = {
    "short.nc": "A window has 12 steps",
    "missing.nc": "no valid value",
    "constant.nc": "is constant",
}


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        *((command, *case) for command in ("inspect", "train", "embed") for case in UNREADABLE.items()),
        *(("train", *case) for case in NOTHING_TO_LEARN.items()),
        ("embed", "missing.nc", "none of 40 time steps has enough valid values"),
    ],
)
def test_data_that_cannot_be_used_are_refused(run, folder, tmp_path, command, name, told):
    arguments = {
        "inspect": ["inspect", folder / name],
        "train": ["train", folder / name, "-o", tmp_path / "m.pt", *QUICK],
        "embed": ["embed", "-c", folder / "good.pt", folder / name, tmp_path / "e.nc"],
    }
    code, out, err = run(*arguments[command])
    assert (code, out) == (3, "")
    assert told in err
    _assert_short(err)
    assert list(tmp_path.iterdir()) == []


def _assert_short(err):
    """One message of three parts, without a traceback, at the end of what is said."""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith(".")
    assert len(last) < 600


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("embed -c none.pt good.nc NEW", 4, "No such file"),
        ("embed -c text.nc good.nc NEW", 4, "not a checkpoint"),
        ("embed -c cut.pt good.nc NEW", 4, "not a checkpoint, or a truncated one"),
        ("embed -c flipped.pt good.nc NEW", 4, "a damaged checkpoint"),
        ("embed -c foreign.pt good.nc NEW", 4, "faconv did not write"),
        ("embed -c module.pt good.nc NEW", 4, "other things than tensors"),
        ("inspect cut.pt", 4, "not a checkpoint"),
        ("inspect flipped.pt", 4, "a damaged checkpoint"),
        ("inspect archive.nc", 3, "is a zip archive of good.nc"),
        ("inspect good.nc good.pt", 2, "good.pt is a checkpoint"),
        ("embed -c good.pt other.nc NEW", 4, "the data have no t (they have q)"),
        ("embed -c good.pt pascal.nc NEW", 4, "t is in Pa"),
        ("embed -c good.pt good.nc s3://bucket/e.nc", 2, "s3://bucket/e.nc is a URL"),
        ("embed -c good.pt --engine tea good.nc NEW", 2, "Installed engines are"),
        ("train --engine tea good.nc -o NEW", 2, "Installed engines are"),
        ("embed -c good.pt every_other_day.nc NEW", 4, "a time step of 2 days"),
        ("embed -c good.pt coarse.nc NEW", 4, "a grid of 6 x 7 points"),
        ("embed -c good.pt elsewhere.nc NEW", 4, "longitudes run from 10 to 80"),
        ("embed -c good.pt good.nc NEW --variables t=nothing", 3, "no variable 'nothing'"),
        ("embed -c good.pt good.nc NEW --variables ,", 2, "--variables is an empty list"),
        ("embed -c good.pt good.nc NEW --query 60,0", 3, "lies outside the grid"),
        ("embed -c good.pt good.nc NEW --query nan,0", 3, "not a place on the globe"),
        ("embed -c good.pt good.nc NEW --query -25,0", 3, "never holds a value"),
        ("embed -c good.pt good.nc NEW --query 0", 2, "--query 0"),
        ("embed -c good.pt good.nc NEW --time-range 2002:2003", 3, "no time step lies in 2002:2003"),
        ("embed -c good.pt good.nc NEW --time-range yesterday", 3, "is not FIRST:LAST"),
        ("embed -c good.pt good.nc NEW --device cuda:99", 6, "visible"),
        ("embed -c good.pt good.nc text.nc --append", 5, "--append needs an embedding file"),
        ("embed -c good.pt good.nc other.nc --append", 5, "was not written by this checkpoint"),
        ("embed -c good.pt good.nc embedding.nc --append --query 0,10", 5, "1 query points"),
        ("embed -c good.pt good.nc embedding.nc", 5, "already exists"),
        ("embed -c good.pt good.nc good.nc --overwrite", 5, "is an input and would be replaced"),
        ("embed -c good.pt good.nc good.pt --overwrite", 5, "is an input and would be replaced"),
        ("train good.nc -o good.nc --overwrite", 5, "is an input and would be replaced"),
        ("train good.nc -o NEW/m.pt", 5, "is not a folder"),
        ("train good.nc -o NEW --window 12 --burn-in 4 --attention-every 9", 2, "leaves 8 rows"),
        ("train good.nc -o NEW --window 12 --burn-in 4 --lead 30", 3, "--lead 30"),
        ("train good.nc -o NEW --lead 1,2 --lead-weight 1", 2, "--lead-weight has 1 values for 2 lead times"),
        ("train good.nc -o NEW --window 12 --burn-in 4 --embedding 48", 3, "An embedding of 48"),
        ("train good.nc -o NEW --seed 4294967296", 2, "--seed: "),
        ("train good.nc -o NEW --lead ,", 2, "--lead: "),
        ("train good.nc -o NEW --validation 2001:2001", 2, "holds out the whole record"),
        ("train good.nc -o NEW --config none.toml", 2, "none.toml"),
        ("cluster embedding.nc -o embedding.nc --overwrite", 5, "is an input and would be replaced"),
        ("cluster embedding.nc -o NEW --data good.nc -k 41", 3, "fewer than 41"),
        ("cluster good.nc -o NEW", 3, "no variable embedding(time, mode)"),
        ("cluster text.nc -o NEW", 3, "cannot be read as NetCDF"),
        ("cluster embedding.nc -o NEW --season SON", 3, "no valid step lies in season SON"),
        ("sample planted NEW --seed 9223372036854775808", 2, "--seed is"),
    ],
)
def test_a_mistake_gets_its_exit_code_and_leaves_nothing(run, folder, tmp_path, arguments, code, told):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    places = {name: folder / name for name in (path.name for path in folder.iterdir())}
    words = [places.get(word, word.replace("NEW", str(tmp_path / "new"))) for word in arguments.split()]
    words = [folder / word if str(word).startswith("none.") else word for word in words]
    found, out, err = run(*words)
    assert (found, out) == (code, ""), err
    assert told in err
    _assert_short(err)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_names_may_have_spaces_and_letters_of_any_language(run, folder, tmp_path):
    place = tmp_path / "Ω é"
    place.mkdir()
    shutil.copy(folder / "good.nc", place / "a b.nc")
    assert run("train", place / "a b.nc", *QUICK)[0] == 0
    assert run("embed", "-c", place / "a b.pt", place / "a b.nc", place / "e f.nc")[0] == 0
    assert run("cluster", place / "e f.nc", "-k", 2)[0] == 0
    assert (place / "e f_regimes.nc").exists()


def test_names_that_are_not_utf_8_are_refused(run, folder, tmp_path):
    name = tmp_path / "\udcff.nc"
    shutil.copy(folder / "good.nc", name)
    for code, arguments in (
        (3, ["inspect", name]),
        (3, ["embed", "-c", folder / "good.pt", name, tmp_path / "e.nc"]),
        (5, ["embed", "-c", folder / "good.pt", folder / "good.nc", tmp_path / "\udcfe.nc"]),
        (5, ["sample", "planted", tmp_path / "\udcfe.nc"]),
    ):
        found, _, err = run(*arguments)
        assert found == code
        assert "is not UTF-8" in err
    assert list(tmp_path.iterdir()) == [name]


def test_outputs_may_be_relative(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("embed", "-c", folder / "good.pt", folder / "good.nc", "e.nc")[0] == 0
    assert (tmp_path / "e.nc").exists()


def test_appending_twice_adds_nothing_the_second_time(run, folder, tmp_path):
    arguments = ["embed", "-c", folder / "good.pt", folder / "good.nc", tmp_path / "e.nc"]
    assert run(*arguments, "--time-range", ":2001-01-30")[0] == 0
    assert "10 time steps" in run(*arguments, "--append")[1]
    before = (tmp_path / "e.nc").read_bytes()
    assert "0 time steps" in run(*arguments, "--append")[1]
    assert (tmp_path / "e.nc").read_bytes() == before


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGALRM, 142),
    ],
)
def test_a_signal_ends_a_command_whole_and_a_second_one_waits(
    folder, tmp_path, monkeypatch, capfd, number, code
):
    """Slurm and terminals send more than one: the cleaning up must not be cut short."""
    handlers = {each: signal.getsignal(each) for each in stopping_signals()}
    cleaned = []

    def interrupted(*_):
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            cleaned.append(True)

    monkeypatch.setattr("faconv_cli.embed.run.Embedder.run", interrupted)
    try:
        with pytest.raises(SystemExit) as stopped:
            main(["embed", "-c", f"{folder}/good.pt", f"{folder}/good.nc", f"{tmp_path}/e.nc"])
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert (stopped.value.code, cleaned) == (code, [True])
    assert "nothing half-written is left behind" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
