"""Embeddings with known regimes, as arrays and as files of the schema."""

from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.embedding import Embedding

SHA = "5a" * 32


def planted(k=3, steps=600, modes=4, *, distance=8.0, stay=0.9, seed=0):
    """Gaussian clouds of unit spread around centres ``distance`` from the origin, in persistent spells.

    Returns x (steps, modes) and labels (steps,) 1..k by falling frequency.
    """
    rng = np.random.default_rng(seed)
    centres = np.zeros((k, modes))
    centres[np.arange(k), np.arange(k) % modes] = distance * np.where(np.arange(k) < modes, 1, -1)
    weight = np.arange(k, 0, -1) / (k * (k + 1) / 2)
    state = [0]
    while len(state) < steps:
        state.append(state[-1] if rng.random() < stay else int(rng.choice(k, p=weight)))
    numbers = np.array(state)
    order = np.argsort(-np.bincount(numbers, minlength=k), kind="stable")
    return centres[numbers] + rng.standard_normal((steps, modes)), np.argsort(order)[numbers] + 1


def days(steps, start="2001-01-01"):
    return np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(1, "D")


def embedding(x, time=None, flag=None, checkpoint=SHA):
    return Embedding(
        values=np.asarray(x, float),
        flag=np.zeros(len(x), np.int8) if flag is None else np.asarray(flag, np.int8),
        time=TimeAxis.from_values(days(len(x)) if time is None else time),
        source="planted.nc",
        checkpoint=checkpoint,
    )


def write_embedding(path: Path, x, time=None, flag=None, checkpoint=SHA, **attributes):
    """Write an embedding file; a row of NaN becomes fill and its flag missing_input."""
    x = np.asarray(x, np.float32)
    missing = np.isnan(x).any(axis=1)
    flag = np.where(missing, schema.MISSING_INPUT, np.zeros(len(x)) if flag is None else flag)
    file = xr.Dataset(
        {
            schema.EMBEDDING: ((schema.TIME, schema.MODE), x),
            schema.EMBEDDING_FLAG: (schema.TIME, flag.astype(np.int8)),
        },
        {
            schema.TIME: days(len(x)) if time is None else time,
            schema.MODE: np.arange(1, x.shape[1] + 1),
        },
        {"history": "made by a test", "faconv_checkpoint_sha256": checkpoint, **attributes},
    )
    file.to_netcdf(path, encoding={schema.EMBEDDING: {"_FillValue": np.float32(9.96921e36)}})
    return path
