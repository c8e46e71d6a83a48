"""Settings every test shares."""

import os
import subprocess
import sys
from pathlib import Path

# before torch: on small tensors more threads only wait for each other, here and in commands the tests run
os.environ |= {"OMP_NUM_THREADS": "1", "SLURM_CPUS_PER_TASK": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# the shapes these modules declare are checked at every call the tests make
SHAPED = [
    *(f"faconv_cli.nn.{name}" for name in ("mechanisms.domain", "head")),
    "faconv_cli.windows.dataset",
]
install_import_hook(SHAPED, "beartype.beartype")

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis
from tests.training import trains

settings.register_profile(
    "faconv", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("faconv")

REPOSITORY = Path(__file__).parents[1]


def pytest_itemcollected(item):
    """Mark the tests that train, which `make quick` leaves out."""
    if trains(item):
        item.add_marker("training")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that is not part of the repository; skips where it is absent."""
    folder = Path(os.environ.get("FACONV_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set FACONV_DATA")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of sample data in the repository."""
    return REPOSITORY / "sample_data"


@pytest.fixture(scope="session")
def make_cube():
    """Make a small cube in memory: waves of a few patterns over noise, NaN on land where asked for."""
    return _make_cube


def _make_cube(
    steps=80,
    channels=2,
    shape=(6, 8),
    *,
    seed=0,
    start="2001-01-01",
    calendar="standard",
    freq="D",
    land=0.0,
    periodic=False,
    offset=(280.0, 1e5),
    noise=0.3,
):
    rng = np.random.default_rng(seed)
    h, w = shape
    lon = np.arange(w) * (360 / w) if periodic else np.linspace(0, 3 * w, w, endpoint=False)
    grid = Grid.from_coordinates(np.linspace(-30, 60, h) if h > 1 else np.zeros(1), lon)
    times = xr.date_range(
        start, periods=steps, freq=freq, calendar=calendar, use_cftime=calendar != "standard"
    )
    patterns = rng.normal(size=(3, channels, h, w))
    series = np.stack([np.sin(np.arange(steps) * 2 * np.pi / period + period) for period in (7, 11, 23)])
    fields = np.einsum("kt,kcyx->tcyx", series, patterns) + noise * rng.normal(size=(steps, channels, h, w))
    scale = np.resize([1.0, 300.0], channels)[:, None, None]
    fields = fields * scale + np.resize(offset, channels)[:, None, None]
    fields[:, :, rng.uniform(size=shape) < land] = np.nan
    names = [f"v{number}" for number in range(channels)]
    return Cube(
        fields=xr.DataArray(fields.astype(np.float32), dims=("time", "channel", "y", "x")),
        channels=tuple(Channel(name, "K" if number % 2 == 0 else "Pa") for number, name in enumerate(names)),
        time=TimeAxis.from_values(times.values, calendar),
        grid=grid,
        sources=("made.nc",),
    )


@pytest.fixture(scope="session")
def assert_cf():
    """Assert that compliance-checker finds nothing to say about a file, not even a recommendation."""

    def check(path):
        command = [sys.executable, "-W", "ignore", REPOSITORY / "tests" / "cf.py", path]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stdout == "", run.stdout

    return check
