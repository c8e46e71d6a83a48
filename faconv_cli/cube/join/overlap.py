"""Compare two files that hold the same steps: are they editions of the same data, or different runs?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from faconv_cli.cube.read.lazy import Fields, FileField

_PAIRS = 8  # pairs of steps used to estimate how much a record varies
_ROUNDING = 1e-6  # relative rounding error of converted float32 values
_ANOTHER_RUN = 1 / 3  # of the variability of the record: years of monthly SST differ by 0.4, of pressure by 2


class Difference(NamedTuple):
    """How much values at the same times differ.

    Attributes:
        at: first step of the one file that differs from the other.
        size: root mean square difference; NaN if no point has both values.
        varies: root mean square difference between steps a year apart, which excludes the seasonal cycle. For
            less than a year of data, that between neighbouring steps, or half the standard deviation in time
            if larger: a field that persists from day to day still varies over the year.
    """

    at: int
    size: float
    varies: float

    @property
    def told(self) -> str:
        """Return how much they differ, in words."""
        if np.isnan(self.size):
            return "no point has a value in both"
        return f"by {self.size:.3g}, while the record varies by {self.varies:.3g}"

    @property
    def another_run(self) -> bool:
        """Whether they differ about as much as different times do; editions of one run differ far less."""
        return self.varies > 0 and self.size >= _ANOTHER_RUN * self.varies


def difference(
    one: FileField, other: FileField, pairs: Sequence[tuple[int, int]], year: int = 0
) -> Difference | None:
    """Compare pairs of steps of two files, or of one file; return None if all are the same.

    Args:
        one, other: the files.
        pairs: steps of the one and of the other file.
        year: steps per year; 0 if unknown.
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
    """Return whether fields are equal, up to rounding if one of them is converted from other units."""
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
    """Return the root mean square change over the given number of steps; 0 if there are too few."""
    if field.steps <= apart:
        return 0.0
    pairs = _pairs(field, apart)
    return float(np.sqrt(np.nan_to_num(_mean((pairs[:, 1] - pairs[:, 0]) ** 2))))


def _pairs(field: FileField, apart: int) -> np.ndarray:
    """Read pairs of steps (n, 2, y, x) the given number apart, spread evenly over the file."""
    firsts = np.unique(np.linspace(0, field.steps - 1 - apart, _PAIRS).astype(int)).tolist()
    return np.array([[_field(field, step), _field(field, step + apart)] for step in firsts], np.float64)


def _field(field: FileField, step: int) -> Fields:
    values: Fields = np.empty((1, *field.shape), np.float32)
    field.read_into(values, int(step), int(step) + 1)
    return np.asarray(values[0])


def _mean(values: np.ndarray) -> float:
    """Return the mean over valid points, or NaN if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "Mean of empty slice"
        return float(np.nanmean(values))
