"""Seasonal cycle and linear trend of a training period: one regression per grid point, fitted in a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import SEASONS_OF_DAY, Kind
from faconv_cli.cube.time.timeaxis import TimeAxis

Floats = npt.NDArray[np.float64]

HARMONICS = 4  # of the year, so that the daily cycle is smooth over about six weeks
DIURNAL_HARMONICS = 4  # of the day; fewer where the steps are long
# Smallest eigenvalue of the mean products of 1 and one harmonic of the year over the steps that a point is
# seen: 0.5 of a whole year, 0.27 of nine months, 0.07 of six.
LEAST_SEEN = 0.25
# Directions of the basis that hold less than this share of the variance are left out: those that a record of
# one season cannot tell apart would take huge coefficients and be wild in the others.
SMALLEST_EIGENVALUE = 1e-6
_ROUNDING = 1e-9
_GRAM_BYTES = 2**27
_POINTS_AT_ONCE = 2**14


class Turns(NamedTuple):
    """Columns that are solved for one after another.

    Attributes:
        first: those solved for among all.
        second: those solved for beside the first alone.
        changing: of the first, those that take most of a year to tell.
        year: 1 and one harmonic of the year.
    """

    first: list[int]
    second: list[int]
    changing: list[int]
    year: list[int]


@dataclass(frozen=True, eq=False)
class Climatology:
    """What is expected of the season and the year, to be taken off the fields.

    expected(time) = basis(time) @ coefficients, with the columns

    - ``mean``, ``constant``: 1; ``monthly``: 12 month indicators; ``daily``: 1 and cos, sin of four harmonics
      of the year;
    - ``diurnal``: 1 and cos, sin of up to four harmonics of the day; ``seasonal-diurnal``: 1, and those of
      the day times 1 and one harmonic of the year; ``hourly``: those of ``daily``, and those of the day times
      1 and two harmonics of the year; ``monthly and diurnal``: month indicators, and those of the day times 1
      and one harmonic of the year;
    - ``none``: nothing, or 1 where ``detrend``;
    - ``detrend``: years since ``centre_years``.

    Attributes:
        kind: the seasonal cycle.
        detrend: whether a linear trend is part of it.
        coefficients: (p, c, h, w) float64, in the channels' units; NaN at points never valid.
        centre_years: decimal year where the trend is zero.
        period: first and last stamp of the training period.
    """

    kind: Kind
    detrend: bool
    coefficients: Floats
    centre_years: float
    period: tuple[str, str]

    def basis(self, time: TimeAxis) -> Floats:
        """Return the regressors (t, p)."""
        return _basis(self.kind, self.detrend, time, self.centre_years)

    def expected(self, time: TimeAxis) -> Floats:
        """Return the climatology (t, c, h, w) at some times."""
        p, *shape = self.coefficients.shape
        product: Floats = self.basis(time) @ self.coefficients.reshape(p, -1)
        return product.reshape(-1, *shape)

    def pick(self, channels: Sequence[int]) -> Climatology:
        """Return that of the given channels."""
        return replace(self, coefficients=self.coefficients[:, list(channels)])

    def levelled(self, area: Floats) -> Climatology:
        """Return what is expected of all points alike: the mean of a channel over ``area`` (h, w)."""
        known = np.isfinite(self.coefficients)
        weight = np.where(known, area, 0.0)
        total = (weight * np.where(known, self.coefficients, 0.0)).sum((-2, -1), keepdims=True)
        mean = total / np.maximum(weight.sum((-2, -1), keepdims=True), 1e-300)
        return replace(self, kind="constant", coefficients=np.where(known, mean, np.nan))

    def usual(self) -> Floats:
        """Return (c,) what is expected of most points through the year, 0 where nothing is taken off."""
        constant = _constant(self.kind, len(self.coefficients))
        mean = np.tensordot(constant / max(constant.sum(), 1), self.coefficients, 1)
        return np.array([np.median(one[np.isfinite(one)]) if np.isfinite(one).any() else 0.0 for one in mean])

    def subtract(self, fields: npt.NDArray[np.float32], time: TimeAxis) -> npt.NDArray[np.float32]:
        """Return anomalies of ``fields`` (t, c, h, w) in the same units."""
        return self._shifted(fields, time, -1)

    def add(self, anomalies: npt.NDArray[np.float32], time: TimeAxis) -> npt.NDArray[np.float32]:
        """Return fields of ``anomalies`` (t, c, h, w): the inverse of `subtract`."""
        return self._shifted(anomalies, time, 1)

    def _shifted(self, fields: npt.NDArray[np.float32], time: TimeAxis, sign: int) -> npt.NDArray[np.float32]:
        if not len(self.coefficients):
            return fields
        expected = self.expected(time)
        expected *= sign
        expected += fields
        return expected.astype(np.float32)


def fit_climatology(cube: Cube, kind: Kind, detrend: bool) -> Climatology:
    """Fit the regression to a cube, the training period, by least squares at each point over its valid steps.

    Normal equations are summed block by block in float64 about a reference near each point's mean. Points
    valid at the same steps share one Gram matrix. What the valid steps cannot tell (a month never seen) gets
    the point's overall mean.

    For ``seasonal-diurnal`` a seasonal cycle of the mean is fitted beside, and not subtracted: without it, a
    point that lacks its summer nights would have its summer in the diurnal cycle. The mean and the trend are
    then those of the fields less the diurnal cycle. A point that is seen in less than about nine months of
    the year gets a diurnal cycle that does not change.
    """
    time = cube.time
    centre = float(time.years[0] + time.years[-1]) / 2
    basis = _basis(kind, detrend, time, centre)
    # The sine of the shortest wave is 0 at 00, 06, 12 and 18 UTC, but for rounding. A coefficient that makes
    # something of that would be huge, and wild at other hours.
    basis[:, np.abs(basis).max(axis=0) < _ROUNDING] = 0
    shape, turns = (basis.shape[1], *cube.shape[1:]), None
    if kind == "seasonal-diurnal":
        basis = np.column_stack([basis, *_harmonics(time.year_fraction, HARMONICS)])
        turns = _turns(shape[0], detrend)
    constant = _constant(kind, basis.shape[1])
    coefficients = _solve(cube, basis, constant, turns)[: shape[0]] if shape[0] else np.zeros((0, 1))
    return Climatology(kind, detrend, coefficients.reshape(shape), centre, (time.labels[0], time.labels[-1]))


def _basis(kind: Kind, detrend: bool, time: TimeAxis, centre_years: float) -> Floats:
    one = [np.ones(len(time))]
    if kind.startswith("monthly"):
        columns = [(time.month == month).astype(np.float64) for month in range(1, 13)]
    elif kind in ("daily", "hourly"):
        columns = [*one, *_harmonics(time.year_fraction, HARMONICS)]
    else:
        columns = one if detrend or kind != "none" else []
    if kind in SEASONS_OF_DAY:
        day = _harmonics(time.day_fraction, min(DIURNAL_HARMONICS, round(1 / time.step_days) // 2))
        columns += [a * b for a in day for b in (*one, *_harmonics(time.year_fraction, SEASONS_OF_DAY[kind]))]
    if detrend:
        columns.append(time.years - centre_years)
    return np.stack(columns, axis=1) if columns else np.zeros((len(time), 0))


def _harmonics(phase: Floats, count: int) -> list[Floats]:
    """Cosines and sines (t,) of the first harmonics of a phase (t,) in [0, 1)."""
    angles = (2 * np.pi * number * phase for number in range(1, count + 1))
    return [f(angle) for angle in angles for f in (np.cos, np.sin)]


def _constant(kind: Kind, columns: int) -> Floats:
    """Coefficients (p,) that make the basis 1 at all times."""
    constant = np.zeros(columns)
    constant[: 12 if kind.startswith("monthly") else 1] = 1
    return constant


def _solve(cube: Cube, basis: Floats, constant: Floats, turns: Turns | None = None) -> Floats:
    """Coefficients (p, points) of every point of every channel; see `_in_turn` for ``turns``."""
    moments, reference, count, pattern = _sum_moments(cube, basis)
    mean = (constant @ moments) / np.maximum(count, 1)
    coefficients = np.full_like(moments, np.nan)
    seen = np.flatnonzero(count)
    _, first, group = np.unique(pattern[seen], return_index=True, return_inverse=True)
    at_once = max(1, _GRAM_BYTES // (8 * len(constant) ** 2))
    for begin in range(0, len(first), at_once):
        gram = _sum_grams(cube, basis, count, seen[first[begin : begin + at_once]])
        sums = gram @ constant
        inverse = _in_turn(gram, turns) if turns else _inverse(gram)
        inside = (group >= begin) & (group < begin + at_once)
        for points, own in _pieces(seen[inside], group[inside] - begin):
            residual = moments[:, points].T - sums[own] * mean[points, None]
            fitted = np.einsum("nij,nj->in", inverse[own], residual)
            coefficients[:, points] = fitted + np.outer(constant, mean[points] + reference[points])
    return coefficients


def _sum_moments(
    cube: Cube, basis: Floats
) -> tuple[Floats, Floats, npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Sum basis times field (p, points) about a reference (points,); count and hash the valid steps."""
    points = int(np.prod(cube.shape[1:]))
    moments, count = np.zeros((basis.shape[1], points)), np.zeros(points, np.int64)
    pattern, reference = np.zeros(points, np.uint64), None
    tags = np.random.default_rng(0).integers(2**64, size=cube.shape[0], dtype=np.uint64)
    for start, stop in cube.blocks():
        fields = cube.read(start, stop).reshape(stop - start, points)
        valid = np.isfinite(fields)
        if reference is None:
            reference = fields.sum(axis=0, where=valid, dtype=np.float64) / np.maximum(valid.sum(axis=0), 1)
        moments += basis[start:stop].T @ np.where(valid, fields - reference, 0)
        count += valid.sum(axis=0)
        if (valid == valid[0]).all():
            pattern += valid[0] * tags[start:stop].sum(dtype=np.uint64)
        else:
            pattern += np.where(valid, tags[start:stop, None], np.uint64(0)).sum(axis=0, dtype=np.uint64)
    assert reference is not None, "a cube has steps"
    return moments, reference, count, pattern


