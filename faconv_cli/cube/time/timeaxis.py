"""The time axis: stamps of any CF calendar, the step between them, and the gaps no window may cross."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from faconv_cli.cube.time import timestep
from faconv_cli.cube.time.calendars import canonical
from faconv_cli.cube.time.timerange import parse_range
from faconv_cli.errors import InputError, UsageError

UNDATED = "none"  # CF's calendar of times that are not dates: numbers of steps
_DAY = 86400.0  # s
_REAL_CALENDARS = {"standard", "proleptic_gregorian", "julian"}  # CF 4.4 asks whether they have leap seconds
_REST = (31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months after February
_NUMBERS = re.compile(r"(-?\d+)?:(-?\d+)?")


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """Time stamps of a cube, strictly increasing.

    Attributes:
        values: (t,) datetime64[ns], cftime objects for other calendars and far years, or float64 numbers of
            steps where nothing is known of dates.
        calendar: CF name of the calendar (``standard``, ``noleap``, ``360_day``, ...); `UNDATED` for numbers.
        step: the usual step, as text: ``1 day``, ``6 hours``, ``1 month``, ``1 year``; undated ``1 step``.
        segments: runs [start, stop) of indices without a gap, in order, covering the axis.
    """

    values: npt.NDArray[Any]
    calendar: str
    step: str
    segments: tuple[tuple[int, int], ...]

    @classmethod
    def from_values(cls, values: npt.ArrayLike, calendar: str | None = None) -> TimeAxis:
        """Infer step and gaps from stamps in order.

        The step is in months where the month advances evenly, however long the months are; otherwise in days,
        hours, minutes or seconds. A gap is more than one such month step, or more than 1.5 steps.

        Args:
            values: (t,) datetime64 or cftime objects, or numbers of steps.
            calendar: CF name, where datetime64 stamps came from another than ``standard``.

        Raises:
            InputError: fewer than two stamps, or stamps that do not increase.
        """
        stamps = np.asarray(values)
        if stamps.dtype.kind == "M":
            stamps = stamps.astype("datetime64[ns]")
        elif stamps.dtype.kind in "iuf":
            stamps, calendar = stamps.astype(np.float64), UNDATED
        elif len(stamps):
            calendar = stamps[0].calendar
        if len(stamps) < 2:
            raise InputError(
                "there is only one time step" if len(stamps) else "there is no time step",
                wanted="faconv learns from how fields change over time",
                do="give a longer record, or all of its files at once",
            )
        axis = cls(stamps, canonical(calendar), "", ((0, len(stamps)),))
        axis._check_increasing()
        step, jumps = axis._infer_step()
        edges = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(stamps)]
        return cls(stamps, axis.calendar, step, tuple(pairwise(edges)))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dated(self) -> bool:
        """Whether the steps have dates; without dates there are no seasons, and `year_fraction` is 0."""
        return self.calendar != UNDATED

    @property
    def passes(self) -> tuple[tuple[int, int], ...]:
        """Runs [start, stop) in which time increases: one, or one for each member of an ensemble."""
        edges = [0, *(np.flatnonzero(np.diff(self.seconds) <= 0) + 1).tolist(), len(self)]
        return tuple(pairwise(edges))

    def need_one_pass(self) -> None:
        """Refuse several ensemble members if the output has one row per time step.

        Raises:
            UsageError: there are several.
        """
        if len(self.passes) > 1:
            raise UsageError(
                f"the data have {len(self.passes)} ensemble members, and all are used (--member all)",
                wanted="the output has one row per time step and can hold one member only",
                do="select one with --member, and run the command for each",
            )

    def repeated(self, times: int) -> TimeAxis:
        """Return the axis repeated several times, for members that follow each other as samples."""
        shifts = range(0, times * len(self), max(len(self), 1))
        segments = tuple((a + shift, b + shift) for shift in shifts for a, b in self.segments)
        return TimeAxis(np.tile(self.values, times), self.calendar, self.step, segments)

    def need_dates(self, option: str) -> None:
        """Refuse an option that needs dates if there are none.

        Raises:
            UsageError: the steps are numbered.
        """
        if not self.dated:
            raise UsageError(
                f"{option} needs dates, but the time steps have none",
                wanted="seasons and lengths of time need dates",
                do="leave it out",
            )

    def _infer_step(self) -> tuple[str, npt.NDArray[np.bool_]]:
        lengths = np.diff(self.seconds)
        return timestep.infer(lengths, np.diff(self._month_index) if self.dated else None)

    @cached_property
    def _components(self) -> npt.NDArray[np.int64]:
        """(t, 6): year, month, day, hour, minute, second."""
        if self.values.dtype.kind != "M":
            return np.array(
                [(v.year, v.month, v.day, v.hour, v.minute, v.second) for v in self.values], np.int64
            ).reshape(-1, 6)
        years, months, days = (self.values.astype(f"datetime64[{unit}]") for unit in "YMD")
        second = (self.values - days).astype("timedelta64[s]").astype(np.int64)
        return np.stack(
            [
                years.astype(np.int64) + 1970,
                months.astype(np.int64) % 12 + 1,
                (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
                second // 3600,
                second // 60 % 60,
                second % 60,
            ],
            axis=1,
        )

    @property
    def _month_index(self) -> npt.NDArray[np.int64]:
        return self._components[:, 0] * 12 + self._components[:, 1]

    @cached_property
    def seconds(self) -> npt.NDArray[np.float64]:
        """(t,) seconds, or undated steps, since the first stamp."""
        if not self.dated:
            return np.asarray(self.values - self.values[:1], np.float64)
        if self.values.dtype.kind == "M":
            return np.asarray((self.values - self.values[:1]).astype(np.int64) / 1e9, np.float64)
        return np.array([(value - self.values[0]).total_seconds() for value in self.values], np.float64)

    @cached_property
    def year_fraction(self) -> npt.NDArray[np.float64]:
        """(t,) in [0, 1): days since the year began over the length of that year, both of the calendar.

        Monthly steps count at the middle of the month, wherever in the month they are stamped.
        """
        if not self.dated:
            return np.zeros(len(self))
        if self.step == "1 month":
            return np.asarray((self.month - 0.5) / 12, np.float64)
        if self.values.dtype.kind == "M":
            start = self.values.astype("datetime64[Y]")
            length = (start + 1).astype("datetime64[ns]") - start
            return np.asarray((self.values - start) / length, np.float64)
        length = {int(year): self._year_length(int(year)) for year in np.unique(self._components[:, 0])}
        days = np.array([value.dayofyr - 1 for value in self.values], np.float64)
        return np.asarray(
            (days + self.day_fraction) / [length[int(year)] for year in self._components[:, 0]], np.float64
        )

    def _year_length(self, year: int) -> int:
        if self.calendar == "360_day":
            return 360
        has_zero = self.values[0].has_year_zero
        return int(cftime.datetime(year, 12, 31, calendar=self.calendar, has_year_zero=has_zero).dayofyr)

    @cached_property
    def day_fraction(self) -> npt.NDArray[np.float64]:
        """(t,) in [0, 1): time of the day."""
        if not self.dated:
            return np.zeros(len(self))
        if self.values.dtype.kind == "M":
            since_midnight = self.values - self.values.astype("datetime64[D]")
            return np.asarray(since_midnight / np.timedelta64(1, "D"), np.float64)
        hours, minutes, seconds = self._components[:, 3:].T
        micro = np.array([value.microsecond for value in self.values], np.float64)
        return np.asarray((hours * 3600 + minutes * 60 + seconds + micro / 1e6) / _DAY, np.float64)

    @property
    def month(self) -> npt.NDArray[np.int64]:
        """(t,) 1 to 12; undated 1 throughout."""
        return self._components[:, 1] if self.dated else np.ones(len(self), np.int64)

    @property
    def month_fraction(self) -> npt.NDArray[np.float64]:
        """(t,) in [0, 1): days since the month began over the length of that month, nearly; undated 0."""
        if not self.dated:
            return np.zeros(len(self))
        lengths = np.array([30 if self.calendar == "360_day" else n for n in (31, 28.25, *_REST)])
        days = self._components[:, 2] - 1 + self.day_fraction
        return np.asarray(np.minimum(days / lengths[self.month - 1], np.nextafter(1, 0)), np.float64)

    @property
    def years(self) -> npt.NDArray[np.float64]:
        """(t,) decimal years, or numbers of steps."""
        return self._components[:, 0] + self.year_fraction if self.dated else self.values

    @cached_property
    def labels(self) -> list[str]:
        """(t,) ISO 8601 stamps, to the second; dates only where every stamp is at midnight; or numbers."""
        if not self.dated:
            return [f"{value:.15g}" for value in self.values]
        date = "{:04d}-{:02d}-{:02d}"
        pattern = date if not self._components[:, 3:].any() else date + "T{:02d}:{:02d}:{:02d}"
        return [pattern.format(*map(int, row)) for row in self._components]

    @property
    def step_months(self) -> int | None:
        """The step in months where it is made of months or years, else ``None``."""
        return timestep.months_of(self.step)

    @property
    def step_days(self) -> float:
        """The step in days; a month counts as a twelfth of 365.2425 days; NaN where undated."""
        return timestep.days_of(self.step)

    @property
    def sub_daily(self) -> bool:
        """Whether the step is shorter than a day, so that the time of the day matters."""
        return self.step_days < 1

    @cached_property
    def irregular_steps(self) -> int:
        """How many steps inside segments differ from the usual one by more than a tenth."""
        if self.step_months is not None:
            odd = np.diff(self._month_index) != self.step_months
        else:
            usual = self.step_days * _DAY if self.dated else timestep.count_of(self.step)
            odd = np.abs(np.diff(self.seconds) / usual - 1) > 0.1
        inside = np.ones(len(self) - 1, bool)
        inside[[stop - 1 for _, stop in self.segments[:-1]]] = False
        return int((odd & inside).sum())

    def slice(self, start: int, stop: int) -> TimeAxis:
        """Return steps [start, stop) with the step of the whole axis."""
        start, stop, _ = slice(start, stop).indices(len(self))
        cut = ((max(a, start) - start, min(b, stop) - start) for a, b in self.segments)
        return TimeAxis(
            self.values[start:stop], self.calendar, self.step, tuple((a, b) for a, b in cut if a < b)
        )

    def after(self, index: int, count: int) -> TimeAxis:
        """Return the ``count`` stamps that follow step ``index`` by the usual step, as if there were no gap.

        Within a segment they are the record's own; a month later is the same day, or the month's last.
        """
        stop = next(stop for start, stop in self.segments if start <= index < stop)
        own = self.values[index + 1 : min(stop, index + 1 + count)]
        more = [self._later(index, lead) for lead in range(len(own) + 1, count + 1)]
        values = np.concatenate([own, np.array(more, self.values.dtype)])
        return TimeAxis(values, self.calendar, self.step, ((0, count),))

    def _later(self, index: int, steps: int) -> Any:
        """Return the stamp ``steps`` usual steps after step ``index``."""
        stamp = self.values[index]
        if not self.dated:
            return stamp + steps * timestep.count_of(self.step)
        if self.step_months is None:
            seconds = round(steps * self.step_days * _DAY, 3)
            if self.values.dtype.kind == "M":
                return stamp + np.timedelta64(round(seconds * 1e9), "ns")
            return stamp + datetime.timedelta(seconds=seconds)
        months = steps * self.step_months
        if self.values.dtype.kind == "M":
            return np.datetime64(pd.Timestamp(stamp) + pd.DateOffset(months=months), "ns")
        year, month = divmod(stamp.year * 12 + stamp.month - 1 + months, 12)
        return _in_month(stamp, year, month + 1)

    def take(self, steps: npt.NDArray[np.int64]) -> TimeAxis:
        """Return the steps at increasing indices, with the step of the whole axis.

        A segment is a run of neighbours: steps that something was left out between have a gap between them.
        """
        segment = np.searchsorted([stop for _, stop in self.segments], steps, side="right")
        breaks = (np.diff(steps) != 1) | (np.diff(segment) != 0)
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(steps)]
        return TimeAxis(self.values[steps], self.calendar, self.step, tuple(pairwise(edges)))

    def within(self, time_range: str) -> npt.NDArray[np.int64]:
        """Return the steps of ``FIRST:LAST`` (see `indices_of`) in every pass.

        Raises:
            InputError: not such a range, or no step within it.
        """
        return np.concatenate([self._in_pass(one, time_range) for one in self.passes])

    def _in_pass(self, one: tuple[int, int], time_range: str) -> npt.NDArray[np.int64]:
        return one[0] + np.arange(*self.slice(*one).indices_of(time_range))

    def indices_of(self, time_range: str) -> tuple[int, int]:
        """Return [start, stop) of ``FIRST:LAST``, each such as 1979, 1979-12, 1979-12-31 or 1979-12-31T06.

        LAST is inclusive of its whole period: ``1979:1980`` ends with December 1980. Either may be left out.
        Undated, both are numbers of steps.

        Raises:
            InputError: not such a range, or no step within it.
        """
        if not self.dated:
            return self._numbers_between(time_range)
        first, last = parse_range(time_range)
        rows = [tuple(map(int, row)) for row in self._components]
        inside = [i for i, row in enumerate(rows) if row[: len(first)] >= first and row[: len(last)] <= last]
        return self._ends(inside, time_range)

    def _numbers_between(self, time_range: str) -> tuple[int, int]:
        match = _NUMBERS.fullmatch(time_range.strip())
        if not match:
            raise InputError(
                f"time range {time_range!r} is not FIRST:LAST",
                wanted=f"the steps have no dates but are numbered from {self.labels[0]} to {self.labels[-1]}",
                do="give two of these numbers, as in 0:100",
            )
        first, last = (float(text) if text else None for text in match.groups())
        low, high = self.values[0] if first is None else first, self.values[-1] if last is None else last
        return self._ends(np.flatnonzero((self.values >= low) & (self.values <= high)).tolist(), time_range)

    def _ends(self, inside: list[int], time_range: str) -> tuple[int, int]:
        if not inside:
            raise InputError(
                f"no time step lies in {time_range}",
                wanted=f"the record covers {self.labels[0]} to {self.labels[-1]}",
                do="choose a range within it",
            )
        return inside[0], inside[-1] + 1

    def to_variable(self) -> xr.DataArray:
        """Return the axis as a CF coordinate ``time`` whose encoding writes units and calendar back."""
        if not self.dated:
            about = {"long_name": "number of the time step", "units": "1"}
            numbers = xr.DataArray(self.values, dims="time", name="time", attrs=about)
            numbers.encoding = {"dtype": "float64", "_FillValue": None}
            return numbers
        hours, minutes, seconds = self._components[:, 3:].T
        finest = (seconds | (self.seconds % 1 != 0), minutes, hours)
        units = next(
            (u for u, part in zip(("seconds", "minutes", "hours"), finest, strict=True) if part.any()), "days"
        )
        year, month, day = self._components[0, :3]
        attributes = {"standard_name": "time", "long_name": "time", "axis": "T"}
        if self.calendar in _REAL_CALENDARS:
            attributes["units_metadata"] = "leap_seconds: unknown"
        variable = xr.DataArray(self.values, dims="time", name="time", attrs=attributes)
        variable.encoding = {
            "units": f"{units} since {year:04d}-{month:02d}-{day:02d} 00:00:00",
            "calendar": self.calendar,
            "dtype": "float64",
            "_FillValue": None,
        }
        return variable

    def _check_increasing(self) -> None:
        steps = np.diff(self.seconds)
        if (steps > 0).all():
            return
        at = int(np.argmax(steps <= 0))
        same = steps[at] == 0
        raise InputError(
            f"time stamp {self.labels[at + 1]} " + ("occurs twice" if same else f"follows {self.labels[at]}"),
            wanted="time must increase from step to step",
            do="remove the duplicates" if same else "sort the record in time",
        )


def _in_month(stamp: Any, year: int, month: int) -> Any:
    """Move a cftime stamp to a month, to its last day where it has no such day."""
    for day in range(stamp.day, 0, -1):
        try:
            return stamp.replace(year=year, month=month, day=day)
        except ValueError:
            continue
    raise AssertionError("every month has a first day")
