"""How sure the anomaly of a regime is at a point: two tests, and what many of them together mean.

A t test asks whether a field differs between regimes that were found without it. Its sample is not the steps:
within a spell they tell of one event, and a field that remembers longer than spells last is the same over
several of them. The anomalies of what was
clustered itself differ in any case, as the regimes were cut so: of red noise, four in five points pass a t
test at 5 %. There the null is the same clustering of red noise. At each point the field is a regression on
the embedding plus a rest, so the anomalies that regimes of a surrogate would have there follow from their
centroids, and no surrogate of the field itself is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from faconv_cli.regimes.cluster import fit_regimes, one_thread
from faconv_cli.regimes.rednoise import Surrogates

SURROGATES = 100
RESTARTS = 2  # of the method on a surrogate; more give the same anomalies
MAX_STEPS = 2_000  # evenly spaced; fewer steps make the centres of surrogates vary more, which is safe
LEVEL = 0.05
_NUMBERS_AT_ONCE = 2**22

_MEMORIES = (
    32  # values of the memory of a field for which the variance of means is computed, between interpolated
)
T_TEST = (
    "two-sided t test over spells, fewer where the field remembers longer (as AR(1) noise of its own lag-1 "
    "correlation), which holds for a field that the regimes were not found on"
)
SURROGATE_TEST = (
    f"share of the regimes of {SURROGATES} red-noise surrogates, clustered in the same way, whose anomaly is "
    "as large: for regimes that were cut from this field"
)


@dataclass(frozen=True, eq=False)
class RedNoiseRegimes:
    """Regimes that the same clustering finds in red noise.

    Attributes:
        centres: (n, d) means of the members of each regime of each surrogate, less that of the surrogate.
        rest: (n,) mean over the regime of a noise of variance 1 that is the same within each spell and has
            nothing to do with the embedding.
    """

    centres: np.ndarray
    rest: np.ndarray


def red_noise_regimes(method: str, x: np.ndarray, apart: np.ndarray, k: int, *, seed: int) -> RedNoiseRegimes:
    """Cluster surrogates of x (n, d) into k regimes.

    Args:
        method: one of `cluster.METHODS`, not ``hdbscan``.
        x: the steps the regimes were fitted to, in time order.
        apart: (n - 1,) steps from each to the next.
        k: number of regimes.
        seed: of the noise and of the fits.
    """
    red, generator = Surrogates(x, apart, MAX_STEPS), np.random.default_rng(seed)
    centres, rest = [], []
    with one_thread():
        for _ in range(SURROGATES):
            (noise,) = red.draw(1, generator)
            own_seed = int(generator.integers(2**31))
            labels = fit_regimes(
                method, noise, k, seed=own_seed, restarts=RESTARTS, follows=red.follows
            ).labels
            spells = spells_of(labels, red.follows, k)
            for number in np.flatnonzero(spells):
                centres.append(noise[labels == number].mean(axis=0) - noise.mean(axis=0))
                spread = np.sqrt(max(1 / spells[number] - 1 / spells.sum(), 0.0))
                rest.append(spread * generator.standard_normal())
    return RedNoiseRegimes(np.array(centres), np.array(rest))


def spells_of(labels: np.ndarray, follows: np.ndarray, k: int) -> np.ndarray:
    """(k,) runs of neighbours with the same label 0..k-1; ``follows`` (n - 1,) says who are neighbours."""
    begins = np.ones(len(labels), bool)
    begins[1:] = ~follows | (labels[1:] != labels[:-1])
    return np.bincount(labels[begins], minlength=k)


@dataclass(frozen=True, eq=False)
class Sample:
    """How much the steps of each regime tell of a field, by what the field remembers from step to step.

    Attributes:
        memory: (m,) ascending from 0: lag-1 correlations of AR(1) noise of variance 1.
        spread: (k, m) variance of the mean over each regime less that over all steps.
        independent: (m,) independent steps with the same variance of the mean over all.
    """

    memory: np.ndarray
    spread: np.ndarray
    independent: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, apart: np.ndarray, k: int) -> Sample:
        """Sum the correlations of all pairs of steps.

        Args:
            labels: (n,) 1..k, or 0 where there is none.
            apart: (n - 1,) steps from each to the next.
            k: number of regimes.
        """
        steps = len(labels)
        lasting = np.concatenate([[0.0], np.geomspace(1, steps, _MEMORIES - 1)])  # steps
        memory = lasting / (1 + lasting)
        share = np.eye(k + 1)[labels][:, 1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.column_stack([share / share.sum(axis=0) - 1 / steps, np.full(steps, 1 / steps)])
        total, carried = np.zeros((_MEMORIES, k + 1)), np.zeros((_MEMORIES, k + 1))
        for own, gap in zip(weight, np.append(apart, 1), strict=True):
            total += own * (own + 2 * carried)
            carried = (carried + own) * memory[:, None] ** gap
        return cls(memory, total[:, :-1].T, 1 / total[:, -1])

    def at(self, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``spread`` (k, p) and ``independent`` (p,) for the memory (p,) of each point."""
        spread = np.stack([np.interp(memory, self.memory, own) for own in self.spread])
        return spread, np.interp(memory, self.memory, self.independent)


