"""Checkpoints whose subspace is known: the EOF analysis, and the linear analysis with leads; not trained."""

import numpy as np
import pytest
import torch
import xarray as xr

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
def targeted(trained, cube, tmp_path_factory):
    """A linear checkpoint that tells a field on another grid and, two steps later, a series."""
    folder = tmp_path_factory.mktemp("targets")
    told = cube.fields.values[:, 0, :2, :3]
    field = (told + np.random.default_rng(0).normal(size=told.shape)).astype("f4")
    coordinates = {"time": cube.time.values, "lat": [40.0, 10], "lon": [5.0, 15, 25]}
    rain = xr.Dataset({"rain": (("time", "lat", "lon"), field, {"units": "mm"})}, coordinates)
    rain.to_netcdf(folder / "rain.nc")
    rows = zip(cube.time.labels, cube.fields.values[:, 1, 2, 2] + np.arange(len(field)) % 3, strict=True)
    (folder / "i.csv").write_text("date,my index\n" + "".join(f"{day},{value}\n" for day, value in rows))
    target = {"target": (str(folder / "rain.nc"), str(folder / "i.csv")), "target_lead": (0, 2)}
    return trained(cube, **LINEAR, **target, embedding=20, lead=(1,)), rain.rain


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
