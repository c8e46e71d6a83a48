"""Composites: means of the input fields over the steps of each regime, in physical units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flox
import numpy as np

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.sametime import match_steps, same_dates
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.cube.time.timestep import months_of
from faconv_cli.errors import InputError
from faconv_cli.regimes.rednoise import steps_apart
from faconv_cli.regimes.regression import Regression
from faconv_cli.regimes.significance import (
    SURROGATE_TEST,
    T_TEST,
    RedNoiseRegimes,
    Sample,
    false_discovery,
    memory_of,
    surrogate_test,
    t_test,
)
from faconv_cli.regimes.statistics import MISSING, Separation, consecutive_steps, separation

MAX_INPUT_NUMBERS = 100_000_000  # 400 MB; separation on the input holds it in memory

BLOCK_BYTES = 2**24  # of float32; sums take some eight times as much

# Of the embedding's variance, above which a field counts as what was embedded: on the field itself, a copy
# less its mean or trend it is 0.9 to 1, on white noise in space still 0.72
TOLD = 0.7


@dataclass(frozen=True, eq=False)
class Composites:
    """Fields per regime, canonical order of points, NaN where there is no data.

    Attributes:
        channels: names and units.
        grid: of the data.
        mean: (k, c, h, w) mean of the field over the steps of each regime, in the channel's units.
        anomaly: (k, c, h, w) mean of its anomalies over the same steps: from the mean of all labelled steps
            of the calendar month (of the same hour, below a day) at which the point has a value. Otherwise
            the seasonal cycle of a regime that is rare in summer would look like its pattern.
        p_value: (k, c, h, w) of the anomaly, by the test that `tests` names.
        p_adjusted: (k, c, h, w) the same adjusted for the false discovery rate over each map.
        tests: (c,) `significance.T_TEST` or `significance.SURROGATE_TEST`.
        embedded: (c,) whether the channel is one of those that were embedded, by its name or by `told`.
        told: (c,) share of the embedding's variance that the channel predicts; NaN where unknown.
        steps: (k,) labelled steps that the data have.
    """

    channels: tuple[Channel, ...]
    grid: Grid
    mean: np.ndarray
    anomaly: np.ndarray
    p_value: np.ndarray
    p_adjusted: np.ndarray
    tests: tuple[str, ...]
    embedded: np.ndarray
    told: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, eq=False)
class Origin:
    """What the regimes come from.

    Attributes:
        channels: names of what was embedded; empty where that is not known.
        modes: (t, d) embedding of the steps of the data; NaN where there is none.
        null: computes what the same clustering finds in red noise; None where the regimes were not found
            here, or red noise has none.
    """

    channels: frozenset[str]
    modes: np.ndarray
    null: Callable[[], RedNoiseRegimes] | None


def composites(
    cube: Cube,
    labels: np.ndarray,
    k: int,
    origin: Origin | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Composites:
    """Average a cube over regimes, a block of time steps in memory at once.

    The data are read twice, as the normals of the months must be known at each point before the first
    anomaly is; a small record is kept in memory.

    Args:
        cube: the data, any length.
        labels: (t,) of the steps of the cube: 1..k, 0 unclassified, -1 none; see `match_labels`.
        k: number of regimes.
        origin: where the regimes come from; None where they were found without these data.
        advance: called once per block of `blocks`.
    """
    used = np.flatnonzero(labels != MISSING)
    record, own = cube.take(used).cached(), labels[used]
    kind: Kind = "monthly and diurnal" if record.time.sub_daily else "monthly"
    normals = fit_climatology(record, kind, detrend=False)
    modes = np.zeros((len(used), 0)) if origin is None else origin.modes[used]
    sample = Sample.of(np.maximum(own, 0), steps_apart(cube.time, used), k)
    sums = _Sums(sample, record.shape[1:], _anomalies(modes, normals.basis(record.time)))
    follows = np.concatenate([[False], consecutive_steps(record.time)])
    spell = np.concatenate([[0], np.cumsum((own[1:] != own[:-1]) | ~follows[1:])])
    for start, stop in blocks(record):
        steps, fields = slice(start, stop), record.read(start, stop)
        anomalies = normals.subtract(fields, record.time.slice(start, stop))
        sums.add(fields, anomalies, own[steps], spell[steps], follows[steps])
        advance()
    return sums.finish(cube, np.bincount(own[own > 0], minlength=k + 1)[1:], origin)


def blocks(cube: Cube) -> list[tuple[int, int]]:
    """Runs of steps [start, stop) that are read at once."""
    return list(cube.blocks(max_bytes=BLOCK_BYTES))


def _anomalies(modes: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Subtract from an embedding (t, d) what the basis (t, p) of the normals predicts."""
    known = np.nan_to_num(modes)
    return np.asarray(known - basis @ np.linalg.lstsq(basis, known, rcond=None)[0])


