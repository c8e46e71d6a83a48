"""Latitude and longitude of points given in a rotated pole's coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.sphere.longitude import wrapped

Floats = npt.NDArray[np.float64]


def from_rotated_pole(
    rlat: npt.ArrayLike, rlon: npt.ArrayLike, mapping: Mapping[Any, Any]
) -> tuple[Floats, Floats]:
    """Compute latitude and longitude (y, x) in degrees of a grid in rotated coordinates.

    By spherical trigonometry here and not by pyproj, whose library and that of eccodes free the same memory
    when one process has loaded both.

    Args:
        rlat: (y,) rotated latitudes in degrees.
        rlon: (x,) rotated longitudes in degrees.
        mapping: attributes of a CF grid mapping ``rotated_latitude_longitude``.
    """
    pole = np.radians(float(mapping["grid_north_pole_latitude"]))
    meridian = np.radians(float(mapping["grid_north_pole_longitude"]))
    shift = np.radians(float(mapping.get("north_pole_grid_longitude", 0.0)))
    phi, lam = np.meshgrid(np.radians(rlat), np.radians(rlon) - shift, indexing="ij")
    # the point in axes whose z is the true pole and whose x is the half-plane through the rotated one
    x = np.cos(pole) * np.sin(phi) - np.sin(pole) * np.cos(phi) * np.cos(lam)
    y = -np.cos(phi) * np.sin(lam)
    z = np.sin(pole) * np.sin(phi) + np.cos(pole) * np.cos(phi) * np.cos(lam)
    lon = np.degrees(np.arctan2(y, x) + meridian)
    return np.degrees(np.arcsin(np.clip(z, -1, 1))), wrapped(lon)
