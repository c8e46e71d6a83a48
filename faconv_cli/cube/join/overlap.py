"""Two files that hold the same steps: a later edition of the data, or another run altogether."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from faconv_cli.cube.read.lazy import Fields, FileField

_PAIRS = 8  # of neighbouring steps that tell how much a record varies
_ROUNDING = 1e-6  # relative, of values in float32 that were converted
_ANOTHER_RUN = 1 / 3  # of how much the record varies: years of monthly SST differ by 0.4, of pressure by 2


class Difference(NamedTuple):
    """How much values at the same times differ.

    Attributes:
        at: step of the one file that differs from the other's.
        size: root mean square of the difference; NaN where no point has both values.
        varies: the same between steps a year apart, which leaves the seasonal cycle out. Of less than a year,
            from a step to the next, or half the standard deviation in time where that is larger: what
            persists from day to day still varies over the year.
    """

    at: int
    size: float
    varies: float

    @property
    def told(self) -> str:
        """How much they differ, in words."""
        if np.isnan(self.size):
            return "one of them misses all"
        return f"by {self.size:.3g}, where the record varies by {self.varies:.3g}"

    @property
    def another_run(self) -> bool:
        """Whether they differ much as different times do; editions of one run differ far less."""
        return self.varies > 0 and self.size >= _ANOTHER_RUN * self.varies


def difference(
    one: FileField, other: FileField, pairs: Sequence[tuple[int, int]], year: int = 0
) -> Difference | None:
    """Compare pairs of steps of two files, or of one; None where all are the same.

    Args:
        one, other: the files.
        pairs: step of the one and of the other.
        year: steps in a year; 0 where unknown.
    """
    at, squares = None, []
    for step, kept in pairs:
        fields = _field(one, step), _field(other, kept)
        if not _same(one, other, fields):
            at = step if at is None else at
        squares.append(_mean((fields[0] - fields[1]).astype(np.float64) ** 2))
    if at is None:
        return None
    longer = max(one, other, key=lambda x: x.steps)
    varies = (year and _changes(longer, year)) or _varies(longer)
    return Difference(at, float(np.sqrt(_mean(np.array(squares)))), varies)


def _same(one: FileField, other: FileField, fields: tuple[Fields, Fields]) -> bool:
    """Whether fields are the same, but for rounding where one of them is converted from other units."""
    if (one.factor, one.offset) == (other.factor, other.offset):
        return np.array_equal(*fields, equal_nan=True)
    lost = _ROUNDING * max(abs(one.offset), abs(other.offset))
    return np.allclose(*fields, rtol=_ROUNDING, atol=lost, equal_nan=True)


def _varies(field: FileField) -> float:
    if field.steps < 2:
        return 0.0
    overall = _mean(_pairs(field, 1).var(axis=(0, 1)))
    return float(np.sqrt(np.nanmax([_changes(field, 1) ** 2, overall / 4])))


def _changes(field: FileField, apart: int) -> float:
    """Root mean square of the change over so many steps; 0 where there are too few."""
    if field.steps <= apart:
        return 0.0
    pairs = _pairs(field, apart)
    return float(np.sqrt(np.nan_to_num(_mean((pairs[:, 1] - pairs[:, 0]) ** 2))))


def _pairs(field: FileField, apart: int) -> np.ndarray:
    """(n, 2, y, x) steps that lie so many apart, evenly over the file."""
    firsts = np.unique(np.linspace(0, field.steps - 1 - apart, _PAIRS).astype(int)).tolist()
    return np.array([[_field(field, step), _field(field, step + apart)] for step in firsts], np.float64)


def _field(field: FileField, step: int) -> Fields:
    values: Fields = np.empty((1, *field.shape), np.float32)
    field.read_into(values, int(step), int(step) + 1)
    return np.asarray(values[0])


def _mean(values: np.ndarray) -> float:
    """Mean over the points that are not missing, or NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing
        return float(np.nanmean(values))
