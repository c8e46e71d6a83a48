"""Scores of embeddings and of labels, beside those of `slp_scores`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.slp_scores import pairs


def kmeans(z: np.ndarray, k: int) -> KMeans:
    """Fit k clusters to rows z (n, d)."""
    return KMeans(k, n_init=20, random_state=0).fit(z)


def halves_agree(z: np.ndarray, year: np.ndarray, k: int) -> float:
    """Adjusted Rand index, over all rows z (n, d), of k-means fitted to even and to odd years (n,)."""
    even, odd = (kmeans(z[year % 2 == rest], k).predict(z) for rest in (0, 1))
    return float(adjusted_rand_score(even, odd))


def skill_of_regimes(y: np.ndarray, labels: np.ndarray, train: np.ndarray, weight: np.ndarray) -> float:
    """How much less the means of regimes err in test rows of y (t, p) than the mean of all, 1 for no error.

    Both are means of training rows; the squares of errors are added up by ``weight`` (p,). Of a field that is
    the share of its variance that regimes tell, of whether an event happens the Brier skill score.
    """
    mean = y[train].mean(axis=0)
    means = {k: y[train & (labels == k)].mean(axis=0) for k in np.unique(labels[train])}
    told = np.stack([means.get(k, mean) for k in labels[~train]])
    errors = [((y[~train] - guess) ** 2 @ weight).sum() for guess in (told, mean)]
    return float(1 - errors[0] / errors[1])


def agreement(labels: Sequence[np.ndarray]) -> list[float]:
    """Adjusted Rand index of each pair of labellings (n,) of the same steps."""
    return [float(adjusted_rand_score(a, b)) for a, b in combinations(labels, 2)]


def class_probe(z: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, lead: int) -> float:
    """Balanced accuracy in test rows of a logistic probe of the class y (t,) so many rows after z (t, d)."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    seen, truth = pairs(z, y, test, lead)
    return float(balanced_accuracy_score(truth, probe.fit(*pairs(z, y, train, lead)).predict(seen)))
