"""Red noise with the memory of a record: what regimes look like where there are none.

A record is n steps in time order with holes: seasons that were left out, gaps, missing rows. Its surrogates
have the same holes: AR(1) noise runs on through them, so that what lies after a hole of m steps remembers
what was before it as m steps allow.
"""

from __future__ import annotations

import numpy as np

from faconv_cli.cube.time.timeaxis import TimeAxis

LONGEST_MEMORY = 0.999  # of a step; a record that never forgets has no noise of its own
_NEAR = 1.5  # steps; what lies nearer than this is a neighbour
_DAY_S = 86400.0


def steps_apart(time: TimeAxis, rows: np.ndarray) -> np.ndarray:
    """(n - 1,) how many usual steps lie between the steps at some indices (n,) and their next; at least 1.

    Across a gap in time, more than 1.
    """
    usual = time.step_days * _DAY_S if time.dated else float(np.median(np.diff(time.seconds)))
    segment = np.searchsorted([stop for _, stop in time.segments], rows, side="right")
    across = np.maximum(np.diff(time.seconds[rows]) / usual, 2.0)
    return np.where(np.diff(segment) == 0, np.diff(rows), across)


class Surrogates:
    """Gaussian AR(1) noise with the covariance of a record, the lag-1 autocorrelation of each of its
    principal components, and its holes.

    The covariance is that of the record exactly, not of a process that may have made it: samples of a
    process are now more and now less elongated, and an elongated cloud is cut more reliably, so that a
    record of red noise would be told from its own surrogates.

    Args:
        x: (n, d) steps in time order.
        apart: (n - 1,) usual steps from each to the next; see `steps_apart`.
        most: of a longer record evenly spaced steps are drawn, at most so many.

    Attributes:
        x: (m, d) the steps that are drawn.
        follows: (m - 1,) whether a step follows the one before it with nothing between.
    """

    def __init__(self, x: np.ndarray, apart: np.ndarray, most: int) -> None:
        every = -(-len(x) // most)
        left, scale, self._patterns = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        self._scale = scale / np.sqrt(len(x))
        self._exact = len(x) > 2 * len(scale)  # else the covariance of a sample tells too little
        position = np.concatenate([[0.0], np.cumsum(apart)])[::every]
        self._kept = _memory(left, apart)[None] ** np.diff(position)[:, None]
        self.x, self.follows = x[::every], np.diff(position) < _NEAR * every

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Draw surrogates (count, m, d)."""
        shocks = generator.standard_normal((len(self.x), count, len(self._scale)))
        shocks[1:] *= np.sqrt(1 - self._kept**2)[:, None]
        for step in range(1, len(self.x)):
            shocks[step] += self._kept[step - 1] * shocks[step - 1]
        noise = shocks.transpose(1, 0, 2)
        if self._exact:
            noise = np.stack([_white(one) for one in noise])
        return np.asarray(noise * self._scale @ self._patterns)


def _white(noise: np.ndarray) -> np.ndarray:
    """Turn noise (m, d) into the nearest of exactly uncorrelated columns of variance 1."""
    left, _, right = np.linalg.svd(noise - noise.mean(axis=0), full_matrices=False)
    return np.asarray(left @ right * np.sqrt(len(noise)))


def _memory(left: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Lag-1 autocorrelation (d,) of columns of mean 0, from neighbours alone; 0 where there are none."""
    near = apart < _NEAR
    now, following = left[:-1][near], left[1:][near]
    power = np.sqrt((now**2).sum(axis=0) * (following**2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num((now * following).sum(axis=0) / power)
    # what is estimated about an estimated mean is too small by (1 + 3 r) / n (Marriott and Pope 1954)
    found = np.where(found > 0, found + (1 + 3 * found) / max(near.sum(), 1), found)
    return np.asarray(np.clip(found, 0.0, LONGEST_MEMORY))
