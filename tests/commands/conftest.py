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
