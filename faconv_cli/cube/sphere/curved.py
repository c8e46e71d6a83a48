"""The area that points of 2-D coordinates stand for: what their neighbours span on the sphere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SEAM = 3.0  # times as far as the other neighbour: the grid is torn there


def areas(points: Floats, latitude: Floats) -> Floats:
    """Areas (h, w) of cells between the midpoints to neighbours, in any unit.

    Where a point has no neighbour along a side, it counts as an average cell of its latitude.

    Args:
        points: (h, w, 3) on the unit sphere, NaN where a coordinate is missing.
        latitude: (h, w) in degrees.

    Returns:
        NaN where a coordinate is missing.
    """
    (high, north), (wide, east) = (_cell_side(points, axis) for axis in (0, 1))
    area = high * wide * np.linalg.norm(np.cross(north, east), axis=-1)
    cosine = np.where(np.isfinite(points[..., 0]), np.cos(np.radians(latitude)), np.nan)
    known = np.isfinite(area) & (area > 0)
    usual = float(np.median(area[known] / cosine[known])) if known.any() else 1.0
    return np.where(known, area, usual * cosine)


def _cell_side(points: Floats, axis: int) -> tuple[Floats, Floats]:
    """Length (h, w) of cells along an axis in radians, and its direction (h, w, 3), of length one."""
    steps = np.diff(points, axis=axis)
    chords = np.linalg.norm(steps, axis=-1)
    arcs = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    back, ahead = _both_ways(arcs, axis)
    # across a seam, or beyond the edge, the cell reaches as far as to the other side
    back_known = np.isfinite(back) & ~(back > _SEAM * ahead)
    ahead_known = np.isfinite(ahead) & ~(ahead > _SEAM * back)
    count = back_known.astype(int) + ahead_known
    with np.errstate(invalid="ignore", divide="ignore"):
        length = (np.where(back_known, back, 0) + np.where(ahead_known, ahead, 0)) / count
        steps_back, steps_ahead = _both_ways(steps, axis)
        way = np.where(back_known[..., None], steps_back, 0) + np.where(
            ahead_known[..., None], steps_ahead, 0
        )
        return length, way / np.linalg.norm(way, axis=-1, keepdims=True)


def _both_ways(steps: Floats, axis: int) -> tuple[Floats, Floats]:
    """What lies between each point and the one before it, and the one after it; NaN at the edges."""
    edge = np.full_like(np.take(steps, [0], axis), np.nan)
    return np.concatenate([edge, steps], axis), np.concatenate([steps, edge], axis)
