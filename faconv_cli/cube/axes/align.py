"""Align a field on its own grid with the points of another grid, by coordinates.

All auxiliary fields of a record (cell areas, masks, static channels) are matched to its grid here, never by
their position in an array, so that the order of either file does not matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.sphere.cells import CLOSE
from faconv_cli.cube.sphere.longitude import wrapped

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Places(NamedTuple):
    """Indices of the points of a grid on another one: rows and columns that broadcast to (h, w).

    Attributes:
        rows, columns: indices in the other grid, in canonical order.
        known: (h, w) points that have coordinates.
    """

    rows: Indices
    columns: Indices
    known: npt.NDArray[np.bool_]


def aligned(field: npt.NDArray[Any], own: Grid, grid: Grid) -> npt.NDArray[Any] | None:
    """Return a field (h', w') on ``own`` at the points of ``grid`` (h, w); None if the points differ.

    Points match within a hundredth of a cell, in any order and any longitude convention. ``own`` may extend
    beyond ``grid``, but must have no points in between.

    Args:
        field: in canonical order of ``own``.
        own: the grid of the field.
        grid: the target grid.
    """
    if own.same_points(grid):
        return field
    places = _places(own, grid)
    if places is None:
        return None
    found = field[places.rows, places.columns]
    return found if places.known.all() else np.where(places.known, found, np.nan)


def _places(own: Grid, grid: Grid) -> Places | None:
    if own.regular and grid.regular:
        return _on_axes(own, grid)
    return _among_points(own, grid)


def _on_axes(own: Grid, grid: Grid) -> Places | None:
    near = CLOSE * grid.spacing
    rows, away_lat = _nearest(np.abs(own.lat - grid.lat[:, None]))
    columns, away_lon = _nearest(np.abs(wrapped(own.lon - grid.lon[:, None])))
    if max(away_lat.max(), away_lon.max()) > near:
        return None
    if (np.diff(rows) != 1).any() or (np.diff(columns) % len(own.lon) != 1).any():
        return None
    return Places(rows[:, None], columns[None], np.ones(grid.shape, bool))


def _nearest(away: Floats) -> tuple[Indices, Floats]:
    """Return index and value of the smallest number in each row of (n, m)."""
    index = away.argmin(axis=1)
    return index, away[np.arange(len(away)), index]


def _among_points(own: Grid, grid: Grid) -> Places | None:
    """Look for each point, where one of the grids has 2-D coordinates."""
    from scipy.spatial import KDTree

    ours, wanted = own.on_sphere(), grid.on_sphere()
    known = np.asarray(np.isfinite(wanted).all(axis=-1))
    # of points at one place, as in an overlap, the first: it is the one that weighs
    there = np.flatnonzero(np.isfinite(ours).all(axis=-1) & ~own.again)
    if not known.any() or not len(there):
        return None
    away, near = KDTree(ours.reshape(-1, 3)[there]).query(wanted[known])
    if (np.asarray(away) > np.radians(CLOSE * grid.spacing)).any():
        return None
    index = np.zeros(grid.shape, np.int64)
    index[known] = there[np.asarray(near)]
    rows, columns = np.unravel_index(index, own.shape)
    return Places(rows, columns, known) if _neighbours(rows, columns, known) else None


def _neighbours(rows: Indices, columns: Indices, known: npt.NDArray[np.bool_]) -> bool:
    """Return whether neighbours in both directions are mostly neighbours on the other grid, too."""
    for axis in (0, 1):
        both = np.minimum(*(np.take(known, range(s, known.shape[axis] - 1 + s), axis) for s in (0, 1)))
        apart = np.abs(np.diff(rows, axis=axis)) + np.abs(np.diff(columns, axis=axis))
        if both.any() and np.median(apart[both]) > 1:
            return False
    return True
