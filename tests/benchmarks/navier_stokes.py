"""Forecasts of two-dimensional flow: errors of trained networks, and what an update of each costs.

Usage: python -m tests.benchmarks.navier_stokes run FOLDER [SETTING [DEVICE [WORKERS]]]
                                                               train what has no score; 15/5, 25/20
       python -m tests.benchmarks.navier_stokes scores         the table of all that has one
       python -m tests.benchmarks.navier_stokes speed [ROUNDS] CPU seconds of one thread, interleaved

`run` may be stopped at any time and goes on where it was, with FOLDER, from the last checkpoint: it types the
commands of `docs/benchmarks.md`, one network after the other and seed by seed, and adds a line for each to
`results/navier_stokes.jsonl`. The flows are made there, too, where they are not: 200 to train on, 20 to
choose the update, 40 to test on.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.cube.grid import Grid
from faconv_cli.files import last_path
from faconv_cli.network import build_domain, build_forecaster
from faconv_cli.windows.resolve import resolve

HIDDEN = {
    "minconvgru": 49,
    "convgru": 28,
    "minfaconvlstm": 96,
    "convlstm": 25,
    "minconvexplstm": 40,
    "minconvlstm": 40,
}
SETTINGS = ((15, 5), (25, 20))  # frames of a window, and how many of them are given
SIDE, BATCH = 16, 2
SEEDS, UPDATES = 3, 5000
RESULTS = Path(__file__).parent / "results" / "navier_stokes.jsonl"


def run(folder: Path, window: int, given: int, device: str, workers: int) -> None:
    """Train, forecast and score each network and seed that has no score yet, some at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    flows = folder / "ns.nc"
    if not flows.exists():
        _faconv("sample navier-stokes --samples 260 --steps 25", flows)
    wanted = [
        {"setting": f"{window}/{given}", "encoder": encoder, "seed": seed, "updates": UPDATES}
        for seed in range(SEEDS)
        for encoder in HIDDEN
    ]
    there = _scored()
    left = [one for one in wanted if not any(one.items() <= score.items() for score in there)]
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(_train_and_score, folder, window, given, one, device) for one in left]
        for done in as_completed(running):
            with RESULTS.open("a") as file:
                file.write(json.dumps(done.result()) + "\n")


def _train_and_score(
    folder: Path, window: int, given: int, one: dict[str, object], device: str
) -> dict[str, object]:
    encoder, seed = str(one["encoder"]), one["seed"]
    flows, model = folder / "ns.nc", folder / f"{encoder}-{window}-{given}-s{seed}.pt"
    again = "--resume" if last_path(model).exists() else ""
    _faconv(
        f"train --task forecast --closed-loop --encoder {encoder} --hidden {HIDDEN[encoder]} --bottleneck 48 "
        "--layers 4 --no-skip --padding circular --anomaly none --time-range 1:220 --validation 201:220 "
        f"--window {window} --teacher-forced {given} --burn-in 1 --batch 1 --updates {UPDATES} "
        f"--lr 1e-3 --weight-decay 0.01 --seed {seed} --threads 1 --device {device} {again}",
        flows,
        "-o",
        model,
    )
    forecasts = model.with_suffix(".nc")
    _faconv(
        f"forecast --from 221:260 --steps {window - given} --verify --overwrite --threads 1",
        "-c",
        model,
        flows,
        forecasts,
    )
    return {**one, **_score(model, forecasts), "device": device}


def _faconv(options: str, *paths: object) -> None:
    subprocess.run([sys.executable, "-m", "faconv_cli", *options.split(), *map(str, paths)], check=True)


def _score(model: Path, forecasts: Path) -> dict[str, object]:
    """Give the errors at each lead over those of the climatology, which are the standard deviation."""
    checkpoint = read_checkpoint(model)
    with xr.open_dataset(forecasts, decode_timedelta=False) as file:
        std = file.rmse_climatology_vorticity
        errors = {name: (file[f"rmse{name}_vorticity"] / std).values for name in ("", "_persistence")}
    weights = [*checkpoint.encoder.values(), *checkpoint.decoder.values()]
    return {
        "parameters": sum(tensor.numel() for tensor in weights),
        "best update": checkpoint.record["best_update"],
        "rmse": [round(float(one), 5) for one in errors[""]],
        "rmse of persistence": [round(float(one), 5) for one in errors["_persistence"]],
        "date": time.strftime("%Y-%m-%d"),
    }


def _scored() -> list[dict[str, object]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def scores() -> None:
    """Print RMSE over the standard deviation, of the next frame and of the frames in closed loop."""
    found: dict[tuple[object, ...], list[tuple[float, float]]] = defaultdict(list)
    for score in _scored():
        for name, errors in (
            (score["encoder"], score["rmse"]),
            ("persistence", score["rmse of persistence"]),
        ):
            own = np.array(errors)
            found[score["setting"], score["updates"], name].append((own[0], np.sqrt((own[1:] ** 2).mean())))
    for (setting, updates, name), values in sorted(found.items()):
        mean, spread = np.mean(values, 0), np.std(values, 0, ddof=1) if len(values) > 1 else (0, 0)
        print(f"{setting} {updates} {name:15s} next frame {mean[0]:.4f} ± {spread[0]:.4f}", end="   ")
        print(f"closed loop {mean[1]:.4f} ± {spread[1]:.4f}   ({len(values)} runs)")


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
    options = {
        "task": "forecast",
        "closed_loop": True,
        "encoder": encoder,
        "hidden": HIDDEN[encoder],
        "bottleneck": 48,
    }
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
        scores()
    elif sys.argv[1] == "run":
        folder, setting, device, workers = [*sys.argv[2:], *("", "15/5", "cpu", "1")[len(sys.argv) - 2 :]]
        run(Path(folder), *map(int, setting.split("/")), device, int(workers))
    else:
        speed(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
