"""The steps of one time axis on another, by their dates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.time.calendars import alike
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

Indices = npt.NDArray[np.int64]


def same_dates(one: TimeAxis, other: TimeAxis) -> bool:
    """Whether a date of one is the same day on the other."""
    return alike({one.calendar, other.calendar}, float(np.floor(min(one.years[0], other.years[0]))))


def match_steps(data: TimeAxis, time: TimeAxis) -> Indices:
    """Find for each step of the data the step (t,) with the same stamp on another axis; -1 where none is,
    as on an axis of another calendar."""
    if not same_dates(data, time):
        return np.full(len(data), -1)
    return _rows(full_stamps(data), full_stamps(time))


def match_periods(data: TimeAxis, time: TimeAxis, sources: str) -> Indices:
    """Find for each step of the data the step (t,) on another axis that is of the same period; -1 if none.

    Steps of days, months and years are the same whatever place of them the stamps are at (noon or midnight,
    the first or the middle of a month); shorter ones by their stamps.

    Args:
        data: steps of the data.
        time: steps of the other record, which must have the same step.
        sources: files of the other record, for messages.

    Raises:
        InputError: another calendar, or another step.
    """
    if not same_dates(data, time):
        raise InputError(
            f"{sources}: the calendar is {time.calendar}, but that of the data is {data.calendar}",
            wanted="dates can only be matched within one calendar",
            do="give a record in the calendar of the data",
        )
    if data.step != time.step:
        raise InputError(
            f"{sources}: the time step is {time.step}, but that of the data is {data.step}",
            wanted="both must have the same time step",
            do="bring it to the step of the data (cdo daymean or monmean, xarray's resample)",
        )
    cut = _length(data)
    own, others = ([stamp[:cut] for stamp in full_stamps(axis)] for axis in (data, time))
    if len(set(others)) < len(others):  # not one step a period
        return match_steps(data, time)
    return _rows(own, others)


def full_stamps(time: TimeAxis) -> list[str]:
    """Stamps with the time of day, whether or not all are at midnight; numbers of steps as they are."""
    if not time.dated:
        return time.labels
    return [label if "T" in label else f"{label}T00:00:00" for label in time.labels]


def _length(time: TimeAxis) -> int | None:
    """Characters from the end of a stamp that tell places within a step, as the end of a slice."""
    if not time.dated or time.sub_daily:
        return None
    if time.step_months is None:
        return -len("T00:00:00")
    return -len("-01-01T00:00:00") if time.step_months % 12 == 0 else -len("-01T00:00:00")


def _rows(wanted: list[str], there: list[str]) -> Indices:
    known = {stamp: row for row, stamp in enumerate(there)}
    return np.array([known.get(stamp, -1) for stamp in wanted], np.int64)
