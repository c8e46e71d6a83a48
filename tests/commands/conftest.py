"""The command line, run in the process of the test."""

import signal

import pytest

from faconv_cli.app import main


@pytest.fixture
def run(capfd, monkeypatch):
    """Run the command line in this process: ``run(...)`` gives exit code, stdout and stderr."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return stopped.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def run_code():
    """Run the command line in this process, also for a module: ``run_code(...)`` gives its exit code."""

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as stopped:
            patched.setattr(signal, "signal", lambda *_: None)
            main([str(argument) for argument in arguments])
        return stopped.value.code or 0

    return run