def _sum_grams(
    cube: Cube, basis: Floats, count: npt.NDArray[np.int64], points: npt.NDArray[np.int64]
) -> Floats:
    """Gram matrices (n, p, p) of the basis over the valid steps of some points."""
    p = basis.shape[1]
    gram = np.empty((len(points), p, p))
    gram[:] = basis.T @ basis
    partial = np.flatnonzero(count[points] < len(basis))
    if not len(partial):
        return gram
    total = np.zeros((p * p, len(partial)))
    for start, stop in cube.blocks():
        valid = np.isfinite(cube.read(start, stop).reshape(stop - start, -1)[:, points[partial]])
        rows = basis[start:stop]
        products = (rows[:, :, None] * rows[:, None, :]).reshape(stop - start, p * p)
        total += products.T @ valid.astype(np.float64)
    gram[partial] = total.T.reshape(-1, p, p)
    return gram


def _inverse(gram: Floats) -> Floats:
    """Pseudo-inverse of (n, p, p), of columns scaled to unit length so that their units do not matter."""
    length = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    scale = 1 / np.where(length > 0, length, 1)
    scaled = gram * scale[:, :, None] * scale[:, None, :]
    inverse = np.linalg.pinv(scaled, rcond=SMALLEST_EIGENVALUE, hermitian=True)
    return np.asarray(inverse * scale[:, :, None] * scale[:, None, :], np.float64)


