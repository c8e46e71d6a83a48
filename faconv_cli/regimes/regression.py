"""How much a field and the embedding tell of each other, in one pass over the field.

An embedding can be told from the field it was made of, whatever the file and the variable are called and
whether or not a mean was subtracted: projected on its regression maps, the field gives the modes back. The
maps come from the first half of the steps and are tried on the second, as a field of many points would
otherwise give back anything.
"""

from __future__ import annotations

import numpy as np


class Regression:
    """Running sums of anomalies times modes, block after block in time order.

    Args:
        modes: (t, d) of the steps, less their seasonal cycle.
        channels: number of channels, which the points (p,) of a block are made of.
        points: p.
    """

    def __init__(self, modes: np.ndarray, channels: int, points: int) -> None:
        self.modes, self.channels = modes, channels
        self.moments = np.zeros((modes.shape[1], points))
        self._maps = self.moments
        self._half, self._seen = len(modes) // 2, 0
        self._projections: list[np.ndarray] = []

    def add(self, anomalies: np.ndarray) -> None:
        """Take in the next anomalies (n, p), 0 where there is no value."""
        before = max(0, min(len(anomalies), self._half - self._seen))
        for part in (anomalies[:before], anomalies[before:]):
            if self._seen == self._half:
                self._maps = self.moments.copy()
            if self._seen >= self._half and len(part):
                self._projections.append(self._projected(part))
            self.moments += self.modes[self._seen : self._seen + len(part)].T @ part
            self._seen += len(part)

    def _projected(self, anomalies: np.ndarray) -> np.ndarray:
        """(n, c, d)."""
        own = anomalies.shape[1] // self.channels
        fields, maps = (x.reshape(len(x), self.channels, own) for x in (anomalies, self._maps))
        return np.asarray(np.einsum("ncp,dcp->ncd", fields, maps, optimize=True))

    def loadings(self, count: np.ndarray) -> np.ndarray:
        """(d, p) regression of the anomalies on the modes, where ``count`` (p,) steps have a value.

        The covariance of the modes is that of all steps, also at points that lack values at some.
        """
        covariance = self.modes.T @ self.modes / len(self.modes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.linalg.pinv(covariance, hermitian=True) @ (self.moments / count))

    def told(self) -> np.ndarray:
        """(c,) share of the embedding's variance that each channel gives back; NaN for too short a record."""
        modes = self.modes[self._half :]
        steps, width = modes.shape
        freedom = steps - width - 1
        if not width or freedom < steps / 2:
            return np.full(self.channels, np.nan)
        projections = np.concatenate(self._projections)
        return np.array([1 - _left(projections[:, c], modes) * steps / freedom for c in range(self.channels)])


def _left(predictors: np.ndarray, modes: np.ndarray) -> float:
    """Share of the variance of modes (n, d) that a linear fit to predictors (n, d) leaves."""
    x, y = (values - values.mean(axis=0) for values in (predictors, modes))
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float((rest**2).sum() / max((y**2).sum(), np.finfo(float).tiny))
