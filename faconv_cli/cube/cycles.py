"""Which cycles to take off a record, as its steps and length allow, and what is left of the diurnal one."""

from __future__ import annotations

from typing import Literal

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import UsageError

Kind = Literal[
    "none",
    "constant",
    "mean",
    "monthly",
    "daily",
    "diurnal",
    "seasonal-diurnal",
    "hourly",
    "monthly and diurnal",
]

# Harmonics of the year that change the diurnal cycle; of one year, a second would be that of its weather.
SEASONS_OF_DAY = {"diurnal": 0, "seasonal-diurnal": 1, "hourly": 2, "monthly and diurnal": 1}
SHORTEST_RECORD = 2.0  # years; a seasonal cycle of less is the weather of one year
SHORTEST_DIURNAL = 5.0  # days; a diurnal cycle of less is the weather of a few days
# Share of the year that may be unseen where the diurnal cycle changes with the season. Measured, six-hourly:
# where nothing changes, 12, 9, 6 and 3 months of training in red noise of 3 K are wrong over the year by
# 0.07, 0.09, 0.2 and 1.1 K. Of a change of 1.5 K in noise of 2 K, by 0.3, 0.4, 0.7 and 1.4 K; one cycle for
# all leaves 1.5 to 2 K.
LARGEST_HOLE = 0.25
STEADY_DIURNAL = 1 / 6  # of the year, in which a diurnal cycle hardly changes


def resolve_anomaly(
    kind: Literal["auto", "none", "monthly", "daily", "diurnal", "seasonal-diurnal", "hourly"], time: TimeAxis
) -> Kind:
    """Choose the cycles for ``auto``: hourly below a day, daily below a month, monthly below a year.

    A training period of less than two years has no seasonal cycle that could be told from its weather: it
    gets none, or, below a day, the diurnal one alone. That one may change with the season where nine months
    of the year are seen, as the weather of many days stands behind each hour of a season.

    Raises:
        UsageError: cycles that the steps do not have, or too little of the year for one that changes.
    """
    if kind not in ("auto", "none"):
        _need_steps(kind, time)
    if kind != "auto":
        return kind
    if not time.dated:
        return "none"
    covered = time.years[-1] - time.years[0] + 1.5 * time.step_days / 365.2425
    if covered >= SHORTEST_RECORD and time.step_days <= 360:
        return "hourly" if time.sub_daily else "daily" if time.step_months is None else "monthly"
    if not time.sub_daily or covered * 365.2425 < SHORTEST_DIURNAL:
        return "none"
    return "seasonal-diurnal" if _hole(time) <= LARGEST_HOLE else "diurnal"


def _need_steps(kind: str, time: TimeAxis) -> None:
    """Refuse cycles that the steps do not have."""
    time.need_dates(f"--anomaly {kind}")
    if kind in SEASONS_OF_DAY and not time.sub_daily:
        raise UsageError(
            f"--anomaly {kind} is not possible with time steps of {time.step}",
            wanted="a diurnal cycle needs steps shorter than a day",
            do="use --anomaly daily or --anomaly monthly",
        )
    if kind == "seasonal-diurnal" and (hole := _hole(time)) > LARGEST_HOLE:
        raise UsageError(
            f"--anomaly {kind} is not possible: the training period covers {_months(1 - hole)} of the year",
            wanted=f"a diurnal cycle that changes with the season needs {_months(1 - LARGEST_HOLE)} of it",
            do="give a longer record, or use --anomaly diurnal",
        )


def _hole(time: TimeAxis) -> float:
    """Largest share of the calendar year in which no step of any year lies."""
    seen = np.unique(time.year_fraction)
    return float(np.diff(seen, append=seen[0] + 1).max())


def _months(share: float) -> str:
    months = round(12 * share)
    return f"{months} month{'' if months == 1 else 's'}"


def diurnal_left(kind: Kind, cube: Cube) -> list[str]:
    """Report a diurnal cycle, or its seasonal change, that is left in the anomalies of a cube."""
    time = cube.time
    if not time.sub_daily or any(channel.anomaly for channel in cube.channels):
        return []
    if kind not in SEASONS_OF_DAY:
        return [
            "The diurnal cycle is not removed, so modes and regimes may be times of the day (--anomaly "
            "hourly, seasonal-diurnal or diurnal removes it)."
        ]
    seen = 1 - _hole(time)
    if kind != "diurnal" or seen <= STEADY_DIURNAL:
        return []
    return [
        f"The seasonal change of the diurnal cycle is not removed: one cycle is used for "
        f"{_months(seen)} of the year, so modes and regimes may be times of the day (--anomaly "
        "seasonal-diurnal removes one that "
        f"changes, where training sees {_months(1 - LARGEST_HOLE)} of the year)."
    ]


def told(kind: Kind) -> str:
    """Describe what is subtracted."""
    return {
        "none": "nothing",
        "constant": "the mean of all points",
        "mean": "the mean of each point",
        "monthly": "the mean of each calendar month",
        "daily": "a smooth seasonal cycle (daily)",
        "diurnal": "the diurnal cycle",
        "seasonal-diurnal": "the diurnal cycle of the season (seasonal-diurnal)",
        "hourly": "a smooth seasonal cycle and the diurnal cycle of the season (hourly)",
        "monthly and diurnal": "the mean of each calendar month and the diurnal cycle of the season",
    }[kind]
