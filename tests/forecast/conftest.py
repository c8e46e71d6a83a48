"""A checkpoint trained to forecast, and its cube, made once."""

import pytest
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.fit.loop import Training
from faconv_cli.fit.prepare import prepare

SMALL = {
    "task": "forecast",
    "encoder": "minconvgru",
    "window": 12,
    "burn_in": 4,
    "teacher_forced": 6,
    "hidden": 6,
    "batch": 4,
    "updates": 2,
    "anomaly": "monthly",
    "validation": "0.1",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train briefly: ``trained(cube, **options)`` gives the checkpoint."""
    folder = tmp_path_factory.mktemp("trained")

    def train(cube, **options):
        path = folder / "m.pt"
        for _ in Training(
            prepare(cube, RunConfig.build(None, SMALL | options)), path, torch.device("cpu")
        ).run():
            pass
        return read_checkpoint(path)

    return train


@pytest.fixture(scope="session")
def cube(make_cube):
    """Two channels with land, and a gap after the 200th day."""
    whole = make_cube(400, land=0.2)
    steps = [*range(200), *range(250, 400)]
    return whole.take(torch.tensor(steps).numpy())


@pytest.fixture(scope="session")
def checkpoint(trained, cube):
    """Trained on the cube."""
    return trained(cube)
