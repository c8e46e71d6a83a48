"""What happens to results where stdout is full, closed or read no further."""

import subprocess
import sys
from pathlib import Path

import pytest

FACONV = f'"{sys.executable}" -m faconv_cli'


def _shell(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("option", ["", " --json"])
def test_a_full_stdout_is_an_error_of_the_output(sample_data, option):
    code, told = _shell(f"{FACONV} inspect{option} {sample_data / 'ostia_monthly.nc'} > /dev/full")
    assert code == 5
    assert "standard output: No space left on device" in told
    assert "Traceback" not in told
    assert "Exception ignored" not in told


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "| head -n 1"])
def test_a_stream_that_is_closed_is_no_error(sample_data, closed):
    code, told = _shell(f"{FACONV} --quiet inspect {sample_data / 'ostia_monthly.nc'} {closed}")
    assert code == 0
    assert told == ""
