"""Gaussian hidden Markov models: regimes told by how steps spread and follow each other, not by centres.

A wave that goes east and the same wave going west lie in two subspaces that cross at zero. No centroid tells
them apart, but a full covariance does, once the chain gathers the evidence of neighbouring steps.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from hmmlearn.hmm import GaussianHMM
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
class Chain:
    """A hidden Markov model with Gaussian emissions.

    Attributes:
        start: (k,) probabilities at the beginning of a run.
        transition: (k, k) probabilities of the regime of the next step.
        means: (k, d).
        covariances: (k, d, d).
    """

    start: np.ndarray
    transition: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def probabilities(self, x: np.ndarray, follows: np.ndarray) -> np.ndarray:
        """(n, k) of each regime at steps x (n, d), given all steps of the same run.

        Args:
            x: steps in time order.
            follows: (n - 1,) whether a step follows the one before it with nothing between.
        """
        return np.asarray(self._library().predict_proba(x, run_lengths(follows)))

    def log_likelihood(self, x: np.ndarray, follows: np.ndarray) -> float:
        """Log-density of steps x (n, d), summed over them; ``follows`` as above."""
        return float(self._library().score(x, run_lengths(follows)))

    def _library(self) -> GaussianHMM:
        model = GaussianHMM(len(self.means), covariance_type="full")
        model.startprob_, model.transmat_ = self.start, self.transition
        model.means_, model.covars_ = self.means, self.covariances
        return model


def run_lengths(follows: np.ndarray) -> np.ndarray:
    """Lengths (r,) of the runs of steps that follow each other, from ``follows`` (n - 1,)."""
    ends = np.append(np.flatnonzero(~follows), len(follows))
    return np.diff(ends, prepend=-1)


def follows_among(follows: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each chosen step follows the chosen one before it: ``follows`` (n - 1,), rows (n,) bool."""
    chosen = np.flatnonzero(rows)
    return np.asarray((np.diff(chosen) == 1) & follows[chosen[:-1]])


def fit_chain(x: np.ndarray, k: int, follows: np.ndarray, *, seed: int, restarts: int) -> Chain:
    """Fit a chain of k regimes to steps x (n, d) by EM from many starts; the likeliest is kept.

    Half of the starts are k-means partitions, half random spells: at a k-means partition, regimes that
    share a centre are a saddle that EM hardly leaves. In many dimensions random starts hardly ever reach the
    likeliest chain, so those of the first few modes are starts as well.

    Args:
        x: steps in time order.
        k: number of regimes.
        follows: (n - 1,) whether a step follows the one before it with nothing between.
        seed: of the starts.
        restarts: number of starts.
    """
    generator = np.random.default_rng(seed)
    lengths = run_lengths(follows)
    starts = [
        _spells(len(x), k, generator) if number % 2 == 0 else _partition(x, k, generator)
        for number in range(restarts)
    ]
    for m in FEWER_MODES:
        if m < x.shape[1]:
            fewer = fit_chain(x[:, :m], k, follows, seed=seed, restarts=restarts)
            starts.append(fewer.probabilities(x[:, :m], follows).argmax(axis=1))
    trials = [_climb(_from_labels(x, labels, k), x, lengths, TRIAL_STEPS) for labels in starts]
    trials.sort(key=lambda found: -found[1])
    finals = [_climb(model, x, lengths, MOST_STEPS) for model, _, _ in trials[:FINALISTS]]
    model, _, converged = max(finals, key=lambda found: found[1])
    if not converged:
        _log.warning("the hidden Markov model of %d regimes had not converged after %d steps", k, MOST_STEPS)
    return Chain(model.startprob_, model.transmat_, model.means_, model.covars_)


def _spells(n: int, k: int, generator: np.random.Generator) -> np.ndarray:
    """Random labels (n,) in spells of `MEAN_SPELL` steps on average."""
    change = np.cumsum(generator.random(n) < 1 / MEAN_SPELL)
    return np.asarray(generator.integers(k, size=change[-1] + 1)[change])


def _partition(x: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    seed = int(generator.integers(2**31))
    return np.asarray(KMeans(k, n_init=1, random_state=seed).fit(x).labels_)


def _from_labels(x: np.ndarray, labels: np.ndarray, k: int) -> GaussianHMM:
    """A chain with the moments of labelled steps, drawn to those of all of them."""
    every, d = np.cov(x.T, bias=True).reshape(x.shape[1], -1), x.shape[1]
    model = GaussianHMM(
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


def choose_modes(x: np.ndarray, k: int, follows: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Score numbers of leading modes by the log-likelihood of held-out blocks.

    Likelihoods of different numbers of modes cannot be compared, so each is of all modes: those beyond the
    first m are one Gaussian given the first m, whatever the regime. A mode is worth having in the chain when
    regimes tell more of it than that.

    Returns:
        The numbers tried (c,) and their score (c,) in nats per step.
    """
    block = np.arange(len(x)) * BLOCKS // len(x) % FOLDS
    tried = np.array([m for m in CANDIDATE_MODES if m < x.shape[1]] + [x.shape[1]])
    tried = tried[tried <= CANDIDATE_MODES[-1]]
    scores = np.zeros(len(tried))
    for fold in range(FOLDS):
        fit, test = block != fold, block == fold
        for number, m in enumerate(tried):
            chain = fit_chain(x[fit, :m], k, follows_among(follows, fit), seed=seed, restarts=TRIAL_RESTARTS)
            scores[number] += chain.log_likelihood(x[test, :m], follows_among(follows, test))
            scores[number] += _rest(x[fit], x[test], m)
    return tried, scores / len(x)


def _rest(fit: np.ndarray, test: np.ndarray, m: int) -> float:
    """Log-density of the modes of test (n, d) beyond the first m, given those, as one Gaussian of fit."""
    mean, covariance = fit.mean(axis=0), np.cov(fit.T).reshape(fit.shape[1], -1)
    whole = multivariate_normal(mean, covariance, allow_singular=True).logpdf(test)
    first = multivariate_normal(mean[:m], covariance[:m, :m], allow_singular=True).logpdf(test[:, :m])
    return float(np.sum(whole - first))
