"""Smooth random fields and red noise on a global grid, cheap because they live on a few nodes.

A field is a weighted sum of values on coarse nodes, with Gaussian weights along latitude and along longitude.
The weights of a point have unit sum of squares: independent nodes of unit variance give unit variance
everywhere, and a correlation of exp(-(d / 2L)^2) at distance d, where L is the length of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Smoother:
    """Values on nodes to fields on a global grid.

    ``by_lat`` (h, m) and ``by_lon`` (n, w) are the weights, float32.
    """

    by_lat: Float32
    by_lon: Float32

    @classmethod
    def on(cls, lat: Float64, lon: Float64, length_deg: float) -> Self:
        """Place nodes a kernel length apart, pole to pole and around the circle."""
        node_lat = np.linspace(-90, 90, max(2, 1 + round(180 / length_deg)))
        around = max(3, round(360 / length_deg))
        node_lon = 360 / around * np.arange(around)
        away = np.abs(lon[:, None] - node_lon) % 360
        return cls(
            by_lat=_weights(lat[:, None] - node_lat, length_deg),
            by_lon=np.ascontiguousarray(_weights(np.minimum(away, 360 - away), length_deg).T),
        )

    @property
    def nodes(self) -> tuple[int, int]:
        """Number of nodes along latitude and longitude."""
        return self.by_lat.shape[1], self.by_lon.shape[0]

    def __call__(self, values: Float32) -> Float32:
        """Spread values (..., m, n) on nodes to fields (..., h, w)."""
        # one small product per field, so that a field does not depend on how many are made at once
        fields: Float32 = np.matmul(self.by_lat, np.matmul(values, self.by_lon))
        return fields

    def random(self, shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
        """Draw fields (*shape, h, w) of zero mean and unit variance."""
        return self(rng.standard_normal((*shape, *self.nodes), dtype=np.float32))


def _weights(distance: Float64, length: float) -> Float32:
    weights = np.exp(-0.5 * (distance / length) ** 2)
    weights[weights < 1e-7] = 0  # products with denormal numbers are ten times slower
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return weights.astype(np.float32)


def red_noise(
    smoother: Smoother, std: Float32, memory: float, block_lengths: Iterable[int], rng: np.random.Generator
) -> Iterator[Float32]:
    """Yield blocks (t, v, h, w) of noise that is AR(1) in time and smooth in space.

    Args:
        smoother: spatial correlation.
        std: (v,) standard deviation of each variable.
        memory: correlation from one step to the next.
        block_lengths: steps in each block; how a record is cut does not change its noise.
        rng: source of the innovations, drawn step by step.
    """
    shape = (std.size, *smoother.nodes)
    keep, renew = np.float32(memory), np.float32(np.sqrt(1 - memory**2))
    state = rng.standard_normal(
        shape, dtype=np.float32
    )  # of the step before the first: noise starts stationary
    for length in block_lengths:
        values = rng.standard_normal((length, *shape), dtype=np.float32)
        for innovation in values:
            state = keep * state + renew * innovation
            innovation[:] = state
        values *= std[:, None, None]
        yield smoother(values)