def _turns(columns: int, detrend: bool) -> Turns:
    """Turns of ``seasonal-diurnal``: 1, the day with and without the year, the trend, and the year beside."""
    day = [*range(1, columns - detrend)]
    changing = [column for number, column in enumerate(day) if number % 3]
    return Turns(day, [0, *[columns - 1] * detrend], changing, [0, columns, columns + 1])


def _in_turn(gram: Floats, turns: Turns) -> Floats:
    """Inverse (n, p, p) that solves for the first columns among all, then for the second beside the first.

    All other columns get coefficients of 0, and so do those that change with a year that is hardly seen.
    """
    year = gram[:, turns.year][:, :, turns.year] / gram[:, :1, :1]
    told = np.ones(gram.shape[:2])
    told[np.ix_(np.linalg.eigvalsh(year)[:, 0] < LEAST_SEEN, np.array(turns.changing))] = 0
    gram = gram * told[:, :, None] * told[:, None, :]
    solved = np.zeros_like(gram)
    solved[:, turns.first] = _inverse(gram)[:, turns.first]
    left = np.eye(gram.shape[1]) - gram @ solved
    solved[:, turns.second] = _inverse(gram[:, turns.second][:, :, turns.second]) @ left[:, turns.second]
    return solved


def _pieces(
    points: npt.NDArray[np.int64], group: npt.NDArray[np.int64]
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    cuts = range(0, len(points), _POINTS_AT_ONCE)
    return [(points[i : i + _POINTS_AT_ONCE], group[i : i + _POINTS_AT_ONCE]) for i in cuts]
