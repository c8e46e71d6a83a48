"""Places on the sphere: checks of coordinates, points in space, and distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.errors import InputError

Floats = npt.NDArray[np.float64]

_FARTHEST = 1080  # degrees of longitude; what is larger is a fill value, or no angle


def check_degrees(lat: Floats, lon: Floats, lat_name: str, lon_name: str) -> None:
    """Refuse numbers that cannot be degrees; missing ones are ignored.

    Raises:
        InputError: latitudes beyond the poles, or longitudes that are fill values or not angles.
    """
    if (np.abs(lat[np.isfinite(lat)]) > 90.001).any():
        raise disorder(f"latitude {lat_name!r} goes beyond the poles")
    if (np.abs(lon[np.isfinite(lon)]) > _FARTHEST).any():
        raise disorder(f"longitude {lon_name!r} has values such as {np.nanmax(np.abs(lon)):g}")


def on_sphere(lat: Floats, lon: Floats) -> Floats:
    """Points (..., 3) of the unit sphere."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def central_angle(lat: Any, lon: Any, lats: Any, lons: Any) -> Floats:
    """Degrees on the great circle (haversine, exact for small angles)."""
    phi, phis = np.radians(lat), np.radians(lats)
    half = np.sin((phis - phi) / 2) ** 2
    half = half + np.cos(phi) * np.cos(phis) * np.sin(np.radians(lons - lon) / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))), np.float64)


def disorder(found: str) -> InputError:
    """Return the error for coordinates that do not form a grid."""
    return InputError(
        found,
        wanted="latitude and longitude must be in degrees and monotonic",
        do="fix the coordinate in the file",
    )
