"""A trained checkpoint and its cube, made once."""

import pytest
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.fit.loop import Training
from faconv_cli.fit.prepare import prepare

SMALL = {
    "window": 12,
    "burn_in": 4,
    "hidden": 6,
    "bottleneck": 4,
    "embedding": 4,
    "batch": 4,
    "updates": 2,
    "anomaly": "none",
    "validation": "0",  # or an attention that two updates trained is not in use
}


@pytest.fixture(scope="session")
def trained(make_cube, tmp_path_factory):
    """Train briefly: ``trained(**options)`` gives the checkpoint of a small cube."""
    folder = tmp_path_factory.mktemp("trained")

    def train(cube=None, **options):
        path = folder / "m.pt"
        cube = cube or make_cube(80, land=0.2, shape=(8, 12))
        prepared = prepare(cube, RunConfig.build(None, SMALL | options))
        for _ in Training(prepared, path, torch.device("cpu")).run():
            pass
        return read_checkpoint(path)

    return train
