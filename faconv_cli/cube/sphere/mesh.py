"""Coordinates (y, x) that are a mesh of two axes, in either order of dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.sphere.cells import CLOSE, spacing
from faconv_cli.cube.sphere.longitude import around, wrapped

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
    off = wrapped(angle - angle[:, :1])
    return bool((np.abs(off) <= CLOSE * spacing(around(angle[:, 0]))).all())
