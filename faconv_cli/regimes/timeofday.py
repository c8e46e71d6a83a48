"""Whether regimes are times of the day, by month: what changes its sign with the season does not cancel."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2, entropy
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from faconv_cli.cube.shape.season import parse_season
from faconv_cli.cube.time.timeaxis import TimeAxis

# Of the mutual information there can be. Noise without a diurnal cycle stays below 0.03 in a season; what is
# left of a cycle as large as the weather gives 0.3.
TOLD = 0.1
CHANCE = 0.001  # of so much in a short record
SEASONS = ("DJF", "MAM", "JJA", "SON")


def told_by_hour(labels: np.ndarray, time: TimeAxis) -> str:
    """Name the season in which the hour of the day tells most of the regime; "" where it tells little in all.

    Args:
        labels: (t,) 1..k; others are left out.
        time: (t,) sub-daily.
    """
    hours = np.floor(24 * time.day_fraction + 1e-6)
    used = (labels > 0) & (np.diff(hours, prepend=-1) != 0)  # steps within an hour are no new evidence
    months = {
        month: _information(labels[at], hours[at])
        for month in range(1, 13)
        if (at := used & (time.month == month)).any()
    }
    told = {name: _told([months[m] for m in parse_season(name).months if m in months]) for name in SEASONS}
    worst = max(told, key=lambda name: told[name])
    return worst if told[worst] > TOLD else ""


def _information(labels: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Mutual information of labels and hours (n,) beyond that of chance, what it can be, both in nats times
    n, and degrees of freedom."""
    table = contingency_matrix(labels, hours, sparse=True).astype(np.int64)
    chance = expected_mutual_information(table, len(labels))
    most = min(entropy(np.unique(values, return_counts=True)[1]) for values in (labels, hours))
    found = mutual_info_score(None, None, contingency=table)
    rows, columns = table.shape
    return np.array(
        [len(labels) * (found - chance), len(labels) * (most - chance), (rows - 1) * (columns - 1)]
    )


def _told(months: list[np.ndarray]) -> float:
    """Share of what the hours can tell within the months of a season; 0 where it may be chance.

    Regimes that last make the hour tell less than independent steps would, so that the test is a strict one.
    """
    found, most, freedom = np.sum(months, axis=0) if months else np.zeros(3)
    if most <= 0 or chi2.sf(2 * found + freedom, freedom) > CHANCE:
        return 0.0
    return float(found / most)
