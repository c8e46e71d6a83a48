"""Memory that the plan tells against what the process takes: `python tests/benchmarks/memory_plan.py`.

One case a call, as each needs a process of its own:

    python tests/benchmarks/memory_plan.py 1 41 41 task=forecast
    python tests/benchmarks/memory_plan.py --embed 4 181 360

LEVELS LAT LON, then settings of `faconv train`. Prints planned and measured MiB beside the program.
"""

import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import sklearn.decomposition  # noqa: F401 - part of the program, not of its work
import torch
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.cube.pipeline import open_record
from faconv_cli.embed.run import Embedder
from faconv_cli.fit.loop import Training, UpdateReport
from faconv_cli.fit.prepare import prepare
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.memory import embedding_batch, embedding_bytes, starting_bytes, training_bytes

STEPS = 200
TRAINED = 4  # steps of the optimiser; the memory of the process has settled then
MEBIBYTE = 2**20


def write_record(path, levels, lat, lon):
    """Write six patterns that wander, over noise."""
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((6, levels * lat * lon)).astype("f4")
    values = (np.cumsum(rng.standard_normal((STEPS, 6)), 0) / 5).astype("f4") @ patterns
    values += rng.standard_normal(values.shape).astype("f4")
    xr.Dataset(
        {"t": (("time", "level", "lat", "lon"), values.reshape(STEPS, levels, lat, lon), {"units": "K"})},
        {
            "time": ("time", np.arange(STEPS), {"units": "days since 2000-01-01"}),
            "level": ("level", np.arange(1.0, levels + 1), {"units": "hPa"}),
            "lat": ("lat", np.linspace(-80, 80, lat), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(lon) * 360 / lon, {"units": "degrees_east"}),
        },
    ).to_netcdf(path)


def resident(field):
    """Give VmRSS (now) or VmHWM (the most since the last reset) in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def reset_peak():
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def train(prepared, path):
    """Train a few steps."""
    steps = 0
    for report in Training(prepared, path, torch.device("cpu")).run():
        steps += isinstance(report, UpdateReport)
        if steps == TRAINED:
            return


def embed(checkpoint, cube):
    """Embed the record."""
    embedder = Embedder(checkpoint, cube, torch.device("cpu"), batch=None, attention=True)
    for _ in embedder.run(0, len(cube.time)):
        pass


def main(arguments):
    """Measure one case."""
    embedding = "--embed" in arguments
    levels, lat, lon, *given = [text for text in arguments if text != "--embed"]
    options = tomllib.loads("\n".join(given))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_record(Path(folder, "r.nc"), int(levels), int(lat), int(lon))
        config = RunConfig.build(None, {"updates": 2, **options, **({"updates": 0} if embedding else {})})
        cube = open_record([str(Path(folder, "r.nc"))], config.data)
        base = resident("VmRSS")
        reset_peak()
        prepared = prepare(cube.cached(), config)
        tiles = tiles_of(prepared.config, cube.grid.shape, periodic=cube.grid.periodic)
        if embedding:
            train(prepared, Path(folder, "m.pt"))
            steps = prepared.config.tiling.window
            batch = embedding_batch(prepared.config, cube.shape[1], tiles, steps, 1)
            planned = embedding_bytes(prepared.config, cube.shape[1], tiles, batch, steps, 1)
            checkpoint = read_checkpoint(Path(folder, "m.pt"))
            del prepared
            reset_peak()
            embed(checkpoint, cube)
        else:
            batch = prepared.config.fit.batch
            before = starting_bytes(prepared.config, cube)
            planned = max(before, training_bytes(prepared.config, cube.shape[1], tiles)) + cube.nbytes
            train(prepared, Path(folder, "m.pt"))
        measured = resident("VmHWM") - base
    planned /= MEBIBYTE
    case = f"{'embed ' if embedding else ''}{levels} x {lat} x {lon} {' '.join(given)}".strip()
    print(f"| {case} | {batch} | {planned:.0f} | {measured:.0f} | {planned / measured:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
