"""How many regimes: the number whose partition comes back most reliably, beyond what red noise gives.

A partition is reproducible when two halves of the record, clustered independently, agree on the labels of
all of it. Any elongated cloud is reproducibly cut in two, so the same is done to red noise with the same
covariance and memory, and the skill over it decides: the idea of the classifiability index (Michelangeli,
Vautard and Legras 1995, J. Atmos. Sci. 52), with half-samples for random starts, so that it means the same
for every method, and the adjusted Rand index for pattern correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faconv_cli.regimes.cluster import METHODS, one_thread
from faconv_cli.regimes.rednoise import Surrogates

MAX_STEPS = 1_000  # evenly spaced; more does not change the choice, and the cost is the number of fits
BLOCKS = 20  # of consecutive steps: halves made of single days would share the same spells
SPLITS = 10  # of the record
RANKED = 2  # of each surrogate; the p-value takes as many of the record, as both must be scored alike
SURROGATES = 20  # so that beating all of them has p = 1/21 < 0.05
RESTARTS = 1  # a partition that depends on the start is not reproducible either
TIE = 0.02  # of skill; a finer partition that comes back as reliably says more

DESCRIPTION = (
    "largest skill of reproducibility over red noise: (R - N) / (1 - N), with R the mean adjusted Rand index "
    f"of partitions fitted to complementary halves ({SPLITS} splits of {BLOCKS} blocks) and N that of "
    f"{SURROGATES} AR(1) surrogates; ties within {TIE} go to the larger number"
)


@dataclass(frozen=True, eq=False)
class Criterion:
    """What each number of regimes scores.

    Attributes:
        clusters: (n,) the numbers tried, ascending.
        reproducibility: (n,) mean adjusted Rand index between halves of the record.
        red_noise: (n,) mean of the same over the surrogates.
        p_value: probability that red noise stands out as much at any of the numbers, in standard deviations
            of the surrogates.
    """

    clusters: np.ndarray
    reproducibility: np.ndarray
    red_noise: np.ndarray
    p_value: float

    @property
    def skill(self) -> np.ndarray:
        """(n,) the criterion: 0 as reproducible as red noise, 1 perfectly."""
        return np.asarray((self.reproducibility - self.red_noise) / np.maximum(1 - self.red_noise, TIE))

    @property
    def chosen(self) -> int:
        """The largest number whose skill is within `TIE` of the best."""
        return int(self.clusters[self.skill >= self.skill.max() - TIE].max())

    @property
    def significant(self) -> bool:
        """Whether the record stands out of 95 % of red noise."""
        return self.p_value < 0.05


def choose(
    method: str, x: np.ndarray, apart: np.ndarray, clusters: tuple[int, ...], *, seed: int
) -> Criterion:
    """Score each number of clusters for steps x (n, d) in time order.

    Args:
        method: one of `cluster.METHODS`.
        x: the steps.
        apart: (n - 1,) usual steps from each to the next; see `rednoise.steps_apart`.
        clusters: the numbers to try.
        seed: of splits, surrogates and fits.
    """
    noise, generator = Surrogates(x, apart, MAX_STEPS), np.random.default_rng(seed)

    def scored(record: np.ndarray, splits: int) -> np.ndarray:
        """(splits, n) agreement of the halves for each number."""
        return np.array([[agreement(method, record, k, generator) for k in clusters] for _ in range(splits)])

    with one_thread():
        own = scored(noise.x, SPLITS)
        others = [scored(one, RANKED).mean(axis=0) for one in noise.draw(SURROGATES, generator)]
    p_value = _p_value(np.array([own[:RANKED].mean(axis=0), *others]), generator)
    return Criterion(np.array(clusters), own.mean(axis=0), np.mean(others, axis=0), p_value)


def _p_value(scores: np.ndarray, generator: np.random.Generator) -> float:
    """Rank the first of scores (m, n) among all: uniform where the others are its equals.

    Each number is in standard deviations of all records, the first among them, or it would be judged by
    others than they are. Ties, as between partitions that all come back perfectly, are broken at random.
    """
    spread = np.maximum(scores.std(axis=0), 1e-6)
    stands_out = ((scores - scores.mean(axis=0)) / spread).max(axis=1)
    order = np.lexsort((generator.random(len(scores)), -stands_out))
    return float((1 + np.flatnonzero(order == 0)[0]) / len(scores))


def agreement(method: str, x: np.ndarray, k: int, generator: np.random.Generator) -> float:
    """Adjusted Rand index of the labels that two random halves of the blocks of x (n, d) give to all of x."""
    block = np.arange(len(x)) * BLOCKS // len(x)
    half = np.isin(block, generator.permutation(BLOCKS)[: BLOCKS // 2])
    labels = [
        METHODS[method](part, k, int(generator.integers(2**31)), RESTARTS).model.predict(x)
        for part in (x[half], x[~half])
    ]
    return adjusted_rand(*labels)


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of labels (n,) from 0; scikit-learn's checks of its input
    would take longer than the fits."""
    k = 1 + max(one.max(), other.max())
    table = np.bincount(one * k + other, minlength=k * k).reshape(k, k)
    pairs, rows, columns, total = (
        (counts * (counts - 1) / 2).sum()
        for counts in (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    expected, largest = rows * columns / total, (rows + columns) / 2
    return float((pairs - expected) / (largest - expected)) if largest != expected else 1.0
