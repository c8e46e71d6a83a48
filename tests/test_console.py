"""Where results and the log go, and what of libraries' own words reaches them."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from faconv_cli import console

FACONV = f'"{sys.executable}" -m faconv_cli'


def _shell(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("option", ["", " --json"])
@pytest.mark.slow
def test_a_full_stdout_is_an_error_of_the_output(sample_data, option):
    code, told = _shell(f"{FACONV} inspect{option} {sample_data / 'ostia_monthly.nc'} > /dev/full")
    assert code == 5
    assert "standard output: No space left on device" in told
    assert "Traceback" not in told
    assert "Exception ignored" not in told


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "| head -n 1"])
@pytest.mark.slow
def test_a_stream_that_is_closed_is_no_error(sample_data, closed):
    code, told = _shell(f"{FACONV} --quiet inspect {sample_data / 'ostia_monthly.nc'} {closed}")
    assert code == 0
    assert told == ""


@pytest.fixture
def terminal(monkeypatch):
    def _terminal(**options):
        monkeypatch.setattr(console, "terminal", console.Terminal(**options))

    return _terminal


def _warn_as(library, message, category=RuntimeWarning):
    """Warn as a module of a library does."""
    file = f"/usr/lib/python3/site-packages/{library}/core/made.py"
    warnings.warn_explicit(message, category, file, 1)


@pytest.mark.filterwarnings("always")
def test_warnings_of_libraries_are_sentences_of_the_log_each_once(capsys, terminal):
    terminal()
    with console.library_warnings():
        for _ in range(3):
            _warn_as("numpy", "overflow encountered in multiply")
        _warn_as("xarray", "Two\nlines.\n\nAnd what to do in code.", UserWarning)
        _warn_as("dask", "will be removed", FutureWarning)
        logging.getLogger("fsspec.http").warning("no %s", "luck")
        logging.getLogger("fsspec.http").info("all is well")
    assert capsys.readouterr().err.splitlines() == [
        "numpy warns: overflow encountered in multiply.",
        "xarray warns: Two lines.",
        "fsspec warns: no luck.",
    ]


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize(
    ("options", "told"), [({"quiet": True}, ""), ({"json_log": True}, '{"message": "torch')]
)
def test_warnings_of_libraries_follow_the_options_of_the_log(capsys, terminal, options, told):
    terminal(**options)
    with console.library_warnings():
        _warn_as("torch", "slow")
    written = capsys.readouterr().err
    assert written.startswith(told)
    assert ("slow" in written) == bool(told)


def test_outside_of_a_command_warnings_are_pythons():
    before = warnings.showwarning, list(logging.root.handlers)
    with console.library_warnings():
        assert warnings.showwarning is not before[0]
    assert (warnings.showwarning, logging.root.handlers) == before
