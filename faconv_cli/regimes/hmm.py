"""Hidden Markov models: regimes that differ in how steps vary and follow each other, not in their centres.

Regimes with different patterns of variation lie in subspaces that cross at zero. Centroids cannot separate
them, but full covariances can, once the chain combines the evidence of neighbouring steps. A wave that
travels east varies like the same wave travelling west; the autoregressive kind separates them, as each
regime is a linear model of a step given the step before (Hamilton 1989, Econometrica 57).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from hmmlearn.base import BaseHMM
from hmmlearn.hmm import GaussianHMM
from scipy.linalg import solve_triangular
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans

STAY = 10.0  # pseudo-counts of staying in a regime: without them, noise splits spells into single steps
PRIOR_STEPS = 10.0  # that each covariance is drawn to that of all steps with, so that none collapses
TRIAL_STEPS = 20  # of EM for each start; the best of them are taken to the end
FINALISTS = 3
MOST_STEPS = 500
TOLERANCE = 1e-5  # of log-likelihood per step
FEWER_MODES = (2, 4)  # whose chains are starts for more modes
MEAN_SPELL = 8  # steps in the random starts
CANDIDATE_MODES = (2, 3, 4, 6, 8, 10, 12, 16)
FOLDS = 2
BLOCKS = 8  # alternately fitted and held out: shorter ones would share spells
TRIAL_RESTARTS = 8

_log = logging.getLogger("faconv")


@dataclass(frozen=True, eq=False)
class Dynamics:
    """How a regime evolves: a step is N(intercept + coefficients @ step before, innovations).

    Attributes:
        coefficients: (k, d, d).
        intercept: (k, d).
        innovations: (k, d, d) covariances of the residuals.
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    innovations: np.ndarray


@dataclass(frozen=True, eq=False)
class Chain:
    """A hidden Markov model.

    Attributes:
        start: (k,) probabilities at the beginning of a run.
        transition: (k, k) probabilities of the regime of the next step.
        means: (k, d) of a step in each regime.
        covariances: (k, d, d) of it.
        dynamics: of a step given the step before, for the autoregressive kind; the first step of a run has
            none before it.
    """

    start: np.ndarray
    transition: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    dynamics: Dynamics | None = None

    def probabilities(self, x: np.ndarray, follows: np.ndarray) -> np.ndarray:
        """(n, k) of each regime at steps x (n, d), given all steps of the same run.

        Args:
            x: steps in time order.
            follows: (n - 1,) whether a step follows the one before it with nothing between.
        """
        densities = self._log_densities(x, follows)
        return np.asarray(self._library().predict_proba(densities, run_lengths(follows)))

    def log_likelihood(self, x: np.ndarray, follows: np.ndarray) -> float:
        """Log-density of steps x (n, d), summed over them; ``follows`` as above."""
        return float(self._library().score(self._log_densities(x, follows), run_lengths(follows)))

    def _log_densities(self, x: np.ndarray, follows: np.ndarray) -> np.ndarray:
        """(n, k) of each step in each regime."""
        found = np.stack(
            [log_normal(x - mean, c) for mean, c in zip(self.means, self.covariances, strict=True)], axis=1
        )
        if self.dynamics is None:
            return found
        rows = np.flatnonzero(follows) + 1
        parts = self.dynamics.coefficients, self.dynamics.intercept, self.dynamics.innovations
        for number, (coefficients, intercept, innovations) in enumerate(zip(*parts, strict=True)):
            off = x[rows] - intercept - x[rows - 1] @ coefficients.T
            found[rows, number] = log_normal(off, innovations)
        return found

    def _library(self) -> _Densities:
        model = _Densities(len(self.means))
        model.startprob_, model.transmat_ = self.start, self.transition
        return model


class _Densities(BaseHMM):  # type: ignore[misc]
    """The sums over paths of the library, for log-densities (n, k) in place of steps."""

    def _compute_log_likelihood(self, X: np.ndarray) -> np.ndarray:
        return X


class _Autoregressive(GaussianHMM):  # type: ignore[misc]
    """Fits Gaussians of a step and the step before, (n, 2 d), to the density of the one given the other.

    The weighted moments of both are those of the regression of a step on the step before, so the library's
    step of EM is the right one; the first step of a run has no step before, and is in no moments.
    """

    def _compute_log_likelihood(self, X: np.ndarray) -> np.ndarray:
        d = X.shape[1] // 2
        step, before = slice(0, d), slice(d, 2 * d)
        both = np.asarray(super()._compute_log_likelihood(X))
        for number, (mean, covariance) in enumerate(zip(self.means_, self.covars_, strict=True)):
            both[:, number] -= log_normal(X[:, before] - mean[before], covariance[before, before])
            both[0, number] = log_normal(X[:1, step] - mean[step], covariance[step, step])[0]
        return both

    def _accumulate_sufficient_statistics(
        self,
        stats: dict[str, Any],
        X: np.ndarray,
        lattice: np.ndarray,
        posteriors: np.ndarray,
        fwdlattice: np.ndarray,
        bwdlattice: np.ndarray,
    ) -> None:
        counted = posteriors.copy()
        counted[0] = 0
        super()._accumulate_sufficient_statistics(stats, X, lattice, counted, fwdlattice, bwdlattice)
        stats["start"] += posteriors[0]


