"""What each regime looks like on the map: means of the input fields over its steps, in physical units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flox
import numpy as np
from scipy.special import stdtr

from faconv_cli.cube.cube import Channel, Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.timeaxis import TimeAxis
from faconv_cli.errors import InputError
from faconv_cli.regimes.statistics import MISSING, Separation, separation

MAX_INPUT_NUMBERS = 100_000_000  # 400 MB; separation on the input holds it in memory

BLOCK_BYTES = 2**24  # of float32; sums take some eight times as much


@dataclass(frozen=True, eq=False)
class Composites:
    """Fields per regime, canonical order of points, NaN where there is no data.

    Attributes:
        channels: names and units.
        grid: of the data.
        mean: (k, c, h, w) mean of the field over the steps of each regime, in the channel's units.
        anomaly: (k, c, h, w) the same less what its months alone would give: the mean over all labelled
            steps of each calendar month, weighted as the regime's steps fall on the months. Otherwise the
            seasonal cycle of a regime that is rare in summer would pass for its pattern.
        p_value: (k, c, h, w) two-sided t test of the anomaly, pooled variance within regimes, with spells,
            not steps, as the sample, since the steps of a spell are not independent.
        steps: (k,) labelled steps that the data have.
    """

    channels: tuple[Channel, ...]
    grid: Grid
    mean: np.ndarray
    anomaly: np.ndarray
    p_value: np.ndarray
    steps: np.ndarray


def composites(
    cube: Cube, labels: np.ndarray, spells: np.ndarray, advance: Callable[[], None] = lambda: None
) -> Composites:
    """Average a cube over regimes, a block of time steps in memory at once.

    Args:
        cube: the data, any length.
        labels: (t,) of the steps of the cube: 1..k, 0 unclassified, -1 none; see `match_labels`.
        spells: (k,) independent spells of each regime.
        advance: called once per block of `blocks`.
    """
    k, months = len(spells), cube.time.month - 1
    sums = _Sums(k, cube.shape[1:])
    for start, stop in blocks(cube):
        used = np.flatnonzero(labels[start:stop] != MISSING)
        if len(used):
            block = cube.read(start + int(used[0]), start + int(used[-1]) + 1)[used - used[0]]
            sums.add(block, labels[start + used], months[start + used])
        advance()
    return sums.finish(cube, spells)


def blocks(cube: Cube) -> list[tuple[int, int]]:
    """Runs of steps [start, stop) that are read at once."""
    return list(cube.blocks(max_bytes=BLOCK_BYTES))


class _Sums:
    """Running sums over steps, by regime (row 0: unclassified) and by calendar month."""

    def __init__(self, k: int, shape: tuple[int, ...]) -> None:
        self.groups, self.shape = k + 1, shape
        points = int(np.prod(shape))
        self.sum = np.zeros((k + 13, points))
        self.count = np.zeros((k + 13, points))
        self.squares = np.zeros(points)
        self.steps = np.zeros((k + 1, 12))  # labelled steps by regime and month
        self.reference: np.ndarray | None = None

    def add(self, block: np.ndarray, labels: np.ndarray, months: np.ndarray) -> None:
        """Take in block (t, c, h, w) with labels 0..k and months 0..11 (t,)."""
        fields = block.reshape(len(block), -1).astype(np.float64)
        valid = np.isfinite(fields)
        fields[~valid] = 0
        if self.reference is None:  # sums of squares of numbers near 0 lose no digits
            self.reference = fields.sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
        fields -= self.reference
        fields[~valid] = 0
        for rows, codes in ((slice(0, self.groups), labels), (slice(self.groups, None), months)):
            self.sum[rows] += _summed(fields, codes, len(self.sum[rows]))
            self.count[rows] += _summed(valid, codes, len(self.sum[rows]))
        self.squares += np.einsum("tp,tp->p", fields, fields)
        np.add.at(self.steps, (labels, months), 1)

    def finish(self, cube: Cube, spells: np.ndarray) -> Composites:
        """Turn the sums into means, anomalies and their significance."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.sum / self.count
            mean, normal = means[: self.groups], np.nan_to_num(means[self.groups :])
            weights = self.steps / self.steps.sum(axis=1, keepdims=True)
            anomaly = mean - np.nan_to_num(weights) @ normal
            p_value = self._p_value(anomaly, normal, spells)
        reference = 0 if self.reference is None else self.reference
        return Composites(
            channels=cube.channels,
            grid=cube.grid,
            mean=self._fields(mean[1:] + reference),
            anomaly=self._fields(anomaly[1:]),
            p_value=self._fields(p_value),
            steps=self.steps[1:].sum(axis=1).astype(np.int64),
        )

    def _fields(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *self.shape).astype(np.float32)

    def _p_value(self, anomaly: np.ndarray, normal: np.ndarray, spells: np.ndarray) -> np.ndarray:
        groups, months = self.count[: self.groups], self.count[self.groups :]
        deseasonalised = self.squares - (months * normal**2).sum(axis=0)
        within = deseasonalised - (groups * np.nan_to_num(anomaly) ** 2).sum(axis=0)
        variance = np.maximum(within, 0) / (groups.sum(axis=0) - len(spells))
        # anomalies are from a mean that has the regime in it, and the unclassified, in spells alike
        independent = spells.sum() * self.steps.sum() / self.steps[1:].sum()
        freedom = max(float(independent) - len(spells), 1)
        statistic = anomaly[1:] / np.sqrt(variance * (1 / spells - 1 / independent)[:, None])
        return np.asarray(2 * stdtr(freedom, -np.abs(statistic)))