class _Sums:
    """Running sums over steps, by regime (row 0: unclassified), each point over the steps where it has a
    value."""

    def __init__(self, sample: Sample, shape: tuple[int, ...], modes: np.ndarray) -> None:
        self.sample, self.groups, self.shape = sample, len(sample.spread) + 1, shape
        points = int(np.prod(shape))
        self.sum, self.anomaly, self.count, self.spells = np.zeros((4, self.groups, points))
        self.squares, self.products, self.pairs = np.zeros((3, points))
        self._last, self._last_valid = np.zeros(points), np.zeros(points, bool)  # step of the last block
        self.regression = Regression(modes, shape[0], points)
        self._spell, self._counted = -1, np.zeros(points, bool)  # the last spell, and where it is counted

    def add(
        self,
        fields: np.ndarray,
        anomalies: np.ndarray,
        labels: np.ndarray,
        spell: np.ndarray,
        follows: np.ndarray,
    ) -> None:
        """Add fields and anomalies (t, c, h, w) with labels 0..k and numbers of spells.

        ``follows`` (t,) says which steps follow the one before them, that of the last call included.
        """
        steps = len(labels)
        valid = np.isfinite(fields.reshape(steps, -1))
        raw, departure = (
            np.where(valid, x.reshape(steps, -1).astype(np.float64), 0) for x in (fields, anomalies)
        )
        for total, values in ((self.sum, raw), (self.anomaly, departure), (self.count, valid)):
            total += _summed(values, labels, self.groups)
        self.squares += np.einsum("tp,tp->p", departure, departure)
        before = np.concatenate([self._last[None], departure[:-1]])[follows]
        both = np.concatenate([self._last_valid[None], valid[:-1]])[follows] & valid[follows]
        self.products += np.einsum("tp,tp->p", before, departure[follows])
        self.pairs += both.sum(axis=0)
        self._last, self._last_valid = departure[-1], valid[-1]
        self.regression.add(departure)
        self._count_spells(valid, labels, spell)

    def _count_spells(self, valid: np.ndarray, labels: np.ndarray, spell: np.ndarray) -> None:
        """Count the spells with a value at each point, once where a spell goes on from the last block."""
        begins = np.concatenate([[0], np.flatnonzero(np.diff(spell)) + 1])
        seen = np.logical_or.reduceat(valid, begins, axis=0)
        if spell[0] == self._spell:
            seen[0] &= ~self._counted
        else:
            self._counted = np.zeros_like(self._counted)
        self.spells += _summed(seen, labels[begins], self.groups)
        self._counted = seen[-1] | self._counted if len(begins) == 1 else seen[-1]
        self._spell = int(spell[-1])

    def finish(self, cube: Cube, steps: np.ndarray, origin: Origin | None) -> Composites:
        """Turn the sums into means, anomalies and their significance."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, anomaly = self.sum / self.count, self.anomaly / self.count
        p_value = self._t_test(anomaly, len(steps))
        told = self.regression.told()
        embedded = _embedded([channel.name for channel in cube.channels], told, origin)
        tests = [T_TEST] * len(cube.channels)
        if origin is not None and origin.null is not None and embedded.any():
            p_cut = surrogate_test(anomaly[1:], *self._regressed(), origin.null())
            points = p_value.shape[1] // len(cube.channels)
            for number in np.flatnonzero(embedded):
                tests[number] = SURROGATE_TEST
                own = slice(number * points, (number + 1) * points)
                p_value[:, own] = p_cut[:, own]
        p_value = p_value.reshape(len(steps), *self.shape)
        adjusted = [[false_discovery(field) for field in regime] for regime in p_value]
        return Composites(
            channels=cube.channels,
            grid=cube.grid,
            mean=self._fields(mean[1:]),
            anomaly=self._fields(anomaly[1:]),
            p_value=p_value.astype(np.float32),
            p_adjusted=np.array(adjusted, np.float32).reshape(p_value.shape),
            tests=tuple(tests),
            embedded=embedded,
            told=told,
            steps=steps,
        )

    def _t_test(self, anomaly: np.ndarray, k: int) -> np.ndarray:
        """p-values (k, p): the sample is the spells, or fewer where the field remembers longer."""
        count, spells = self.count.sum(axis=0), self.spells.sum(axis=0)
        memory = memory_of(self.products, self.pairs, self.squares, count)
        spread, independent = self.sample.at(memory)
        inner = np.nan_to_num(anomaly) ** 2 * self.count
        within = np.maximum(self.squares - inner.sum(axis=0), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            # a point without some of the steps has a mean over fewer, that grows by memory as those of all do
            by_memory = spread / self.sample.spread[:, :1] * (1 / self.count[1:] - 1 / count)
            by_spells = 1 / self.spells[1:] - 1 / spells
            known = np.minimum(independent, count)
            freedom = np.maximum(np.minimum(known, spells) - k, 1)
            variance = within / count * known / np.maximum(known - k, 1)
        return t_test(anomaly[1:], variance, np.fmax(by_spells, by_memory), freedom)

    def _regressed(self) -> tuple[np.ndarray, np.ndarray]:
        """Loadings (d, p) of the anomalies on the embedding, and what is left as a deviation (p,).

        What is left counts for more where values are missing, as it is a mean over fewer spells.
        """
        count, spells = self.count.sum(axis=0), self.spells.sum(axis=0)
        loadings = self.regression.loadings(count)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = (self.regression.moments / count * loadings).sum(axis=0)
            rest = np.sqrt(np.maximum(self.squares / count - explained, 0))
            return loadings, rest * np.sqrt(spells.max() / spells)

    def _fields(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *self.shape).astype(np.float32)


def _embedded(names: list[str], told: np.ndarray, origin: Origin | None) -> np.ndarray:
    """(c,) whether each channel is one of those that were embedded."""
    if origin is None:
        return np.zeros(len(names), bool)
    if not origin.channels:
        return np.ones(len(names), bool)
    return np.asarray(np.isin(names, list(origin.channels)) | (np.nan_to_num(told) > TOLD))


def _summed(values: np.ndarray, codes: np.ndarray, groups: int) -> np.ndarray:
    """Add ``values`` (t, p) up over the steps of each code: (groups, p)."""
    expected = np.arange(groups)
    sums = flox.groupby_reduce(values.T, codes, func="sum", expected_groups=expected, fill_value=0)[0]
    return np.asarray(sums).T


def match_labels(
    data: TimeAxis, time: TimeAxis, labels: np.ndarray, sources: str, step: str = ""
) -> np.ndarray:
    """Return for each step of the data the label (t,) of the embedding's step with the same stamp, else -1.

    Args:
        data: steps of the data.
        time: steps of the embedding.
        labels: (t,) of these.
        sources: the files of the data.
        step: usual step of what was embedded, where that is known: of one month of each year it is a month.

    Raises:
        InputError: no labelled step is in the data, or they count time otherwise: another calendar, or days
            where labels are of months, or months where they are of days.
    """
    _check_alike(data, time, sources, step or time.step)
    rows = match_steps(data, time)
    matched = np.where(rows >= 0, labels[rows], MISSING)
    if (matched == MISSING).all():
        raise InputError(
            f"{sources}: none of its time steps ({data.labels[0]} to {data.labels[-1]}) is "
            f"labelled ({time.labels[0]} to {time.labels[-1]})",
            wanted="composites average the data that were embedded",
            do="give the files that faconv embed was given",
        )
    return matched


def _check_alike(data: TimeAxis, time: TimeAxis, sources: str, step: str) -> None:
    if not same_dates(data, time):
        raise InputError(
            f"{sources}: the calendar is {data.calendar}, but that of the labels is {time.calendar}",
            wanted="dates can only be matched within one calendar",
            do="give the data that were embedded",
        )
    by_month = months_of(step) or data.step_months
    if by_month and data.dated and min(len(data), len(time)) > 2 and data.step != step:
        raise InputError(
            f"{sources}: the time step is {data.step}, but that of the labels is {step}",
            wanted=f"composites are means over steps of {step}",
            do="give data with that step, or average finer ones first (cdo monmean, xarray's resample)",
        )


def input_separation(cube: Cube, labels: np.ndarray) -> Separation | None:
    """Score regimes on the input itself: cells and channels of each step, each scaled to 0..1 over time.

    Cells missing at any labelled step are dropped. None if none is left, if the input has more than
    `MAX_INPUT_NUMBERS` numbers, or fewer than two regimes have members.
    """
    rows = np.flatnonzero(labels > 0)
    if len(rows) * int(np.prod(cube.shape[1:])) > MAX_INPUT_NUMBERS:
        return None
    parts = [
        cube.read(start, stop)[labels[start:stop] > 0].reshape(-1, int(np.prod(cube.shape[1:])))
        for start, stop in blocks(cube)
        if (labels[start:stop] > 0).any()
    ]
    fields = np.concatenate(parts) if parts else np.zeros((0, 0))
    always = np.isfinite(fields).all(axis=0)
    return separation(minmax_scaled(fields[:, always]), labels[rows]) if len(rows) and always.any() else None


def minmax_scaled(fields: np.ndarray) -> np.ndarray:
    """Scale each column of (n, m) to 0..1; a constant one to 0."""
    low, high = fields.min(axis=0), fields.max(axis=0)
    return np.asarray((fields - low) / np.where(high > low, high - low, 1))
