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


def first_change(
    kept: np.ndarray, read: Callable[[int, int], np.ndarray], *, whole: bool, at_once: int
) -> int | None:
    """Find the first step whose fingerprint is no longer what was kept; None where there is none.

    Args:
        kept: (n,) fingerprints, NaN where there are none.
        read: computes those of steps [start, stop).
        whole: compare all steps; else a sample, and where that differs all that come before.
        at_once: steps to read at a time.
    """
    if whole:
        return _first_in(kept, read, 0, len(kept), at_once)
    even = np.linspace(0, len(kept) - 1, min(SAMPLE, len(kept))).astype(int)
    steps = np.unique([*even, *range(max(0, len(kept) - LATEST), len(kept))]).tolist()
    alike = 0
    for step in steps:
        if _first_in(kept, read, step, step + 1, 1) is not None:
            return _first_in(kept, read, alike, step + 1, at_once)
        alike = step + 1
    return None


def _first_in(
    kept: np.ndarray, read: Callable[[int, int], np.ndarray], start: int, stop: int, at_once: int
) -> int | None:
    for begin in range(start, stop, at_once):
        end = min(begin + at_once, stop)
        with np.errstate(invalid="ignore"):
            changed = np.abs(read(begin, end) - kept[begin:end]) > TOLERANCE * np.maximum(
                1, np.abs(kept[begin:end])
            )
        if changed.any():
            return begin + int(changed.argmax())
    return None
