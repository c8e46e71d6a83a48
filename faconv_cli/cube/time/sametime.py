"""Match the steps of two time axes by date."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.time.calendars import alike
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

Indices = npt.NDArray[np.int64]


def same_dates(one: TimeAxis, other: TimeAxis) -> bool:
    """Return whether a date means the same day on both axes."""
    return alike({one.calendar, other.calendar}, float(np.floor(min(one.years[0], other.years[0]))))


def match_steps(data: TimeAxis, time: TimeAxis) -> Indices:
    """Find for each step of the data the step (t,) with the same stamp on another axis; -1 where none is,
    as on an axis of another calendar."""
    if not same_dates(data, time):
        return np.full(len(data), -1)
    return _rows(full_stamps(data), full_stamps(time))


def match_periods(data: TimeAxis, time: TimeAxis, sources: str) -> Indices:
    """Find for each step of the data the step (t,) of the same period on another axis; -1 if there is none.

    Days, months and years match wherever in the period they are stamped (noon or midnight, the first or the
    middle of a month); shorter steps match by their stamps.

    Args:
        data: steps of the data.
        time: steps of the other record, which must have the same step.
        sources: files of the other record, for messages.

    Raises:
        InputError: another calendar, or another step.
    """
    if not same_dates(data, time):
        raise InputError(
            f"{sources} has the calendar {time.calendar}, but the data have {data.calendar}",
            wanted="both need the same calendar, as dates would mean different days",
            do="give a record in the calendar of the data",
        )
    if data.step != time.step:
        raise InputError(
            f"{sources} has a time step of {time.step}, but the data have {data.step}",
            wanted="both need the same time step",
            do="resample it to the step of the data (cdo daymean or monmean, or resample in xarray)",
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
