"""A number for each time step that tells whether the input of an embedding or a training has changed since.

It is a projection of the normalised fields on a fixed pattern, so data in another file, chunking, order of
points, packing or unit give the same number but for rounding, and what would change the embedding changes it.
A checksum would change with the last bit of a conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

TOLERANCE = 1e-4  # of numbers of about 1; the rounding of float32 and of units makes 1e-5
_CONVERTED, _PACKED = 1.5e-5, 2e-3  # usual differences between which data may be the same in another packing
_LEAST_STEPS = 8  # that tell
_MOST_ROUNDED = 9  # usual differences: six standard deviations
SAMPLE, LATEST = 256, 64  # steps of a long record that are compared: evenly spaced, and the last


@cache
def _pattern(size: int) -> np.ndarray:
    """(size,) numbers of mean about 1 / size and variance 1 / size, the same on any machine for ever."""
    number = np.arange(size, dtype=np.uint64)
    with np.errstate(over="ignore"):  # the mixing of splitmix64 (Steele, Lea and Flood 2014)
        mixed = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = (mixed >> np.uint64(40)) / 2.0**24
    return np.asarray((uniform - uniform.mean()) * np.sqrt(12 / size) + 1 / size, np.float32)


def fingerprints(x: np.ndarray) -> np.ndarray:
    """(n,) float64 of normalised fields x (n, c, h, w), 0 where missing."""
    flat = x.reshape(len(x), -1)
    return np.asarray(flat @ _pattern(flat.shape[1]), np.float64)


def rounding(kept: np.ndarray, read: Callable[[int, int], np.ndarray]) -> float:
    """Return by how much fingerprints usually differ if only the rounding of the data changed; else 0.

    Packing (16 bits in NetCDF, GRIB) rounds all values of all steps, by chance up or down, and by little. The
    pattern's squares sum to 1, so that fingerprints differ by as much as values do.

    Args:
        kept: (n,) fingerprints, NaN where there are none.
        read: computes those of steps [start, stop).
    """
    known = np.flatnonzero(np.isfinite(kept))
    if len(known) < _LEAST_STEPS:
        return 0.0
    steps = known[np.unique(np.linspace(0, len(known) - 1, LATEST).astype(int))]
    now = np.array([read(step, step + 1)[0] for step in steps.tolist()])
    off = (now - kept[steps]) / np.maximum(1, np.abs(kept[steps]))
    usual = float(np.median(np.abs(off)))
    by_chance = abs(off.mean()) <= 4 * off.std() / np.sqrt(len(off))
    return usual if by_chance and _CONVERTED < usual <= _PACKED else 0.0


def first_change(
    kept: np.ndarray,
    read: Callable[[int, int], np.ndarray],
    *,
    whole: bool,
    at_once: int,
    rounded: float = 0.0,
) -> int | None:
    """Find the first step whose fingerprint is no longer what was kept; None where there is none.

    Args:
        kept: (n,) fingerprints, NaN where there are none.
        read: computes those of steps [start, stop).
        whole: compare all steps; else a sample, and where that differs all that come before.
        at_once: steps to read at a time.
        rounded: as of `rounding`.
    """
    tolerance = max(TOLERANCE, _MOST_ROUNDED * rounded)
    if whole:
        return _first_in(kept, read, 0, len(kept), at_once, tolerance)
    even = np.linspace(0, len(kept) - 1, min(SAMPLE, len(kept))).astype(int)
    steps = np.unique([*even, *range(max(0, len(kept) - LATEST), len(kept))]).tolist()
    alike = 0
    for step in steps:
        if _first_in(kept, read, step, step + 1, 1, tolerance) is not None:
            return _first_in(kept, read, alike, step + 1, at_once, tolerance)
        alike = step + 1
    return None


def _first_in(
    kept: np.ndarray,
    read: Callable[[int, int], np.ndarray],
    start: int,
    stop: int,
    at_once: int,
    tolerance: float,
) -> int | None:
    for begin in range(start, stop, at_once):
        end = min(begin + at_once, stop)
        with np.errstate(invalid="ignore"):
            changed = np.abs(read(begin, end) - kept[begin:end]) > tolerance * np.maximum(
                1, np.abs(kept[begin:end])
            )
        if changed.any():
            return begin + int(changed.argmax())
    return None
