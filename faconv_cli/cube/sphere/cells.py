"""Axes of a grid: the usual step along one, its cells, and holes in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CLOSE = 0.01  # of a cell: coordinates that are nearer are the same
_HOLE = 2.5  # times as long as the steps on both sides: the axis is torn there

Floats = npt.NDArray[np.float64]


def spacing(coordinate: Floats) -> float:
    """Median step of an axis; one degree where it has a single point."""
    if len(coordinate) < 2:
        return 1.0
    return float(np.median(np.abs(np.diff(coordinate))) or 1.0)


def holes(coordinate: Floats) -> npt.NDArray[np.bool_]:
    """(n - 1,) which steps of an axis jump over a part that it leaves out, as between two sectors."""
    steps = np.abs(np.diff(coordinate))
    if len(steps) < 2:
        return np.zeros(len(steps), bool)
    beside = np.maximum(np.append(0, steps[:-1]), np.append(steps[1:], 0))
    return np.asarray(steps > _HOLE * beside)


def cells(centres: Floats) -> tuple[Floats, Floats]:
    """Lower and upper edges (n,) of the cells of an ascending axis, midway between neighbours.

    At an end and beside a hole a cell reaches as far as to its other side.
    """
    half = np.where(holes(centres), np.nan, np.diff(centres) / 2)
    below, above = np.append(np.nan, half), np.append(half, np.nan)
    alone = np.isnan(below) & np.isnan(above)
    back = np.where(alone, np.nanmedian(half), np.where(np.isnan(below), above, below))
    ahead = np.where(alone, np.nanmedian(half), np.where(np.isnan(above), below, above))
    return centres - back, centres + ahead
