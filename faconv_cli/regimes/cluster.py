"""Clustering of embeddings: six methods behind one signature, each giving a model that labels new steps.

Embeddings are clustered as they are, not standardised: like principal components, their first modes carry
the most variance, and dividing it away would let the noise of the last modes decide.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import ThreadpoolController

from faconv_cli.errors import InputError
from faconv_cli.regimes.hmm import Chain, Dynamics, fit_chain, log_normal

NOISE = -1
SEQUENTIAL = ("hmm", "hmm-ar")  # methods that look at the order of the steps
RESTARTS = 20  # k-means runs from different starts, of which the best is kept
MAX_TREE_STEPS = 8_000  # the Ward tree needs all pairs of steps: 256 MB, 2 s
SMALLEST_DENSE_SHARE = 0.02  # of the steps; HDBSCAN calls anything smaller noise

_log = logging.getLogger("faconv")


@dataclass(frozen=True, eq=False)
class RegimeModel:
    """Regimes as numbers, sufficient to label new steps.

    Attributes:
        method: one of `METHODS`.
        centroids: (k, d) float64 means of the members; the means of the components for ``gmm``.
        weights: (k,) weights of the Gaussian components, only for ``gmm``.
        covariances: (k, d, d) their covariances, only for ``gmm`` and those of `SEQUENTIAL`.
        start: (k,) probabilities at the beginning of a run of steps, only for `SEQUENTIAL`.
        transition: (k, k) probabilities of the regime of the next step, only for `SEQUENTIAL`.
        coefficients: (k, d, d), ``intercept`` (k, d) and ``innovations`` (k, d, d) as of `Dynamics`, only for
            ``hmm-ar``.
    """

    method: str
    centroids: np.ndarray
    weights: np.ndarray | None = None
    covariances: np.ndarray | None = None
    start: np.ndarray | None = None
    transition: np.ndarray | None = None
    coefficients: np.ndarray | None = None
    intercept: np.ndarray | None = None
    innovations: np.ndarray | None = None

    @property
    def chain(self) -> Chain | None:
        """The hidden Markov model; None for the other methods."""
        if self.start is None or self.transition is None or self.covariances is None:
            return None
        return Chain(self.start, self.transition, self.centroids, self.covariances, self.dynamics)

    @property
    def dynamics(self) -> Dynamics | None:
        """How each regime evolves; only for ``hmm-ar``."""
        if self.coefficients is None or self.intercept is None or self.innovations is None:
            return None
        return Dynamics(self.coefficients, self.intercept, self.innovations)

    @property
    def expected_duration(self) -> np.ndarray | None:
        """(k,) steps that a regime lasts by the transitions of the chain; None for the other methods."""
        return None if self.transition is None else 1 / (1 - np.diag(self.transition))

    def distances(self, x: np.ndarray) -> np.ndarray:
        """(n, k) Euclidean distances of steps x (n, d) to the centroids."""
        return np.asarray(cdist(x, self.centroids))

    def probabilities(self, x: np.ndarray, follows: np.ndarray | None = None) -> np.ndarray | None:
        """(n, k) posterior probabilities of steps x (n, d) for ``gmm`` and `SEQUENTIAL`, else None.

        Only `SEQUENTIAL` look at neighbours: ``follows`` (n - 1,) says which steps follow the one before them
        with nothing between; default: all.
        """
        if (chain := self.chain) is not None:
            return chain.probabilities(x, np.ones(len(x) - 1, bool) if follows is None else follows)
        if self.weights is None or self.covariances is None:
            return None
        scores = np.empty((len(x), len(self.centroids)))
        for k, (mean, covariance) in enumerate(zip(self.centroids, self.covariances, strict=True)):
            scores[:, k] = log_normal(x - mean, covariance)
        with np.errstate(divide="ignore"):
            return np.asarray(softmax(scores + np.log(self.weights), axis=1))

    def predict(self, x: np.ndarray, follows: np.ndarray | None = None) -> np.ndarray:
        """(n,) numbers 0..k-1: the most probable for ``gmm`` and `SEQUENTIAL`, else the nearest centroid."""
        probabilities = self.probabilities(x, follows)
        if probabilities is not None:
            return np.asarray(probabilities.argmax(axis=1))
        return np.asarray(self.distances(x).argmin(axis=1))

    def reordered(self, order: np.ndarray) -> RegimeModel:
        """Return the same regimes, the old number ``order[i]`` becoming i."""
        given = {one: value for one, value in vars(self).items() if isinstance(value, np.ndarray)}
        moved = {one: value[order] for one, value in given.items()}
        if self.transition is not None:
            moved["transition"] = self.transition[np.ix_(order, order)]
        return replace(self, **moved)


class Fit(NamedTuple):
    """What a method finds in x (n, d): the model, labels (n,) 0..k-1 or `NOISE`, and for HDBSCAN the (n,)
    strength of each membership."""

    model: RegimeModel
    labels: np.ndarray
    strength: np.ndarray | None = None


def fit_regimes(
    method: str,
    x: np.ndarray,
    k: int,
    *,
    seed: int,
    restarts: int = RESTARTS,
    follows: np.ndarray | None = None,
) -> Fit:
    """Cluster steps x (n, d) into k regimes by one of `METHODS`; HDBSCAN finds k itself.

    ``follows`` (n - 1,) says which steps directly follow the one before them, for `SEQUENTIAL`; default: all.

    Raises:
        InputError: HDBSCAN finds fewer than two dense regions.
    """
    with one_thread():
        if method in SEQUENTIAL:
            return fit_hmm(x, k, seed, restarts, follows, autoregressive=method == "hmm-ar")
        return METHODS[method](x, k, seed, restarts)


def one_thread() -> AbstractContextManager[object]:
    """Keep BLAS and OpenMP to one thread: sums over several end in another order, hence other labels near a
    tie, and a fit of 15,000 steps takes well under a second anyway."""
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1)
    return limited


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries, so once


def by_frequency(labels: np.ndarray, k: int) -> np.ndarray:
    """Order regimes (k,) by how many of the labels (n,) they have; ties by who comes first."""
    counts = np.bincount(labels[labels >= 0], minlength=k)
    first = np.full(k, len(labels))
    seen, where = np.unique(labels, return_index=True)
    first[seen[seen >= 0]] = where[seen >= 0]
    return np.lexsort((first, -counts))


def fit_kmeans(x: np.ndarray, k: int, seed: int, restarts: int) -> Fit:
    """k-means (Lloyd) from k-means++ starts."""
    fitted = KMeans(k, n_init=restarts, random_state=seed).fit(x)
    model = RegimeModel("kmeans", fitted.cluster_centers_)
    return Fit(model, model.predict(x))


def fit_gmm(x: np.ndarray, k: int, seed: int, restarts: int) -> Fit:
    """Gaussian mixture with full covariances; a fifth of the restarts, as each starts from k-means."""
    floor = 1e-6 * float(x.var(axis=0).mean())  # relative, as embeddings have no fixed scale
    mixture = GaussianMixture(
        k, n_init=max(1, restarts // 5), max_iter=500, reg_covar=floor, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(x)
    if not mixture.converged_:
        _log.warning("the Gaussian mixture of %d regimes had not converged after 500 iterations", k)
    model = RegimeModel("gmm", mixture.means_, mixture.weights_, mixture.covariances_)
    return Fit(model, model.predict(x))


def fit_hmm(
    x: np.ndarray,
    k: int,
    seed: int,
    restarts: int,
    follows: np.ndarray | None = None,
    *,
    autoregressive: bool = False,
) -> Fit:
    """Gaussian hidden Markov model, or its autoregressive kind; ``follows`` as in `fit_regimes`."""
    follows = np.ones(len(x) - 1, bool) if follows is None else follows
    chain = fit_chain(x, k, follows, seed=seed, restarts=restarts, autoregressive=autoregressive)
    model = RegimeModel(
        "hmm-ar" if autoregressive else "hmm",
        chain.means,
        covariances=chain.covariances,
        start=chain.start,
        transition=chain.transition,
        **({} if chain.dynamics is None else vars(chain.dynamics)),
    )
    return Fit(model, model.predict(x, follows))


def fit_ward(x: np.ndarray, k: int, seed: int, restarts: int) -> Fit:
    """Ward's tree cut at k; no randomness.

    Of a record longer than `MAX_TREE_STEPS` evenly spaced steps build the tree, and the others join the
    nearest centroid.
    """
    every = -(-len(x) // MAX_TREE_STEPS)
    tree = AgglomerativeClustering(k, linkage="ward").fit_predict(x[::every])
    model = RegimeModel("ward", _means(x[::every], tree, k))
    labels = model.predict(x)
    labels[::every] = tree
    return Fit(model, labels)


def fit_hdbscan(x: np.ndarray, k: int, seed: int, restarts: int) -> Fit:
    """Density-based clusters of at least `SMALLEST_DENSE_SHARE` of the steps; the rest is noise."""
    smallest = max(5, round(SMALLEST_DENSE_SHARE * len(x)))
    fitted = HDBSCAN(min_cluster_size=smallest, copy=True).fit(x)
    found = int(fitted.labels_.max()) + 1
    if found < 2:
        raise InputError(
            f"hdbscan does not find two dense regions of {smallest} steps or more among {len(x)} steps",
            wanted="regimes by density need gaps between them, which most climate records do not have",
            do="use --method kmeans",
        )
    model = RegimeModel("hdbscan", _means(x, fitted.labels_, found))
    return Fit(model, fitted.labels_, fitted.probabilities_)


METHODS: dict[str, Callable[[np.ndarray, int, int, int], Fit]] = {
    "kmeans": fit_kmeans,
    "gmm": fit_gmm,
    "hmm": fit_hmm,
    "hmm-ar": partial(fit_hmm, autoregressive=True),
    "ward": fit_ward,
    "hdbscan": fit_hdbscan,
}


def _means(x: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    return np.stack([x[labels == number].mean(axis=0) for number in range(k)])