def log_normal(off: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log-density (n,) of a Gaussian at distances (n, d) from its mean."""
    factor = np.linalg.cholesky(covariance)
    white = solve_triangular(factor, off.T, lower=True)
    scale = np.log(np.diag(factor)).sum() + len(covariance) * np.log(2 * np.pi) / 2
    return np.asarray(-0.5 * (white**2).sum(axis=0) - scale)


def run_lengths(follows: np.ndarray) -> np.ndarray:
    """Lengths (r,) of the runs of steps that follow each other, from ``follows`` (n - 1,)."""
    ends = np.append(np.flatnonzero(~follows), len(follows))
    return np.diff(ends, prepend=-1)


def follows_among(follows: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each chosen step follows the chosen one before it: ``follows`` (n - 1,), rows (n,) bool."""
    chosen = np.flatnonzero(rows)
    return np.asarray((np.diff(chosen) == 1) & follows[chosen[:-1]])


def fit_chain(
    x: np.ndarray, k: int, follows: np.ndarray, *, seed: int, restarts: int, autoregressive: bool = False
) -> Chain:
    """Fit a chain of k regimes to steps x (n, d) by EM from many starts; the most likely one is kept.

    Half of the starts are k-means partitions, half random spells: for regimes with a common centre, a k-means
    partition is a saddle point that EM hardly leaves. In many dimensions random starts rarely reach the most
    likely chain, so fits to the first few modes are starts as well.

    Args:
        x: steps in time order.
        k: number of regimes.
        follows: (n - 1,) whether a step follows the one before it with nothing between.
        seed: of the starts.
        restarts: number of starts.
        autoregressive: a regime is a model of a step given the step before.
    """
    generator = np.random.default_rng(seed)
    lengths = run_lengths(follows)
    starts = [
        _spells(len(x), k, generator) if number % 2 == 0 else _partition(x, k, generator)
        for number in range(restarts)
    ]
    for m in FEWER_MODES:
        if m < x.shape[1]:
            fewer = fit_chain(
                x[:, :m], k, follows, seed=seed, restarts=restarts, autoregressive=autoregressive
            )
            starts.append(fewer.probabilities(x[:, :m], follows).argmax(axis=1))
    seen, kind = (_with_the_step_before(x, follows), _Autoregressive) if autoregressive else (x, GaussianHMM)
    trials = [_climb(_from_labels(kind, seen, labels, k), seen, lengths, TRIAL_STEPS) for labels in starts]
    trials.sort(key=lambda found: -found[1])
    finals = [_climb(model, seen, lengths, MOST_STEPS) for model, _, _ in trials[:FINALISTS]]
    model, _, converged = max(finals, key=lambda found: found[1])
    if not converged:
        _log.warning("the hidden Markov model of %d regimes had not converged after %d steps", k, MOST_STEPS)
    d = x.shape[1]
    means, covariances = model.means_[:, :d], model.covars_[:, :d, :d]
    dynamics = _dynamics(model.means_, model.covars_) if autoregressive else None
    return Chain(model.startprob_, model.transmat_, means, covariances, dynamics)


def _with_the_step_before(x: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Steps (n, d) beside those before them (n, 2 d); beside the first of a run stands the mean."""
    before = np.broadcast_to(x.mean(axis=0), x.shape).copy()
    rows = np.flatnonzero(follows) + 1
    before[rows] = x[rows - 1]
    return np.concatenate([x, before], axis=1)


def _dynamics(means: np.ndarray, covariances: np.ndarray) -> Dynamics:
    """Regress a step on the step before, from means (k, 2 d) and covariances (k, 2 d, 2 d) of both."""
    d = means.shape[1] // 2
    now, across, before = covariances[:, :d, :d], covariances[:, :d, d:], covariances[:, d:, d:]
    coefficients = np.linalg.solve(before, across.swapaxes(1, 2)).swapaxes(1, 2)
    intercept = means[:, :d] - np.einsum("kij,kj->ki", coefficients, means[:, d:])
    return Dynamics(coefficients, intercept, now - coefficients @ across.swapaxes(1, 2))


def _spells(n: int, k: int, generator: np.random.Generator) -> np.ndarray:
    """Random labels (n,) in spells of `MEAN_SPELL` steps on average."""
    change = np.cumsum(generator.random(n) < 1 / MEAN_SPELL)
    return np.asarray(generator.integers(k, size=change[-1] + 1)[change])


def _partition(x: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    seed = int(generator.integers(2**31))
    return np.asarray(KMeans(k, n_init=1, random_state=seed).fit(x).labels_)


def _from_labels(kind: type[GaussianHMM], x: np.ndarray, labels: np.ndarray, k: int) -> GaussianHMM:
    """A chain with the moments of labelled steps, drawn to those of all of them."""
    every, d = np.cov(x.T, bias=True).reshape(x.shape[1], -1), x.shape[1]
    model = kind(
        k,
        covariance_type="full",
        transmat_prior=1 + STAY * np.eye(k),  # the mode of a Dirichlet prior counts from 1
        startprob_prior=2.0,
        covars_prior=PRIOR_STEPS * every,
        covars_weight=PRIOR_STEPS + d,  # the library takes d off again
        init_params="",
    )
    model.startprob_ = np.full(k, 1 / k)
    stay = 1 - 1 / MEAN_SPELL
    model.transmat_ = (1 - stay) / k + stay * np.eye(k)
    members = np.equal.outer(np.arange(k), labels).astype(float)
    count = members.sum(axis=1)
    mean = (members @ x + x.mean(axis=0)) / (count + 1)[:, None]
    model.means_ = mean
    model.covars_ = np.stack(
        [
            ((x - m).T @ ((x - m) * w[:, None]) + PRIOR_STEPS * every) / (w.sum() + PRIOR_STEPS)
            for m, w in zip(mean, members, strict=True)
        ]
    )
    return model


def _climb(
    model: GaussianHMM, x: np.ndarray, lengths: np.ndarray, steps: int
) -> tuple[GaussianHMM, float, bool]:
    """Take steps of EM in place; the model, its log-likelihood and whether it has converged."""
    library, level = logging.getLogger("hmmlearn"), logging.getLogger("hmmlearn").level
    model.n_iter, model.tol = steps, TOLERANCE * len(x)
    library.setLevel(logging.ERROR)  # it warns where a prior lowers the likelihood, which is meant
    try:
        model.fit(x, lengths)
    finally:
        library.setLevel(level)
    return model, float(model.score(x, lengths)), len(model.monitor_.history) < steps


def choose_modes(
    x: np.ndarray, k: int, follows: np.ndarray, *, seed: int, autoregressive: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Score numbers of leading modes by the log-likelihood of held-out blocks.

    Likelihoods of different numbers of modes cannot be compared, so each is of all modes: those beyond the
    first m are one Gaussian given the first m, whatever the regime; for the autoregressive kind, given all of
    the step before as well. A mode is worth having in the chain when regimes tell more of it than that.

    Returns:
        The numbers tried (c,) and their score (c,) in nats per step.
    """
    block = np.arange(len(x)) * BLOCKS // len(x) % FOLDS
    tried = np.array([m for m in CANDIDATE_MODES if m < x.shape[1]] + [x.shape[1]])
    tried = tried[tried <= CANDIDATE_MODES[-1]]
    scores = np.zeros(len(tried))
    for fold in range(FOLDS):
        rows = block != fold, block == fold
        (fit, fit_follows), (test, test_follows) = parts = [
            (x[own], follows_among(follows, own)) for own in rows
        ]
        for number, m in enumerate(tried):
            chain = fit_chain(
                fit[:, :m], k, fit_follows, seed=seed, restarts=TRIAL_RESTARTS, autoregressive=autoregressive
            )
            scores[number] += chain.log_likelihood(test[:, :m], test_follows)
            if autoregressive:
                before, after = (_with_the_step_before(*part)[1:][part[1]] for part in parts)
                scores[number] += _others(before, after, slice(m, x.shape[1]))
            alone = test[np.append(True, ~test_follows)] if autoregressive else test
            scores[number] += _others(fit, alone, slice(m, x.shape[1]))
    return tried, scores / len(x)


def _others(fit: np.ndarray, test: np.ndarray, columns: slice) -> float:
    """Log-density of some columns of test (n, d), given its other columns, as one Gaussian of fit."""
    given = np.delete(np.arange(fit.shape[1]), columns)
    mean, covariance = fit.mean(axis=0), np.cov(fit.T).reshape(fit.shape[1], -1)
    whole = multivariate_normal(mean, covariance, allow_singular=True).logpdf(test)
    part = multivariate_normal(mean[given], covariance[np.ix_(given, given)], allow_singular=True)
    return float(np.sum(whole - part.logpdf(test[:, given])))
