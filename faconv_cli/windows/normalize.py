"""Per-channel statistics of the training anomalies, gathered in one streaming pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faconv_cli.cube.climatology import Climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.errors import InputError

_ROUNDING = 1e-6  # relative, of values in float32


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Scaling of each channel to zero mean and unit variance, area-weighted over its valid points.

    Attributes:
        mean: (c,) float64, in the channel's units.
        std: (c,) float64, in the channel's units, above zero.
        valid: (c, h, w) float32 share of the training steps at which a point holds a value.
    """

    mean: np.ndarray
    std: np.ndarray
    valid: np.ndarray

    def pick(self, channels: Sequence[int]) -> Normalizer:
        """Return the scaling of the given channels."""
        chosen = list(channels)
        return Normalizer(self.mean[chosen], self.std[chosen], self.valid[chosen])

    def apply(self, fields: np.ndarray) -> np.ndarray:
        """Scale ``fields`` (..., c, h, w); missing values stay NaN; float32 comes back."""
        scaled: np.ndarray = (fields - self.mean[:, None, None]) / self.std[:, None, None]
        return scaled.astype(np.float32, copy=False)

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Return ``scaled`` (..., c, h, w) in physical units."""
        fields: np.ndarray = scaled * self.std[:, None, None] + self.mean[:, None, None]
        return fields


def fit_normalizer(cube: Cube, climatology: Climatology) -> tuple[Normalizer, dict[int, InputError]]:
    """Compute the statistics of the anomalies of ``cube``, the training period, block by block in float64.

    Blocks are merged by Chan, Golub and LeVeque's update (1979), so that 1e-5 survives beside 1e5.

    Returns:
        The scaling, and what is wrong with each channel that cannot be scaled.
    """
    steps, channels, *shape = cube.shape
    area = cube.grid.area
    counts = np.zeros((channels, *shape))
    weight, mean, squares, lowest, highest = np.zeros((5, channels))
    for start, stop in cube.blocks():
        raw = cube.read(start, stop)
        valid = np.isfinite(raw)
        lowest = np.minimum(lowest, raw.min(axis=(0, 2, 3), where=valid, initial=0.0))
        highest = np.maximum(highest, raw.max(axis=(0, 2, 3), where=valid, initial=0.0))
        fields = climatology.subtract(raw, cube.time.slice(start, stop)).astype(np.float64)
        counts += valid.sum(axis=0)
        w = np.where(valid, area, 0.0)
        block_weight = w.sum(axis=(0, 2, 3))
        fields = np.where(valid, fields, 0.0)
        block_mean = (w * fields).sum(axis=(0, 2, 3)) / np.maximum(block_weight, 1e-300)
        deviations = fields - block_mean[:, None, None]
        delta, total = block_mean - mean, np.maximum(weight + block_weight, 1e-300)
        squares += (w * deviations**2).sum(axis=(0, 2, 3)) + delta**2 * weight * block_weight / total
        mean += delta * block_weight / total
        weight += block_weight
    std = np.sqrt(squares / np.maximum(weight, 1e-300))
    largest = np.where(highest >= -lowest, highest, lowest)
    flaws = {
        number: flaw
        for number in range(channels)
        if (flaw := _flaw(cube, number, weight[number], largest[number], std[number]))
    }
    return Normalizer(mean, std, (counts / steps).astype(np.float32)), flaws


def _flaw(cube: Cube, number: int, weight: float, largest: float, std: float) -> InputError | None:
    where = f"{', '.join(cube.sources)}: {cube.channels[number].name}"
    if weight == 0:
        return InputError(
            f"{where} holds no valid value in the training period",
            wanted="every channel needs valid values",
            do="check the file, or leave the variable out with --variables",
        )
    # a constant in float32 still varies by rounding once a climatology has been taken off
    if std > _ROUNDING * abs(largest):
        return None
    small = _small(cube.read(0, 1)[0, number])
    if std > _ROUNDING * small:
        return InputError(
            f"{where} has values as large as {largest:.6g} in the training period, beside others of "
            f"{small:.3g} that vary by {std:.3g}",
            wanted="the large values seem to stand for missing data",
            do=f"pass --missing-value {largest:.6g}, declare it in the file, or look with faconv inspect",
        )
    return InputError(
        f"{where} is constant in the training period (standard deviation {std:.3g})",
        wanted="a constant field cannot be embedded",
        do="leave the variable out with --variables",
    )


def _small(field: np.ndarray) -> float:
    """Size of the smaller values of a field, whatever share of it is fill; infinite where there is none."""
    sizes = np.abs(field[np.isfinite(field)])
    return float(np.quantile(sizes, 0.05)) if len(sizes) else np.inf
