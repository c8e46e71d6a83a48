"""Verification: error and anomaly correlation by lead time, beside persistence and climatology."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faconv_cli.forecast.run import Forecasts

METHODS = ("forecast", "persistence", "climatology")


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores by channel and lead, NaN where nothing could be verified.

    Attributes:
        rmse: of each of `METHODS` (c, lead), in the channels' units.
        acc: anomaly correlation of the forecast and of persistence (c, lead).
        count: (c, lead) forecasts that were verified.
    """

    rmse: dict[str, np.ndarray]
    acc: dict[str, np.ndarray]
    count: np.ndarray


class Verification:
    """Sums scores over batches of forecasts.

    RMSE is the root of the mean over starts of the area-weighted mean square. The anomaly correlation is
    Σ w a b / √(Σ w a² Σ w b²) over the points of one forecast, a and b anomalies from the climatology of the
    training period, averaged over starts (Rasp et al. 2024, WeatherBench 2, arXiv 2308.15560). Persistence
    keeps the anomaly of the start; climatology has none, and no correlation.

    Args:
        area: (h, w) share of the area.
        std: (c,) of the anomalies, in the channels' units.
        mean: (c,) of the anomalies, in units of ``std``.
    """

    def __init__(self, area: np.ndarray, std: np.ndarray, mean: np.ndarray) -> None:
        self._area, self._std, self._mean = area, std, mean
        self._squares: dict[str, np.ndarray] = {}
        self._correlations: dict[str, np.ndarray] = {}
        self._count: np.ndarray = np.zeros(1)

    def add(self, forecasts: Forecasts) -> None:
        """Add a batch."""
        truth = forecasts.truth
        persistence = np.broadcast_to(forecasts.seen[:, None], truth.shape)
        climatology = np.broadcast_to(-self._mean[:, None, None], truth.shape)
        known = np.isfinite(truth) & np.isfinite(forecasts.anomalies) & np.isfinite(persistence)
        weight = np.where(known, self._area, 0.0)
        total = weight.sum((-2, -1))
        verified = total > 0
        weight /= np.where(verified, total, 1.0)[..., None, None]
        self._count = self._count + verified.sum(0).T
        for name, values in zip(METHODS, (forecasts.anomalies, persistence, climatology), strict=True):
            error = np.where(known, values - truth, 0.0)
            self._sum(self._squares, name, (weight * error**2).sum((-2, -1)), verified)
            if name != "climatology":
                self._sum(self._correlations, name, self._correlation(values, truth, known, weight), verified)

    def scores(self) -> Scores:
        """Return the scores of everything added."""
        count = np.where(self._count, self._count, np.nan)
        rmse = {name: np.sqrt(total / count) * self._std[:, None] for name, total in self._squares.items()}
        acc = {name: total / count for name, total in self._correlations.items()}
        return Scores(rmse, acc, self._count.astype(np.int64))

    def _correlation(
        self, values: np.ndarray, truth: np.ndarray, known: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Correlate anomalies (n, lead, c, h, w) over points: (n, lead, c)."""
        mean = self._mean[:, None, None]
        a, b = (np.where(known, field + mean, 0.0) for field in (values, truth))
        both, one, other = ((weight * product).sum((-2, -1)) for product in (a * b, a * a, b * b))
        correlation: np.ndarray = both / np.sqrt(np.maximum(one * other, 1e-300))
        return correlation

    @staticmethod
    def _sum(sums: dict[str, np.ndarray], name: str, values: np.ndarray, verified: np.ndarray) -> None:
        """Add values (n, lead, c) that count to the sum (c, lead) of their name."""
        sums[name] = sums.get(name, 0.0) + np.where(verified, values, 0.0).sum(0).T
