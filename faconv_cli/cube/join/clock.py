"""Turn the time stamps of many files into comparable integers, free of rounding noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt

from faconv_cli.cube.axes.conventions import Layer
from faconv_cli.cube.time.calendars import alike
from faconv_cli.cube.time.rounding import Keys, rounded
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.errors import InputError

_PER_NUMBER = 1000  # keys per numbered step, as lead times may be fractions
_NANO, _MICRO = 10**9, 10**6
_SILENT_S = 1e-5  # rounding error of times in double precision, which is not worth a note
_MICROSECONDS = "microseconds since 1970-01-01"


@dataclass(frozen=True)
class Clock:
    """How time stamps are counted.

    Attributes:
        calendar: CF name, or `UNDATED`.
        per_second: keys per second, or per numbered step.
    """

    calendar: str
    per_second: int

    def keys_of(self, layer: Layer) -> Keys:
        """Return the stamps (t,) of a layer as keys."""
        stamps = layer.stamps.values
        if self.calendar == UNDATED:
            return np.round(stamps * _PER_NUMBER).astype(np.int64)
        if stamps.dtype.kind == "M":
            unit = "ns" if self.per_second == _NANO else "us"
            return stamps.astype(f"datetime64[{unit}]").astype(np.int64)
        return np.asarray(cftime.date2num(stamps, _MICROSECONDS, layer.stamps.calendar), np.int64)

    def stamps_of(self, keys: Keys) -> npt.NDArray[Any]:
        """Return keys (t,) as dates or numbers."""
        if self.calendar == UNDATED:
            return np.asarray(keys / _PER_NUMBER)
        if self.per_second == _NANO:
            return keys.astype("datetime64[ns]")
        return np.asarray(cftime.num2date(keys, _MICROSECONDS, self.calendar, only_use_cftime_datetimes=True))

    def axis(self, keys: Keys) -> TimeAxis:
        """Return keys as a time axis.

        Raises:
            InputError: if there are fewer than two.
        """
        return TimeAxis.from_values(self.stamps_of(keys), self.calendar)


def wind(entries: Sequence[Sequence[Layer]], notes: list[str]) -> tuple[Clock, dict[int, Keys]]:
    """Count the stamps of all layers, of one or several channels, and round off noise.

    Returns:
        The clock, and the keys (t,) of each layer by its ``id``.

    Raises:
        InputError: if calendars differ.
    """
    layers = [layer for entry in entries for layer in entry]
    clock = _clock(layers)
    distinct = {id(layer.stamps): layer for layer in layers}  # levels of a file share their stamps
    own = {stamps: clock.keys_of(layer) for stamps, layer in distinct.items()}
    keys = {id(layer): own[id(layer.stamps)] for layer in layers}
    if clock.calendar == UNDATED or not any(map(len, keys.values())):
        return clock, keys
    steps = [_usual_step([keys[id(layer)] for layer in entry]) for entry in entries]
    step_s = min(filter(None, steps), default=0) / clock.per_second
    spacing_s = max(layer.stamps.spacing_s for layer in layers)
    result = rounded(list(own.values()), step_s, clock.per_second, spacing_s)
    if result.off_s > _SILENT_S:
        notes.append(
            f"Time stamps are rounded to multiples of {_told(result.unit_s)}, because the precision of the "
            f"file puts them off by up to {_told(result.off_s)}."
        )
    elif not result.unit_s and spacing_s > 0.01 * step_s and _uneven(result.keys):
        notes.append(
            f"Time is stored in single precision, exact only to {_told(spacing_s)}; time steps may be wrong."
        )
    own = dict(zip(own, result.keys, strict=True))
    return clock, {id(layer): own[id(layer.stamps)] for layer in layers}


def _clock(layers: list[Layer]) -> Clock:
    first = layers[0]
    calendar = first.stamps.calendar
    for other in layers:
        if other.stamps.calendar != calendar and not _alike(first, other):
            told = ["no dates" if x.stamps.calendar == UNDATED else x.stamps.calendar for x in (first, other)]
            raise InputError(
                f"{first.field.path} has calendar {told[0]}, but {other.field.path} has {told[1]}",
                wanted="all files must have the same calendar",
                do="give only files of one calendar, or convert one (convert_calendar in xarray)",
            )
    if calendar == UNDATED:
        return Clock(calendar, _PER_NUMBER)
    nano = all(layer.stamps.values.dtype.kind == "M" for layer in layers)
    return Clock(calendar, _NANO if nano else _MICRO)


def _alike(one: Layer, other: Layer) -> bool:
    """Return whether two calendars give the same dates, as the Gregorian ones do since October 1582."""
    stamps = [stamp for layer in (one, other) for stamp in layer.stamps.values[[0, -1]]]
    first = min(
        (getattr(stamp, "year", np.inf) for stamp in stamps), default=np.inf
    )  # datetime64 is always later
    return alike({one.stamps.calendar, other.stamps.calendar}, first)


def _usual_step(keys: list[Keys]) -> int:
    """Return the shortest usual step of the files, or that between files of one step; 0 if there is none."""
    long = [own for own in keys if len(own) > 1] or [np.concatenate(keys)]
    steps = [np.diff(np.unique(own)) for own in long]
    return min((int(np.sort(own)[(len(own) - 1) // 2]) for own in steps if len(own)), default=0)


def _uneven(keys: Sequence[Keys]) -> bool:
    steps = np.diff(np.unique(np.concatenate(list(keys))))
    return bool(len(steps) and np.ptp(steps) > 0)


def _told(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:.2g} seconds"
