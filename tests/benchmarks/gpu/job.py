"""The main job by typed commands, from file to embedding, beside a raw read of the same file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np

REPOSITORY = Path(__file__).parents[3]
FULL = "--steps 730 --lat 181 --lon 360 --variables 4"
QUICK = "--steps 60 --lat 12 --lon 24 --variables 1"


def write_record(folder: Path, *, quick: bool) -> Path:
    """Make the record: 730 × 4 × 181 × 360 float32 (761 MB), uncompressed."""
    path = folder / "record.nc"
    run_command(f"sample planted {path} {QUICK if quick else FULL} --overwrite", folder)
    return path


def run_job(path: Path, device: str, *, quick: bool) -> None:
    """Print seconds of a raw read, of training and of embedding: all, and half of it, to tell the start."""
    checkpoint, out, folder = path.with_suffix(".pt"), path.with_suffix(".emb.nc"), path.parent
    print(f"faconv --help: {run_command('--help', folder):.2f} s", flush=True)
    size, read = path.stat().st_size / 1e6, [_raw_read(path) for _ in range(3)]
    print(f"raw netCDF4 reads of {size:.0f} MB: {', '.join(f'{one:.2f}' for one in read)} s", flush=True)
    shape = "--updates 2 --window 12 --burn-in 4 --embedding 4" if quick else "--updates 48 --patch 2"
    trained = run_command(f"train {path} -o {checkpoint} {shape} --overwrite --device {device}", folder)
    print(f"train {shape}: {trained:.2f} s", flush=True)
    embed = f"embed -c {checkpoint} {path} {out} --overwrite --device {device}"
    whole = run_command(embed, folder)
    print(f"embed: {whole:.2f} s", flush=True)
    if not quick:
        half = run_command(f"{embed} --time-range 2000", folder)
        print(f"embed of the first 366 of 730 steps: {half:.2f} s; a second half costs {whole - half:.2f} s")


def run_command(line: str, folder: Path) -> float:
    """Run ``faconv`` with these words; give its wall seconds; what it says goes to commands.log.

    Raises:
        RuntimeError: it failed.
    """
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "faconv_cli", *line.split()], env=environment, capture_output=True, text=True
    )
    took = time.monotonic() - started
    with (folder / "commands.log").open("a") as log:
        log.write(f"$ faconv {line}\n{done.stdout}{done.stderr}({took:.2f} s)\n")
    if done.returncode:
        raise RuntimeError(f"faconv {line}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return took


def _raw_read(path: Path) -> float:
    started = time.monotonic()
    with netCDF4.Dataset(path) as data:
        for name in data.variables:
            variable = data[name]
            for start in range(0, len(variable) if variable.ndim == 3 else 0, 30):
                np.asarray(variable[start : start + 30])
    return time.monotonic() - started
