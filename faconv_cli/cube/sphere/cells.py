"""Axes of a grid: where a file gives more than two, or a meridian twice; their cells, and holes in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from faconv_cli.errors import InputError

CLOSE = 0.01  # of a cell: coordinates that are nearer are the same
_HOLE = 2.5  # times as long as the steps on both sides: the axis is torn there

Floats = npt.NDArray[np.float64]


class Axes(NamedTuple):
    """Latitude (h,) and longitude (w,) of a mesh, and whether the file has its longitudes along rows."""

    lat: Floats
    lon: Floats
    turned: bool


def axes_of_mesh(lat: Floats, lon: Floats) -> Axes | None:
    """The axes of coordinates (y, x) that vary along one dimension each; None for any other grid."""
    if lat.ndim != 2 or not (np.isfinite(lat).all() and np.isfinite(lon).all()):
        return None
    for turned in (False, True):
        north, east = (lat.T, lon.T) if turned else (lat, lon)
        if _same_along_rows(north) and _same_along_rows(east.T):
            return Axes(north[:, 0], east[0], turned)
    return None


def _same_along_rows(angle: Floats) -> bool:
    """Whether each row of (n, m) holds one angle, to a hundredth of the step between rows."""
    off = (angle - angle[:, :1] + 180) % 360 - 180
    return bool((np.abs(off) <= CLOSE * spacing(around(angle[:, 0]))).all())


def around(lon: Floats) -> Floats:
    """Longitudes (w,) counted on or back from the first, in steps of less than half the globe."""
    steps = (np.diff(lon) + 180) % 360 - 180
    return np.concatenate([lon[:1], lon[0] + np.cumsum(steps)])


def spacing(coordinate: Floats) -> float:
    """Median step of an axis; one degree where it has a single point."""
    if len(coordinate) < 2:
        return 1.0
    return float(np.median(np.abs(np.diff(coordinate))) or 1.0)


def once_around(lon: Floats, name: str) -> slice:
    """Columns that go around the globe once; those that an end of the file repeats are left out.

    Of one that is repeated (0 and 360) the first is kept, of halos on both sides the inside.

    Raises:
        InputError: longitudes that go on around the globe, but not over the same meridians.
    """
    count = len(lon)
    if not np.isfinite(lon).all():
        return slice(0, count)
    turned = np.abs(around(lon) - lon[0])
    near = CLOSE * spacing(turned)
    again = int((turned >= 360 - near).sum())
    if not again or (np.diff(turned) <= 0).any():
        return slice(0, count)
    if again > count - 2 or (np.abs(turned[count - again :] - 360 - turned[:again]) > near).any():
        raise InputError(
            f"longitude {name!r} goes around the globe more than once, over other meridians",
            wanted="each meridian is there once, or again at the end",
            do="correct the coordinate in the file",
        )
    first = again // 2
    return slice(first, count - again + first)


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
