"""Read a few values of a channel to tell what it holds, without counting them in ledgers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.read.masking import Ledger
from faconv_cli.cube.read.readers import Masked, Picked, Reader

_BLOCK, _SMALL = 8, 1024  # points along the side of a block; grids with at most _SMALL points are read whole

Floats = npt.NDArray[np.float64]


def series_of(reader: Reader) -> Series | None:
    """Return the series of files behind a reader that only masks or selects points, or None."""
    while isinstance(reader, Masked | Picked):
        reader = reader.inner
    return reader if isinstance(reader, Series) else None


def some_points(reader: Reader) -> list[Series]:
    """Return blocks of points in the quarters of the grid, or all points of a small grid."""
    series = series_of(reader)
    if series is None:
        return []
    parts = [replace(part, ledger=Ledger(part.name, part.steps)) for part in series.parts]
    series, (_, h, w) = replace(series, parts=tuple(parts)), series.shape
    if h * w <= _SMALL:
        return [series]
    blocks = product(*([_block(size, share) for share in (0.25, 0.75)] for size in (h, w)))
    return [series.pick(rows, columns) for rows, columns in blocks]


def values_at(points: list[Series], start: int, stop: int) -> Floats:
    """Read steps [start, stop) of `some_points`, as (t, p)."""
    fields = [np.empty((stop - start, *one.shape[1:]), np.float32) for one in points]
    for one, block in zip(points, fields, strict=True):
        one.read_into(block, start, stop)
    return np.concatenate([block.reshape(stop - start, -1) for block in fields], axis=1).astype(np.float64)


def _block(size: int, share: float) -> npt.NDArray[np.int64]:
    start = max(0, round(size * share) - _BLOCK // 2)
    return np.arange(start, min(start + _BLOCK, size))
