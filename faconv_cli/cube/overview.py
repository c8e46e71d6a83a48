"""What there is to know about a cube before working on it, as plain data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from faconv_cli.cube.cube import MEBIBYTE, Cube
from faconv_cli.cube.size import chunk_advice, file_bytes

EXACT_BYTES = 256 * MEBIBYTE  # a cube up to this size is read whole
_SAMPLED_RUNS = 8


def overview(cube: Cube, exact_bytes: int = EXACT_BYTES) -> dict[str, Any]:
    """Describe a cube as JSON: channels, dimensions, time, grid, storage, and what was dropped.

    Shares of missing values and ranges are exact where the cube has at most ``exact_bytes`` as float32; else
    they come from eight runs of steps spread over the record, or from the first run alone where its chunks
    make that slow, and ``values.steps_read`` says so.

    Raises:
        InputError: the file is damaged.
    """
    runs = _runs_to_read(cube, exact_bytes)
    return {
        "files": list(cube.sources),
        "variables": _variables(cube, runs),
        "left_out": dict(cube.left_out or {}),
        "dimensions": _dimensions(cube),
        "time": _time(cube),
        "grid": _grid(cube),
        "values": {
            "steps": len(cube.time),
            "steps_read": sum(stop - start for start, stop in runs),
            "bytes": cube.nbytes,
            "file_bytes": file_bytes(cube),
        },
        "storage": _storage(cube),
        "notes": [*cube.notes, *cube.masked],
    }


def _runs_to_read(cube: Cube, exact_bytes: int) -> list[tuple[int, int]]:
    if cube.nbytes <= exact_bytes:
        return list(cube.blocks())
    steps = len(cube.time)
    length = max(1, exact_bytes // _SAMPLED_RUNS * steps // cube.nbytes)
    runs = 1 if chunk_advice(cube) else _SAMPLED_RUNS  # where each run reads the record, one is enough
    starts = np.linspace(0, steps - length, runs).astype(int)
    starts = np.unique(starts // length * length)  # apart, so that no step counts twice
    return [(int(start), int(start) + length) for start in starts]


def _variables(cube: Cube, runs: list[tuple[int, int]]) -> list[dict[str, Any]]:
    missing, low, high = np.zeros((3, len(cube.channels)))
    low, high, count = low + np.inf, high - np.inf, 0
    for start, stop in runs:
        fields = cube.read(start, stop)
        valid = np.isfinite(fields)
        missing += (~valid).sum(axis=(0, 2, 3))
        low = np.minimum(low, fields.min(axis=(0, 2, 3), where=valid, initial=np.inf))
        high = np.maximum(high, fields.max(axis=(0, 2, 3), where=valid, initial=-np.inf))
        count += fields[:, 0].size
    return [
        {
            "name": channel.name,
            "units": channel.units,
            "long_name": channel.long_name or channel.standard_name,
            "level": channel.level,
            "level_units": channel.level_units,
            "missing_share": float(missing[i] / count),
            "min": float(low[i]) if low[i] <= high[i] else None,
            "max": float(high[i]) if low[i] <= high[i] else None,
        }
        for i, channel in enumerate(cube.channels)
    ]


def _dimensions(cube: Cube) -> list[dict[str, Any]]:
    time, channels, h, w = cube.shape
    file = cube.readers[0].file
    time_name = (file.dims[0] if file else None) or "time"
    return [
        {"name": time_name, "role": "time", "size": time},
        {"name": "variables and levels", "role": "channel", "size": channels},
        {"name": cube.grid.y_name, "role": "latitude" if cube.grid.regular else "y", "size": h},
        {"name": cube.grid.x_name, "role": "longitude" if cube.grid.regular else "x", "size": w},
    ]


def _time(cube: Cube) -> dict[str, Any]:
    time = cube.time
    return {
        "first": time.labels[0],
        "last": time.labels[-1],
        "steps": len(time),
        "step": time.step,
        "calendar": time.calendar,
        "passes": len(time.passes),
        "gaps": [
            {"from": time.labels[before[1] - 1], "to": time.labels[after[0]]}
            for before, after in pairwise(time.segments)
            if time.seconds[after[0]] > time.seconds[before[1] - 1]
        ],
        "irregular_steps": time.irregular_steps,
    }


def _grid(cube: Cube) -> dict[str, Any]:
    grid = cube.grid
    return {
        **grid.signature(),
        "latitude_order": "descending" if grid.y_flip else "ascending" if grid.regular else "2-D",
        "longitude_in_file": [float(np.nanmin(grid.file_lon)), float(np.nanmax(grid.file_lon))],
    }


def _storage(cube: Cube) -> dict[str, Any]:
    """How the first channel lies in its first file."""
    field = cube.readers[0].file
    if field is None:
        return {}
    encoding = field.variable.encoding
    chunks = encoding.get("preferred_chunks") or {}
    return {
        "type": str(encoding.get("dtype", field.variable.dtype)),
        "packed": "scale_factor" in encoding or "add_offset" in encoding,
        "chunks": {str(dim): int(size) for dim, size in chunks.items()} or None,
        "steps_per_chunk": cube.file_chunk_steps,
    }