def _summed(values: np.ndarray, codes: np.ndarray, groups: int) -> np.ndarray:
    """Add ``values`` (t, p) up over the steps of each code: (groups, p)."""
    expected = np.arange(groups)
    sums = flox.groupby_reduce(values.T, codes, func="sum", expected_groups=expected, fill_value=0)[0]
    return np.asarray(sums).T


def match_labels(data: TimeAxis, time: TimeAxis, labels: np.ndarray, sources: str) -> np.ndarray:
    """Give each step of the data the label (t,) of the embedding's step with the same stamp, else -1.

    Raises:
        InputError: no labelled step is in the data.
    """
    known = dict(zip(_stamps(time), labels.tolist(), strict=True))
    matched = np.array([known.get(stamp, MISSING) for stamp in _stamps(data)])
    if (matched == MISSING).all():
        raise InputError(
            f"{sources}: none of its time steps ({data.labels[0]} to {data.labels[-1]}) is among the "
            f"labelled ones ({time.labels[0]} to {time.labels[-1]})",
            wanted="composites average the data that were embedded",
            do="give the files that faconv embed was given",
        )
    return matched


def _stamps(time: TimeAxis) -> list[str]:
    """Stamps with the time of day, whether or not all are at midnight."""
    return [label if "T" in label else f"{label}T00:00:00" for label in time.labels]


def input_separation(cube: Cube, labels: np.ndarray) -> Separation | None:
    """Score regimes on the input itself: cells and channels of each step, each scaled to 0..1 over time.

    Cells missing at any labelled step are left out. None where the input has more than `MAX_INPUT_NUMBERS`
    numbers, or fewer than two regimes have members.
    """
    rows = np.flatnonzero(labels > 0)
    if len(rows) * int(np.prod(cube.shape[1:])) > MAX_INPUT_NUMBERS:
        return None
    parts = [
        cube.read(start, stop)[labels[start:stop] > 0].reshape(-1, int(np.prod(cube.shape[1:])))
        for start, stop in blocks(cube)
        if (labels[start:stop] > 0).any()
    ]
    fields = np.concatenate(parts)
    return separation(minmax_scaled(fields[:, np.isfinite(fields).all(axis=0)]), labels[rows])


def minmax_scaled(fields: np.ndarray) -> np.ndarray:
    """Scale each column of (n, m) to 0..1; a constant one to 0."""
    low, high = fields.min(axis=0), fields.max(axis=0)
    return np.asarray((fields - low) / np.where(high > low, high - low, 1))
