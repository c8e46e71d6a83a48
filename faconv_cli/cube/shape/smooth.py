"""Running means in time over past steps only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.readers import Fields, Transformed
from faconv_cli.errors import UsageError

LEAST_VALID_SHARE = 0.5  # minimum share of valid steps in a mean
_ROW_BYTES = 2**21  # of float64 processed at once, to stay in the processor's cache

Segments = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Smoothed(Transformed):
    """Mean of each step and the ``count`` - 1 steps before it, within a run without gaps.

    It never looks ahead, so existing values stay the same when a record grows. The first steps of a run are
    means of the steps available. A point is missing if less than half of the steps hold a value.

    Attributes:
        segments: runs without gaps of the whole record.
    """

    count: int
    segments: Segments

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop), one run at a time."""
        for begin, end in self.segments:
            first, last = max(begin, start), min(end, stop)
            if first < last:
                self._run_into(out[first - start : last - start], begin, first, last)

    def _run_into(self, out: Fields, begin: int, first: int, last: int) -> None:
        """Fill steps [first, last) of the run that starts at ``begin``."""
        ahead = max(begin, first - self.count + 1)
        fields = np.empty((last - ahead, *self.shape[1:]), np.float32)
        self.inner.read_into(fields, ahead, last)
        there = np.minimum(np.arange(first, last) - begin + 1, self.count)[:, None, None]
        rows = max(1, _ROW_BYTES // (8 * len(fields) * fields.shape[2]))
        for row in range(0, fields.shape[1], rows):
            part = fields[:, row : row + rows]
            valid = np.isfinite(part)
            total = trailing_sums(np.where(valid, part, 0.0).astype(np.float64), self.count)[first - ahead :]
            count = trailing_sums(valid.astype(np.int32), self.count)[first - ahead :]
            mean = total / np.maximum(count, 1)
            out[:, row : row + rows] = np.where(count >= LEAST_VALID_SHARE * there, mean, np.nan)


def trailing_sums(values: np.ndarray, count: int) -> np.ndarray:
    """Sum each step of ``values`` (t, ...) and the ``count`` - 1 before it.

    Sums over 1, 2, 4, ... steps are combined following the bits of ``count``. Every sum is made in the same
    order wherever a block begins (so results keep their bits), and the cost grows with log(``count``).
    """
    total, power, done = np.zeros_like(values), values, 0
    for bit in range(count.bit_length()):
        length = 1 << bit
        if bit:
            power = _add_delayed(power.copy(), power, length // 2)
        if count & length:
            _add_delayed(total, power, done)
            done += length
    return total


def _add_delayed(total: np.ndarray, values: np.ndarray, delay: int) -> np.ndarray:
    """Add to ``total`` (t, ...) the values ``delay`` steps earlier, in place."""
    total[delay:] += values[: max(len(values) - delay, 0)]
    return total


def smooth(cube: Cube, days: float) -> Cube:
    """Average over the last ``days``, rounded to whole steps.

    Raises:
        UsageError: less than two steps, or steps without dates.
    """
    cube.time.need_dates(f"--smooth {days:g}")
    count = round(days / cube.time.step_days)
    if count < 2:
        raise UsageError(
            f"--smooth {days:g} days is less than two time steps of {cube.time.step}",
            wanted="a running mean covers at least two steps",
            do="pass a larger --smooth, or leave it out",
        )
    readers = [Smoothed(reader, count, cube.time.segments) for reader in cube.readers]
    return cube.through(readers).noted(
        f"Running means over {count} steps: each step and the {count - 1} before it."
    )
