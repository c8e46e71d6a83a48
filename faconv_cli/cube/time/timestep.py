"""The usual step between time stamps, as text such as ``6 hours``, and the gaps that are longer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_DAY, _HOUR = 86400.0, 3600.0  # s
_SHORTEST_MONTH = 27 * _DAY  # s; less than any month of any calendar
_UNITS = (("day", _DAY), ("hour", _HOUR), ("minute", 60.0), ("second", 1.0))
_GAP = 1.5  # steps: a longer one is a gap
_ROUNDED = 0.25  # of a step: how far rounding moves a stamp at most
_MONTHS = {"month": 1, "year": 12}


def infer(
    seconds: npt.NDArray[np.float64], months: npt.NDArray[np.int64] | None
) -> tuple[str, npt.NDArray[np.bool_]]:
    """Return the usual step as text, and which steps (t - 1,) jump over a gap.

    Args:
        seconds: (t - 1,) from one stamp to the next; numbers of steps where there are no dates.
        months: (t - 1,) the same in calendar months, or ``None`` where there are no dates.
    """
    if months is None:
        usual = _lower_median(seconds)
        return f"{usual:.15g} step{'' if usual == 1 else 's'}", seconds > _GAP * usual
    usual, usual_months = _lower_median(seconds), int(_lower_median(months))
    even = np.abs(seconds - usual) <= 0.01 * usual
    even_months = months == usual_months
    # two stamps may lie in neighbouring months by chance; three that do are monthly however they are placed
    by_month = usual_months >= 1 and (usual >= _SHORTEST_MONTH or (len(months) > 1 and even_months.all()))
    if by_month and even_months.sum() >= even.sum():
        count, unit = (usual_months // 12, "year") if usual_months % 12 == 0 else (usual_months, "month")
        return _plural(count, unit), months > usual_months
    return _name_step(_without_rounding(seconds, usual)), seconds > _GAP * usual


def _without_rounding(seconds: npt.NDArray[np.float64], usual: float) -> float:
    """Return the whole-hour step behind rounded stamps (such as days with two decimals), or the usual step.

    Rounding never adds up: each stamp of the longest run without a gap lies near its place.
    """
    gaps = np.flatnonzero(seconds > _GAP * usual)
    run = max((run[run <= _GAP * usual] for run in np.split(seconds, gaps)), key=len)
    mean = float(run.mean())
    near = bool(np.abs(np.cumsum(run - mean)).max() <= _ROUNDED * mean)
    return mean if near and _in_hours(mean) and not _in_hours(usual) else usual


def _in_hours(seconds: float) -> bool:
    hours = round(seconds / _HOUR)
    return hours > 0 and abs(seconds / _HOUR - hours) <= 0.01 * hours


def count_of(step: str) -> float:
    """The number in a step."""
    return float(step.split()[0])


def months_of(step: str) -> int | None:
    """A step in months where it is made of months or years, else ``None``."""
    months = _MONTHS.get(_unit(step))
    return None if months is None else int(count_of(step)) * months


def days_of(step: str) -> float:
    """A step in days; a month counts as a twelfth of 365.2425 days; NaN for steps without dates."""
    months = months_of(step)
    if months is not None:
        return months * 365.2425 / 12
    return count_of(step) * dict(_UNITS).get(_unit(step), math.nan) / _DAY


def _unit(step: str) -> str:
    return step.split()[1].rstrip("s")


def _lower_median(values: npt.NDArray[Any]) -> Any:
    """Middle value, the lower of two: a step that occurs, where a mean of two would not."""
    return np.sort(values)[(len(values) - 1) // 2]


def _name_step(seconds: float) -> str:
    for unit, size in _UNITS:
        count = round(seconds / size)
        if count and abs(seconds / size - count) <= 0.01 * count:
            return _plural(count, unit)
    return f"{seconds:g} seconds"


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
