"""What regimes are like: how often, how long, what follows what, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, calinski_harabasz_score, davies_bouldin_score
from sklearn.metrics.pairwise import euclidean_distances

from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.cluster import one_thread

MISSING, UNCLASSIFIED = -1, 0  # labels; regimes are 1..k

# Scores from all pairs of steps cost about n^2 (d + 500) operations; above this (8,800 steps of 16 modes, a
# second) evenly spaced steps stand for all.
MAX_PAIR_WORK = 4e10
_OVERHEAD_PER_PAIR = 500
_BLOCK_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class Persistence:
    """How regimes follow each other. Only consecutive steps count: nothing runs across a gap in time, a
    missing or an unclassified step.

    Attributes:
        steps: (k,) labelled steps of each regime.
        share: (k,) of all labelled steps, the unclassified among them.
        spells: (k,) runs of consecutive steps; a run cut by a gap counts as long as it was seen.
        mean_duration: (k,) time steps per spell; NaN where there is none.
        transition: (k, k) probability that the next step is in regime j, given i now; NaN rows where i has
            no next step.
    """

    steps: np.ndarray
    share: np.ndarray
    spells: np.ndarray
    mean_duration: np.ndarray
    transition: np.ndarray

    @property
    def persistence(self) -> np.ndarray:
        """(k,) probability that the regime goes on for another step."""
        return np.diag(self.transition)


def consecutive_steps(time: TimeAxis) -> np.ndarray:
    """(t - 1,) whether step i + 1 follows step i without a gap."""
    follows = np.ones(len(time) - 1, bool)
    for start, _ in time.segments[1:]:
        follows[start - 1] = False
    return follows


def persistence(labels: np.ndarray, consecutive: np.ndarray, k: int) -> Persistence:
    """Count shares, spells and transitions.

    Args:
        labels: (t,) 1..k, `UNCLASSIFIED` or `MISSING`.
        consecutive: (t - 1,) whether step i + 1 follows step i without a gap in time.
        k: number of regimes.
    """
    now, following = labels[:-1], labels[1:]
    pair = consecutive & (now > 0) & (following > 0)
    moves = np.zeros((k, k))
    np.add.at(moves, (now[pair] - 1, following[pair] - 1), 1)
    begins = labels > 0
    begins[1:] &= ~(pair & (now == following))
    steps = np.bincount(labels[labels > 0], minlength=k + 1)[1:]
    spells = np.bincount(labels[begins], minlength=k + 1)[1:]
    with np.errstate(invalid="ignore"):
        return Persistence(
            steps=steps,
            share=steps / (labels != MISSING).sum(),
            spells=spells,
            mean_duration=steps / spells,
            transition=moves / moves.sum(axis=1, keepdims=True),
        )


def seasonality(labels: np.ndarray, month: np.ndarray) -> float:
    """How far the calendar month (t,) tells the regime (t,): 0 as by chance, 1 altogether."""
    used = labels > 0
    return float(adjusted_mutual_info_score(labels[used], month[used], average_method="min"))


@dataclass(frozen=True)
class Separation:
    """How far apart regimes are; all reward whatever splits the data, so none says that regimes are real.

    The cosine silhouette, Davies-Bouldin, Calinski-Harabasz, RMSE and inter-cluster distance are those the
    UMBC group reports (see the guide), so that figures compare.

    Attributes:
        silhouette: mean silhouette with Euclidean distance, -1..1; larger is better.
        silhouette_cosine: the same with cosine distance.
        davies_bouldin: smaller is better.
        calinski_harabasz: larger is better.
        rmse: root of the mean squared distance to the own centroid, in units of the data.
        inter_cluster_distance: mean of the matrix that has the smallest distance between members of two
            regimes off its diagonal and the largest within one on it.
        every: silhouette and inter-cluster distance are from every so many steps.
    """

    silhouette: float
    silhouette_cosine: float
    davies_bouldin: float
    calinski_harabasz: float
    rmse: float
    inter_cluster_distance: float
    every: int = 1


def separation(x: np.ndarray, labels: np.ndarray) -> Separation | None:
    """Score labels (n,) of steps x (n, d); None where fewer than two regimes, or n of them, have members."""
    names, codes = np.unique(labels, return_inverse=True)
    if not 2 <= len(names) < len(labels):
        return None
    every = int(np.ceil(np.sqrt(len(x) ** 2 * (x.shape[1] + _OVERHEAD_PER_PAIR) / MAX_PAIR_WORK)))
    silhouette, inter = pair_scores(x[::every], codes[::every])
    with one_thread():
        return Separation(
            silhouette=silhouette,
            silhouette_cosine=cosine_silhouette(x, codes),
            davies_bouldin=float(davies_bouldin_score(x, codes)),
            calinski_harabasz=float(calinski_harabasz_score(x, codes)),
            rmse=_rmse(x, codes),
            inter_cluster_distance=inter,
            every=every,
        )


def pair_scores(x: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Euclidean silhouette and inter-cluster distance of x (n, d) with codes (n,), in one pass over all
    pairs of steps, a block of rows at a time."""
    order = np.argsort(codes, kind="stable")
    x, codes = x[order], codes[order]
    names, starts, codes, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    smallest = np.full((len(names), len(names)), np.inf)
    largest = np.zeros_like(smallest)
    sums = np.empty((len(x), len(names)))
    rows = max(1, _BLOCK_BYTES // (8 * len(x)))
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        distances = euclidean_distances(x[part], x)
        sums[part] = np.add.reduceat(distances, starts, axis=1)
        np.minimum.at(smallest, codes[part], np.minimum.reduceat(distances, starts, axis=1))
        np.maximum.at(largest, codes[part], np.maximum.reduceat(distances, starts, axis=1))
    np.fill_diagonal(smallest, np.diag(largest))
    return _silhouette(sums, codes, counts), float(smallest.mean())


def cosine_silhouette(x: np.ndarray, codes: np.ndarray) -> float:
    """Mean silhouette of x (n, d) with cosine distance, exactly, without pairs: a mean of cosine distances
    is the distance to the mean of the unit vectors."""
    counts = np.bincount(codes)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    totals = np.stack([unit[codes == code].sum(axis=0) for code in range(len(counts))])
    sums = counts - unit @ totals.T
    own = (unit**2).sum(axis=1)  # 1, or 0 for a zero vector, whose distance to itself must still be 0
    sums[np.arange(len(x)), codes] -= 1 - own
    return _silhouette(sums, codes, counts)


def _silhouette(sums: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> float:
    """Mean silhouette from the sum (n, k) of each step's distances to each cluster; 0 for a single member."""
    rows = np.arange(len(codes))
    alone = counts[codes] == 1
    within = sums[rows, codes] / np.maximum(counts[codes] - 1, 1)
    between = sums / counts
    between[rows, codes] = np.inf
    nearest = between.min(axis=1)
    widest = np.maximum(within, nearest)
    values = np.divide(nearest - within, widest, out=np.zeros_like(widest), where=(widest > 0) & ~alone)
    return float(values.mean())


def _rmse(x: np.ndarray, codes: np.ndarray) -> float:
    squares = sum(
        float(((x[codes == code] - x[codes == code].mean(axis=0)) ** 2).sum()) for code in np.unique(codes)
    )
    return float(np.sqrt(squares / len(x)))


@dataclass(frozen=True, eq=False)
class RegimeMeans:
    """An index in each regime.

    Attributes:
        count: (k,) steps with a label and a value.
        mean: (k,) in units of the index; NaN where count is 0.
        standard_error: (k,) of the mean, as if steps were independent; NaN below two steps.
        explained: share of the index's variance between regimes (eta squared), 0..1; NaN if it is constant.
    """

    count: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    explained: float


def regime_means(labels: np.ndarray, series: np.ndarray, k: int | None = None) -> RegimeMeans:
    """Average an index, such as deseasonalised Niño 3.4 SST, over the steps of each regime.

    Args:
        labels: (t,) 1..k; steps with 0 (unclassified), below, or no value of the index are left out.
        series: (t,) the index on the same time steps; NaN where missing.
        k: number of regimes; default: the largest label.
    """
    k = int(labels.max(initial=0)) if k is None else k
    used = (labels > 0) & np.isfinite(series)
    codes, values = labels[used] - 1, series[used].astype(np.float64)
    count = np.bincount(codes, minlength=k)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(codes, values, minlength=k) / count
        squares = np.bincount(codes, (values - mean[codes]) ** 2, minlength=k)
        error = np.sqrt(np.where(count > 1, squares / (count - 1), np.nan) / count)
        total = ((values - values.mean()) ** 2).sum() if len(values) else np.nan
        explained = float(1 - squares.sum() / total) if total > 0 else np.nan
    return RegimeMeans(count, mean, error, explained)
