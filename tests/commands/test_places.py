"""Outputs at places that cannot be written: a sentence, exit code 5, and nothing left behind."""

import errno
import os
import re
import resource

import pytest
import xarray as xr

from faconv_cli import errors

TINY = ("--updates", "0", "--hidden", "4", "--bottleneck", "4", "--embedding", "4", "--window", "8")
TINY = (*TINY, "--burn-in", "2", "--threads", "1", "--validation", "0")
FULL_BYTES = 512


@pytest.fixture(scope="module")
def made(make_cube, tmp_path_factory, run_code):
    folder = tmp_path_factory.mktemp("places")
    cube = make_cube(30, channels=1)
    axes = {"time": cube.time.values, "lat": ("lat", cube.grid.lat, {"units": "degrees_north"})}
    axes["lon"] = ("lon", cube.grid.lon, {"units": "degrees_east"})
    fields = xr.DataArray(cube.fields.values[:, 0], axes, ("time", "lat", "lon"), "t", {"units": "K"})
    fields.to_netcdf(folder / "data.nc")
    for command in (
        ("train", folder / "data.nc", "-o", folder / "m.pt", *TINY),
        ("train", folder / "data.nc", "-o", folder / "f.pt", *TINY, "--task", "forecast"),
        ("embed", "-c", folder / "m.pt", folder / "data.nc", folder / "e.nc", "--threads", "1"),
    ):
        assert run_code(*command) == 0
    return folder


def command(name, made, out):
    """The command line that writes ``out``."""
    data, checkpoint = made / "data.nc", made / "m.pt"
    return {
        "train": ("train", data, *TINY, "-o", out),
        "embed": ("embed", "-c", checkpoint, data, out, "--threads", "1"),
        "forecast": ("forecast", "-c", made / "f.pt", data, out, "--threads", "1"),
        "cluster": ("cluster", made / "e.nc", "-k", "2", "-o", out),
        "figure": ("cluster", made / "e.nc", "-k", "2", "-o", out.with_name("regimes.nc"), "--figure", out),
        "prepare": ("prepare", data, out),
        "sample": ("sample", "planted", out, "--steps", "60", "--lat", "6", "--lon", "12"),
        "compare": ("compare", data, "-o", out, "--encoders", "eof", "--seeds", "1", "--set", "embedding=2"),
    }[name]


NAMES = {
    "train": "m.pt",
    "embed": "e.nc",
    "forecast": "f.nc",
    "cluster": "r.nc",
    "figure": "r.png",
    "prepare": "p.zarr",
    "sample": "s.nc",
    "compare": "compared",
}


def check(code, out, err):
    assert code == errors.OutputError.exit_code, err
    assert out == ""
    assert [line.startswith("error: ") for line in err.splitlines()].count(True) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["/proc", "missing", "a file", "too long"])
def test_a_place_that_takes_no_file_is_refused_before_any_work(name, place, made, run, tmp_path, monkeypatch):
    if (name, place) == ("compare", "missing"):
        pytest.skip("compare makes its folder")
    (tmp_path / "file").write_text("")
    folder = {"/proc": "/proc", "a file": tmp_path / "file", "missing": tmp_path / "none"}.get(
        place, tmp_path
    )
    out = tmp_path.__class__(folder) / ("x" * 250 + NAMES[name] if place == "too long" else NAMES[name])
    monkeypatch.setattr("faconv_cli.cube.pipeline.open_record", None)  # no work has begun
    check(*run("--quiet", *command(name, made, out)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_and_leaves_nothing(name, made, run, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, limits[1]))
    try:
        result = run("--quiet", *command(name, made, tmp_path / NAMES[name]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    check(*result)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []
    assert run("--quiet", *command(name, made, tmp_path / NAMES[name]))[0] == 0


def test_the_folder_of_another_is_told(made, run, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    check(*run("--quiet", *command("embed", made, tmp_path / "e.nc")))


def test_a_figure_that_cannot_be_written_takes_its_regimes_with_it(made, run, tmp_path, monkeypatch):
    """Or the same command would refuse the next time, as the regimes exist."""
    asked = command("figure", made, tmp_path / "r.png")
    with monkeypatch.context() as patched:
        full = OSError(errno.ENOSPC, "No space left on device")
        patched.setattr("matplotlib.figure.Figure.savefig", raising(full))
        check(*run("--quiet", *asked))
    assert list(tmp_path.iterdir()) == []
    assert run("--quiet", *asked)[0] == 0


def test_a_comparison_that_fails_leaves_no_empty_folder(made, run, tmp_path):
    asked = ("compare", made / "data.nc", "-o", tmp_path / "compared", "--encoders", "eof")
    assert run(*asked, "--test", "1900:1901")[0] == errors.InputError.exit_code
    assert list(tmp_path.iterdir()) == []


def raising(error):
    def raised(*_, **__):
        raise error

    return raised


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (EOFError("cut"), 1, r"EOFError in faconv_cli\.commands\.\w+, line \d+: cut\. .* FACONV_DEBUG=1"),
        (ZeroDivisionError(), 1, r"ZeroDivisionError in .*: nothing more is known"),
        (MemoryError(), 1, "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device", "x.nc"), 5, "x.nc: No space left on device"),
        (RecursionError("too deep\nand more"), 1, "RecursionError .*: too deep"),
    ],
)
def test_what_nobody_expected_is_a_sentence(error, code, told, made, run, tmp_path, monkeypatch):
    monkeypatch.setattr("faconv_cli.checkpoint.read_checkpoint", raising(error))
    found, out, err = run("--quiet", *command("embed", made, tmp_path / "e.nc"))
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert re.search(told, err.replace("\n", " ")), err
    assert "Traceback" not in err


def test_whoever_asks_gets_the_traceback(made, tmp_path, monkeypatch):
    from faconv_cli.app import main

    monkeypatch.setenv(errors.DEBUG, "1")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("faconv_cli.checkpoint.read_checkpoint", raising(ZeroDivisionError("why")))
    with pytest.raises(ZeroDivisionError, match="why"):
        main([str(part) for part in command("embed", made, tmp_path / "e.nc")])
