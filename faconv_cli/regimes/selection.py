"""How many regimes: the number whose partition comes back most reliably, beyond what red noise gives.

A partition is reproducible when two halves of the record, clustered independently, agree on the labels of
all of it. Any elongated cloud is reproducibly cut in two, so the same is done to red noise with the same
covariance and memory, and the difference decides: the idea of the classifiability index (Michelangeli,
Vautard and Legras 1995, J. Atmos. Sci. 52), with half-samples for random starts, so that it means the same
for every method, and the adjusted Rand index for pattern correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from faconv_cli.regimes.cluster import fit_regimes

MAX_STEPS = 2_000  # evenly spaced; more does not change the choice, and the cost is the number of fits
BLOCKS = 20  # of consecutive steps: halves made of single days would share the same spells
SPLITS = 10
SURROGATES = 20  # so that beating all of them has p = 1/21 < 0.05
RESTARTS = 3

DESCRIPTION = (
    "largest excess of reproducibility over red noise: mean adjusted Rand index between partitions fitted to "
    f"complementary halves ({BLOCKS} blocks, {SPLITS} splits), less the same of {SURROGATES} AR(1) surrogates"
)


@dataclass(frozen=True, eq=False)
class Criterion:
    """What each number of regimes scores.

    Attributes:
        clusters: (n,) the numbers tried.
        reproducibility: (n,) mean adjusted Rand index between halves of the record.
        red_noise: (n,) mean of the same over the surrogates.
        p_value: (n,) share of surrogates (and the record itself) that do as well as the record.
    """

    clusters: np.ndarray
    reproducibility: np.ndarray
    red_noise: np.ndarray
    p_value: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """(n,) the criterion: reproducibility beyond red noise."""
        return np.asarray(self.reproducibility - self.red_noise)

    @property
    def chosen(self) -> int:
        """The number with the largest excess."""
        return int(self.clusters[self.excess.argmax()])

    @property
    def significant(self) -> bool:
        """Whether the chosen number does better than 95 % of red noise."""
        return bool(self.p_value[self.excess.argmax()] < 0.05)


def choose(method: str, x: np.ndarray, clusters: tuple[int, ...], *, seed: int) -> Criterion:
    """Score each number of clusters for steps x (n, d) in time order."""
    x = x[:: -(-len(x) // MAX_STEPS)]
    generator = np.random.default_rng(seed)
    noise = red_noise(x, SURROGATES, generator)
    own, surrogates = np.empty((len(clusters), SPLITS)), np.empty((len(clusters), SURROGATES))
    for row, k in enumerate(clusters):
        own[row] = [agreement(method, x, k, generator) for _ in range(SPLITS)]
        surrogates[row] = [agreement(method, one, k, generator) for one in noise]
    score = own.mean(axis=1)
    as_good = (surrogates >= score[:, None]).sum(axis=1)
    return Criterion(
        np.array(clusters), score, surrogates.mean(axis=1), (1 + as_good) / (1 + surrogates.shape[1])
    )


def agreement(method: str, x: np.ndarray, k: int, generator: np.random.Generator) -> float:
    """Adjusted Rand index of the labels that two random halves of the blocks of x (n, d) give to all of x."""
    block = np.arange(len(x)) * BLOCKS // len(x)
    half = np.isin(block, generator.permutation(BLOCKS)[: BLOCKS // 2])
    labels = [
        fit_regimes(method, part, k, seed=int(generator.integers(2**31)), restarts=RESTARTS).model.predict(x)
        for part in (x[half], x[~half])
    ]
    return float(adjusted_rand_score(*labels))


def red_noise(x: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Gaussian AR(1) surrogates (count, n, d) of x (n, d): its covariance, and the lag-1 autocorrelation of
    each of its principal components."""
    left, scale, patterns = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    memory = np.clip((left[1:] * left[:-1]).sum(axis=0), 0.0, 0.999)  # left has unit columns
    shocks = generator.standard_normal((len(x), count, left.shape[1]))
    shocks[1:] *= np.sqrt(1 - memory**2)
    for step in range(1, len(x)):
        shocks[step] += memory * shocks[step - 1]
    surrogates = shocks * (scale / np.sqrt(len(x))) @ patterns
    return np.asarray(surrogates.transpose(1, 0, 2))
