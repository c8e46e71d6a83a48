"""Settings every test shares."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "faconv", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("faconv")

REPOSITORY = Path(__file__).parents[1]


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
