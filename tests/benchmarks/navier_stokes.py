"""Forecasts of two-dimensional flow: errors of trained networks, and what an update of each costs.

Usage: python -m tests.benchmarks.navier_stokes scores FOLDER     forecasts ENCODER-WINDOW-GIVEN-sSEED.nc
       python -m tests.benchmarks.navier_stokes speed [ROUNDS]    CPU seconds of one thread, interleaved

The forecasts are those of ``faconv forecast --verify``; `docs/benchmarks.md` has the commands.
"""

import re
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from faconv_cli.config import RunConfig
from faconv_cli.cube.grid import Grid
from faconv_cli.network import build_domain, build_forecaster
from faconv_cli.windows.resolve import resolve

HIDDEN = {
    "convlstm": 25,
    "convgru": 28,
    "minconvlstm": 40,
    "minconvgru": 49,
    "minconvexplstm": 40,
    "minfaconvlstm": 96,
}
SETTINGS = ((15, 5), (25, 20))  # frames of a window, and how many of them are given
SIDE, BATCH = 16, 2


def scores(folder: Path) -> None:
    """Print RMSE over the standard deviation, of the next frame and of the frames in closed loop."""
    found: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(folder.glob("*-s[0-9].nc")):
        encoder, window, given = re.fullmatch(r"(\w+)-(\d+)-(\d+)-s\d\.nc", path.name).groups()
        with xr.open_dataset(path, decode_timedelta=False) as file:
            for method in ("", "persistence_"):
                name = encoder if not method else "persistence"
                own = (file[f"rmse_{method}vorticity"] / file["rmse_climatology_vorticity"]).values
                found[f"{window}/{given}", name].append((own[0], np.sqrt((own[1:] ** 2).mean())))
    for (setting, name), values in sorted(found.items()):
        mean, spread = np.mean(values, 0), np.std(values, 0, ddof=1) if len(values) > 1 else (0, 0)
        print(f"{setting} {name:15s} next frame {mean[0]:.4f} ± {spread[0]:.4f}", end="   ")
        print(f"closed loop {mean[1]:.4f} ± {spread[1]:.4f}   ({len(values)} seeds)")


def speed(rounds: int) -> None:
    """Print the CPU time of one update per sequence, and of a forecast, median over interleaved rounds."""
    torch.set_num_threads(1)
    for window, given in SETTINGS:
        steps = {encoder: _steps(encoder, window, given) for encoder in HIDDEN}
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(rounds + 1):
            for encoder, step in steps.items():
                for kind in ("update", "forecast"):
                    started = time.process_time()
                    step(kind)
                    times[encoder, kind].append((time.process_time() - started) / BATCH)
        for encoder in HIDDEN:
            update, forecast = (1e3 * np.median(times[encoder, kind][1:]) for kind in ("update", "forecast"))
            print(f"{window}/{given} {encoder:15s} update {update:.0f} ms   forecast {forecast:.0f} ms")


def _steps(encoder: str, window: int, given: int):
    options = {"task": "forecast", "encoder": encoder, "hidden": HIDDEN[encoder], "bottleneck": 48}
    options |= {"layers": 4, "padding": "circular", "skip": False, "window": window, "burn_in": 1}
    config = resolve(RunConfig.build(None, options), 1, (SIDE, SIDE), periodic=True)
    grid = Grid.from_coordinates(np.linspace(-0.5, 0.5, SIDE), np.arange(SIDE) * 360 / SIDE)
    network = build_forecaster(config, 1, grid.shape, periodic=True)
    domain = build_domain(config, grid, np.ones((1, SIDE, SIDE), np.float32))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    x = torch.randn(BATCH, window, 1, SIDE, SIDE)
    valid = torch.ones_like(x, dtype=torch.bool)

    def step(kind: str) -> None:
        seen = x[:, :given], valid[:, :given], window - 1 - given, domain
        if kind == "forecast":
            with torch.inference_mode():
                network(*seen)
            return
        optimizer.zero_grad()
        (network(*seen) - x[:, 1:]).square().mean().backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    if sys.argv[1] == "scores":
        scores(Path(sys.argv[2]))
    else:
        speed(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
