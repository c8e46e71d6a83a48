"""Targets in plain NumPy: told linearly of a state, and told by regimes."""

import numpy as np

BLOCKS, SHRINKAGES = 5, (0.0, *np.logspace(-4, 2, 13))


def told_linearly(x, y):
    """Ridge regression of y (n, k) on x (n, d), both less their means, by unseen blocks: A (d, k)."""
    rows = np.array_split(np.arange(len(x)), BLOCKS)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)

    def fit(seen, shrinkage):
        gram = x[seen].T @ x[seen]
        ridge = shrinkage * np.diag(gram).mean() * np.eye(len(gram))
        return np.linalg.solve(gram + ridge, x[seen].T @ y[seen])

    def error(shrinkage):
        unseen = [(block, np.setdiff1d(np.arange(len(x)), block)) for block in rows]
        return sum(((y[block] - x[block] @ fit(rest, shrinkage)) ** 2).sum() for block, rest in unseen)

    return fit(np.arange(len(x)), min(SHRINKAGES, key=error))


def skill(values, labels, learned, scored, area):
    """1 - errors of regime means over errors of the mean of all, both of the learned steps.

    values (t, p), labels (t,), learned and scored (t,) bool, area (p,).
    """
    errors = total = 0.0
    for step in np.flatnonzero(scored):
        for point in range(values.shape[1]):
            truth = values[step, point]
            if np.isnan(truth):
                continue
            same = learned & (labels == labels[step])
            errors += area[point] * (truth - np.nanmean(values[same, point])) ** 2
            total += area[point] * (truth - np.nanmean(values[learned, point])) ** 2
    return 1 - errors / total