def memory_of(products: np.ndarray, pairs: np.ndarray, squares: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Lag-1 correlations (p,) from sums over pairs of neighbours and over steps; 0 where it may be chance.

    An estimate from n steps is too small by (1 + 3 r) / n (Kendall 1954, Biometrika 41).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.nan_to_num(products / pairs / (squares / count))
        unbiased = np.minimum(found + (1 + 3 * found) / count, 1)
        return np.where(found > 2 / np.sqrt(pairs), unbiased, 0)


def t_test(anomaly: np.ndarray, variance: np.ndarray, spread: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Two-sided p-values (k, p) of anomalies from a mean that has the regime in it.

    Args:
        anomaly: (k, p).
        variance: (p,) of the field within the regimes.
        spread: (k, p) variance of the anomaly of a field of variance 1.
        freedom: (p,) degrees of freedom of the variance.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = anomaly / np.sqrt(variance * spread)
        return np.asarray(2 * stdtr(freedom, -np.abs(statistic)))


def surrogate_test(
    anomaly: np.ndarray, loadings: np.ndarray, rest: np.ndarray, null: RedNoiseRegimes
) -> np.ndarray:
    """Share (k, p) of the regimes of red noise whose anomaly at the point is as large.

    Args:
        anomaly: (k, p).
        loadings: (d, p) regression of the anomalies of the field on the embedding.
        rest: (p,) standard deviation of what the regression leaves, for as many spells as surrogates have.
        null: regimes of the surrogates.
    """
    p_value = np.full(anomaly.shape, np.nan)
    at_once = max(1, _NUMBERS_AT_ONCE // len(null.centres))
    for begin in range(0, anomaly.shape[1], at_once):
        points = slice(begin, begin + at_once)
        found = np.abs(null.centres @ loadings[:, points] + null.rest[:, None] * rest[points])
        found.sort(axis=0)
        for number, own in enumerate(np.abs(anomaly[:, points])):
            larger = len(found) - np.array([np.searchsorted(f, a) for f, a in zip(found.T, own, strict=True)])
            p_value[number, points] = (1 + larger) / (1 + len(found))
    p_value[np.isnan(anomaly) | np.isnan(loadings).any(axis=0) | np.isnan(rest)] = np.nan
    return p_value


def false_discovery(p_value: np.ndarray) -> np.ndarray:
    """Adjust the p-values of many points for the false discovery rate (Benjamini and Hochberg 1995).

    A point with an adjusted value below a level is significant when at most that share of the points that
    are called so may be wrong (Wilks 2016, Bull. Amer. Meteor. Soc. 97). NaN stays.
    """
    adjusted = np.full(p_value.shape, np.nan)
    known = np.isfinite(p_value)
    order = np.argsort(p_value[known], kind="stable")
    ranked = p_value[known][order] * known.sum() / np.arange(1, known.sum() + 1)
    least = np.minimum.accumulate(ranked[::-1])[::-1]
    flat = np.empty(len(order))
    flat[order] = np.minimum(least, 1)
    adjusted[known] = flat
    return adjusted
