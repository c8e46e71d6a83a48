"""Checkpoints whose subspace is known: the EOF analysis, and the linear analysis with leads; not trained."""

import numpy as np
import pytest
import torch

from faconv_cli.embed.run import Embedder
from faconv_cli.embed.write import write_embedding
from tests.embed.conftest import trained

__all__ = ["trained"]
LINEAR = {"updates": 0, "validation": "0", "hidden": 2, "bottleneck": 2}


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(90, shape=(5, 7), noise=1.0)


@pytest.fixture(scope="module")
def eofs(trained, cube):
    return trained(cube, **LINEAR, objective="reconstruct")


@pytest.fixture(scope="module")
def linear(trained, cube):
    return trained(cube, **LINEAR, embedding=6, lead=(1, 3), lead_weight=(1.0, 0.5))


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    """Write an embedding file: ``embed(checkpoint, cube)`` gives its path."""
    folder = tmp_path_factory.mktemp("embedded")

    def write(checkpoint, cube, **options):
        path = folder / f"{len(list(folder.iterdir()))}.nc"
        embedder = Embedder(checkpoint, cube, torch.device("cpu"), batch=3, attention=False)
        list(write_embedding(embedder, path, (0, len(cube.time)), "faconv embed", **options))
        return path

    return write


@pytest.fixture(scope="module")
def analysis(cube):
    """EOF analysis of a cube by NumPy: ``analysis(d)`` gives anomalies, their first d EOFs' and shares."""
    fields = np.asarray(cube.fields).astype(float)
    anomalies = fields - fields.mean(axis=0)
    area = cube.grid.area
    std = np.sqrt((anomalies**2 * area).sum((-2, -1)).mean(axis=0))[:, None, None]
    weighted = (anomalies / std * np.sqrt(area)).reshape(len(fields), -1)
    u, s, vt = np.linalg.svd(weighted, full_matrices=False)

    def of(d):
        kept = (u[:, :d] * s[:d] @ vt[:d]).reshape(fields.shape) / np.sqrt(area) * std
        return anomalies, kept, s[:d] ** 2 / (s**2).sum()

    return of
