"""Remove rounding noise from time stamps: nearly whole hours become whole hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]

TOLERANCE = 1e-3  # of a step
MOST_SECONDS = 60.0  # that a stamp of any step may be off
_ROUND_SECONDS = (86400, 43200, 21600, 10800, 3600, 1800, 1200, 900, 600, 300, 60, 30, 10, 1, 0.1, 0.01, 1e-3)
_SHARE = 20  # of a round unit that a stamp may be off it: closer than chance would have many stamps lie
_APART = 3  # numbers in single precision that a round unit must hold to be told from others


class Rounded(NamedTuple):
    """Stamps after rounding.

    Attributes:
        keys: as given, rounded.
        off_s: by how much the worst was off, in seconds.
        unit_s: what they are multiples of since midnight, in seconds; 0 where they are nothing's.
    """

    keys: list[Keys]
    off_s: float
    unit_s: float


def slack(step_s: Any) -> Any:
    """Return how far noise may shift a stamp, in seconds, for a step length in seconds."""
    return np.minimum(TOLERANCE * np.asarray(step_s), MOST_SECONDS)


def rounded(keys: Sequence[Keys], step_s: float, per_second: int, spacing_s: float) -> Rounded:
    """Round all stamps to the coarsest round unit that all of them lie near.

    Stamps that are all off by the same amount are kept, as the offset is intended.

    Args:
        keys: (t,) stamps of several files, as integers since a midnight.
        step_s: the usual step in seconds.
        per_second: keys in a second.
        spacing_s: distance in seconds of neighbouring numbers in single precision, if they are; else 0.
    """
    every = np.concatenate(list(keys))
    for unit_s in _ROUND_SECONDS:
        unit = round(unit_s * per_second)
        if unit < 1 or unit_s < _APART * spacing_s:
            break
        off = every - _nearest(every, unit)
        near = max(min(float(slack(step_s)), unit_s / _SHARE), 0.51 * spacing_s) * per_second
        if np.abs(off).max() <= near and (off[0] == 0 or (off != off[0]).any()):
            return Rounded(
                [_nearest(own, unit) for own in keys], float(np.abs(off).max()) / per_second, unit_s
            )
    return Rounded(list(keys), 0.0, 0.0)


def _nearest(keys: Keys, unit: int) -> Keys:
    return (keys + unit // 2) // unit * unit
