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

MAX_STEPS = 2_000  # evenly spaced; more does not change the choice, and the cost is the number of fits
BLOCKS = 20  # of consecutive steps: halves made of single days would share the same spells
SPLITS = 10  # of the record; one of each surrogate: noisier, so the p-value is on the safe side
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


def choose(method: str, x: np.ndarray, clusters: tuple[int, ...], *, seed: int) -> Criterion:
    """Score each number of clusters for steps x (n, d) in time order."""
    x = x[:: -(-len(x) // MAX_STEPS)]
    generator = np.random.default_rng(seed)
    with one_thread():
        own = np.array(
            [np.mean([agreement(method, x, k, generator) for _ in range(SPLITS)]) for k in clusters]
        )
        noise = np.array(
            [
                [agreement(method, record, k, generator) for k in clusters]
                for record in red_noise(x, SURROGATES, generator)
            ]
        )
    mean, spread = noise.mean(axis=0), np.maximum(noise.std(axis=0), 1e-6)
    as_far_out = ((noise - mean) / spread).max(axis=1) >= ((own - mean) / spread).max()
    p_value = (1 + as_far_out.sum()) / (1 + SURROGATES)
    return Criterion(np.array(clusters), own, mean, float(p_value))


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
