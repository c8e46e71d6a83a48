"""What the tests of good but odd files share."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import typer

from faconv_cli import app
from faconv_cli.regimes import significance
from tests.fuzz.agreement import Bench

MEMORY, ROOM = Path("/dev/shm"), 2**30  # thousands of small files, of which a disk makes a third of the time


@pytest.fixture(scope="module")
def quick_folder(tmp_path_factory):
    """A folder in memory, where there is such a thing."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path_factory.mktemp("fuzz")
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="faconv-fuzz-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def bench(quick_folder):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(quick_folder / "cache"))
        patched.setattr(app, "app", typer.main.get_command(app.app))  # built once, not for each command
        patched.setattr(significance, "SURROGATES", 3)  # p-values are no matter here
        (quick_folder / "odd").mkdir()
        yield Bench(quick_folder / "odd")
