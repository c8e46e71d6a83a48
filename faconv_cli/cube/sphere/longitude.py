"""Longitudes: counted from any meridian, in either direction, and once or more around the globe."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.sphere.cells import CLOSE, spacing
from faconv_cli.cube.sphere.places import disorder
from faconv_cli.errors import InputError

Floats = npt.NDArray[np.float64]


def wrapped(lon: Any) -> Any:
    """Degrees of longitude, or of a difference of two, in [-180, 180)."""
    return (lon + 180) % 360 - 180


def canonical(lon: Floats, name: str) -> tuple[Floats, bool, bool, int]:
    """Return ascending longitudes, whether they close the circle, were flipped, and how far rolled."""
    flip = bool(np.median(wrapped(np.diff(lon))) < 0)
    east = lon[::-1] if flip else lon
    steps = np.diff(east) % 360
    gaps = np.append(steps, (east[0] - east[-1]) % 360)
    if not (gaps > 0).all() or not np.isclose(gaps.sum(), 360):
        raise disorder(f"longitude {name!r} goes neither east nor west throughout")
    periodic = len(lon) > 2 and bool(gaps.max() < 1.5 * np.median(gaps))
    if periodic:
        start = int(np.argmin((east + 1e-6) % 360))
        return _from_west(np.roll(east, -start), 0.0), True, flip, start
    start = (int(np.argmax(gaps)) + 1) % len(east)
    return _from_west(np.roll(east, -start), -180.0), False, flip, start


def _from_west(east: Floats, lowest: float) -> Floats:
    """Unwrap longitudes that go east so that the first lies in [lowest, lowest + 360)."""
    first = (east[0] - lowest + 1e-6) % 360 - 1e-6 + lowest
    return np.concatenate([[first], first + np.cumsum(np.diff(east) % 360)])


def around(lon: Floats) -> Floats:
    """Longitudes (w,) counted on or back from the first, in steps of less than half the globe."""
    steps = wrapped(np.diff(lon))
    return np.concatenate([lon[:1], lon[0] + np.cumsum(steps)])


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
            f"longitude {name!r} goes around the globe more than once, with different meridians",
            wanted="each meridian may occur once, or be repeated at the end",
            do="fix the coordinate in the file",
        )
    first = again // 2
    return slice(first, count - again + first)
