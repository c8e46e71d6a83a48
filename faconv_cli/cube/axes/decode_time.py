"""Decode time coordinates: CF times, and other forms found in files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.roles import is_length
from faconv_cli.cube.axes.written import written
from faconv_cli.cube.time.calendars import CALENDARS, canonical
from faconv_cli.cube.time.timeaxis import UNDATED
from faconv_cli.errors import InputError, first_line

_MONTHS = re.compile(r"(common_|calendar_)?(month|year)s?\s+since\s+(\S+(\s+\S+)?)", re.I)
_SINCE = re.compile(r"(\w+)\s+since\s+(.+)", re.I)
_ABSOLUTE = re.compile(r"\w+\s+as\s+%Y(%m)?(%d)?(?:\.%f)?", re.I)  # written by CDO
_NO_UNITS = {"", "1", "none", "-", "count", "index", "step", "steps", "timestep", "timesteps", "level"}
_TEXT = re.compile(r"(\d{4,5})-?(\d\d)?-?(\d\d)?(?:[T_ :]+(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?(?:\.\d*)?Z?")
_DAY_OR_MONTH = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b.*")  # 01-02-2000 is February here, January there
_SECONDS = {
    "day": 86400.0,
    "d": 86400.0,
    "hour": 3600.0,
    "hr": 3600.0,
    "h": 3600.0,
    "min": 60.0,
    "minute": 60.0,
}
_WHOLE_SINGLE = 2**24  # single precision cannot hold all whole numbers above it


@dataclass(frozen=True)
class Stamps:
    """A decoded time coordinate.

    Attributes:
        values: (t,) datetime64[ns], cftime for other calendars and far years, or float64 numbers of steps.
        calendar: CF name of the calendar, as in the file; `UNDATED` for numbers of steps.
        note: how they were read, in sentences, if not by CF alone.
        spacing_s: seconds between neighbouring numbers if the file has single precision; else 0.
        moved: some were at the end of their interval and were moved to its middle.
    """

    values: npt.NDArray[Any]
    calendar: str
    note: str = ""
    spacing_s: float = 0.0
    moved: bool = False


def decode_time(variable: xr.Variable, where: str) -> Stamps:
    """Decode a time coordinate with at most one dimension longer than one.

    In addition to CF times: months and years since a date; dates as numbers (YYYYMMDD.f, YYYYMMDDHH, YYYYMM,
    or in the units of CDO) and as text (WRF); whole numbers without units, as step numbers or, if named
    ``year``, as years. Stamps at the end that were never written are dropped.

    Args:
        variable: not decoded, unless the engine always decodes.
        where: file and name, for messages.

    Raises:
        InputError: units or a calendar that cannot be understood, or missing stamps before the last.
    """
    raw, note = written(np.atleast_1d(np.squeeze(variable.to_numpy())), where)
    stamps = decode_raw(raw, variable, where)
    return replace(stamps, note=" ".join(filter(None, (stamps.note, note)))) if note else stamps


def decode_raw(raw: npt.NDArray[Any], variable: xr.Variable, where: str) -> Stamps:
    """Decode stamps (t,), none missing, by the attributes and encoding of ``variable``.

    Raises:
        InputError: units or a calendar that cannot be understood.
    """
    units = " ".join(str(variable.attrs.get("units", "")).split())
    calendar = canonical(str(variable.attrs.get("calendar", variable.encoding.get("calendar", ""))))
    if raw.dtype.kind == "M" or (raw.dtype.kind == "O" and len(raw) and isinstance(raw[0], cftime.datetime)):
        return Stamps(raw, calendar)
    if raw.dtype.kind in "SUOT":
        return _from_text(raw, where)
    stored = np.dtype(variable.encoding.get("dtype") or raw.dtype)
    if units.lower() in _NO_UNITS:
        return _without_units(raw, stored, where, calendar if calendar in CALENDARS else "standard")
    if calendar not in CALENDARS:
        raise InputError(
            f"{where} has the unknown calendar {calendar!r}",
            wanted=f"known calendars are {', '.join(CALENDARS)}, and their other names",
            do="set the calendar attribute to one of these, or number the steps with --time-index",
        )
    if match := _MONTHS.match(units):
        return _guarded(_months_since, where, units, raw, match, calendar)
    if match := _ABSOLUTE.match(units):
        parts = 1 + len([group for group in match.groups() if group])
        _check_digits(raw, stored, where, parts)
        return _guarded(_absolute, where, units, raw, parts, calendar)
    _check_overflow(raw, stored, where)
    stamps = _guarded(_as_cf, where, units, raw, units, calendar)
    return replace(stamps, spacing_s=_spacing(raw) * _seconds_in(units))


def numbered(steps: int, first: float = 0.0) -> Stamps:
    """Return stamps that number the steps."""
    note = "Time steps are numbered (--time-index). They count as evenly spaced, without dates or seasons."
    return Stamps(first + np.arange(steps, dtype=np.float64), UNDATED, note)


def _guarded(decode: Callable[..., Stamps], where: str, units: str, *arguments: Any) -> Stamps:
    if is_length(units):
        raise _undecodable(where, f"has units {units!r} without a reference date")
    try:
        stamps = decode(*arguments)
    except Exception as error:  # ValueError, OverflowError, KeyError: xarray and cftime differ
        raise _undecodable(where, f"has units {units!r} ({first_line(error)})") from None
    if stamps.values.dtype.kind not in "MO":
        raise _undecodable(where, f"has units {units!r}")
    if stamps.values.dtype.kind == "O" and any(s.year < 1 and not s.has_year_zero for s in stamps.values):
        raise _undecodable(
            where, f"holds dates before year 1, which calendar {stamps.calendar!r} does not have"
        )
    return stamps


def _as_cf(raw: npt.NDArray[Any], units: str, calendar: str) -> Stamps:
    if match := _SINCE.fullmatch(units):
        unit, since = match[1].lower(), match[2]
        if _DAY_OR_MONTH.fullmatch(since):
            raise ValueError("a date whose day and month cannot be told apart")
        weeks = unit in ("week", "weeks")
        raw, units = (raw * 7.0, f"days since {since}") if weeks else (raw, f"{unit} since {since}")
    plain = xr.Variable(("time",), raw, {"units": units, "calendar": calendar})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray and cftime warn about distant years, decoded correctly
        try:
            return Stamps(xr.coders.CFDatetimeCoder(time_unit="ns").decode(plain).to_numpy(), calendar)
        except ValueError:  # xarray's text is about its own options; cftime raises a clearer error
            cftime.num2date(raw, units, calendar, only_use_cftime_datetimes=True)
            raise


def _spacing(raw: npt.NDArray[Any]) -> float:
    """Return the spacing of single-precision numbers if all values fit into that precision; else 0."""
    if raw.dtype.kind != "f" or not len(raw):
        return 0.0
    single = raw.astype(np.float32)
    return float(np.spacing(np.abs(single).max())) if (single == raw).all() else 0.0


def _seconds_in(units: str) -> float:
    unit = units.split()[0].lower()
    return 7 * _SECONDS["day"] if unit.startswith("week") else _SECONDS.get(unit.rstrip("s"), 1.0)


def _check_overflow(raw: npt.NDArray[Any], stored: np.dtype[Any], where: str) -> None:
    """Refuse an integer counter that overflowed and continued in the distant past."""
    if stored.kind != "i" or stored.itemsize > 4:
        return
    falls = np.diff(raw.astype(np.float64)) < -(2.0 ** (8 * stored.itemsize - 1))
    if falls.any():
        raise _undecodable(
            where, f"overflows its {8 * stored.itemsize} bits after stamp {int(np.argmax(falls)) + 1}"
        )


def _check_digits(raw: npt.NDArray[Any], stored: np.dtype[Any], where: str, parts: int) -> None:
    """Refuse dates YYYYMMDD in single precision, which cannot distinguish neighbouring days."""
    if parts == 3 and stored.kind == "f" and stored.itemsize <= 4 and (np.abs(raw) > _WHOLE_SINGLE).any():
        raise _undecodable(
            where, f"holds {raw[0]:.0f}, ... in single precision, which cannot distinguish neighbouring days"
        )


def _months_since(raw: npt.NDArray[Any], match: re.Match[str], calendar: str) -> Stamps:
    """Decode months or years as calendar months, as files mean them; a UDUNITS month has 30.44 days."""
    start = cftime.num2date(0, f"days since {match[3]}", calendar, only_use_cftime_datetimes=True)
    count = raw.astype(np.float64) * (12 if match[2].lower() == "year" else 1)
    whole = np.floor(count + 1e-6).astype(np.int64)
    month = start.year * 12 + start.month - 1 + whole
    parts = [_month_start(int(m), start, calendar) for m in (*month, *(month + 1))]
    begin, end = np.array(parts[: len(month)]), np.array(parts[len(month) :])
    share = np.clip(count - whole, 0, 1)
    seconds = [round(s * (b - a).total_seconds()) for s, a, b in zip(share, begin, end, strict=True)]
    units = "seconds since 1970-01-01"
    numbers = cftime.date2num(begin, units, calendar) + np.array(seconds)
    note = f"Time is counted in calendar {match[2].lower()}s since {match[3]}."
    return Stamps(_as_cf(numbers, units, calendar).values, calendar, note)


def _month_start(month: int, start: cftime.datetime, calendar: str) -> cftime.datetime:
    """Return the day and time of ``start`` in a month counted from year 0, or its last day."""
    for day in range(start.day, 27, -1) if start.day > 28 else (start.day,):
        try:
            return cftime.datetime(
                month // 12, month % 12 + 1, day, start.hour, start.minute, start.second, calendar=calendar
            )
        except ValueError:
            continue
    raise ValueError(f"no day {start.day}")


def _absolute(raw: npt.NDArray[Any], parts: int, calendar: str) -> Stamps:
    """Decode YYYY.f, YYYYMM.f or YYYYMMDD.f, with the fraction of the last part."""
    numbers = raw.astype(np.float64)
    whole = np.floor(numbers + 1e-9).astype(np.int64)
    scale = 100 ** (3 - parts)
    dates = whole * scale + (101 if parts == 1 else 1 if parts == 2 else 0)
    split = (dates // 10000, dates // 100 % 100, dates % 100)
    begin = [
        cftime.datetime(int(y), int(m), int(d), calendar=calendar) for y, m, d in zip(*split, strict=True)
    ]
    units = "seconds since 1970-01-01"
    length = {1: 365.2425, 2: 30.436875, 3: 1.0}[parts] * 86400
    seconds = np.round(np.clip(numbers - whole, 0, 1) * length, 0)
    return Stamps(_as_cf(cftime.date2num(begin, units, calendar) + seconds, units, calendar).values, calendar)


def _without_units(raw: npt.NDArray[Any], stored: np.dtype[Any], where: str, calendar: str) -> Stamps:
    _check_digits(raw, stored, where, 3)
    numbers = raw.astype(np.float64)
    as_dates = _written_dates(numbers)
    if as_dates is not None:
        form, dates, parts = as_dates
        stamps = _guarded(_absolute, where, form, dates, parts, calendar)
        return Stamps(stamps.values, calendar, f"Time has no units and is read as dates {form}.")
    if (numbers != np.floor(numbers)).any():
        raise _undecodable(where, f"has no units and is not whole numbers ({numbers[0]:g}, ...)")
    if re.search(r"\byear$", where, re.I) and ((numbers > 0) & (numbers < 10000)).all():
        stamps = _guarded(_absolute, where, "years", raw, 1, calendar)
        return Stamps(stamps.values, calendar, "Time is read as whole years.")
    note = "Time numbers the steps without dates. The numbers are used as they are, without seasons."
    return Stamps(numbers, UNDATED, note)


def _written_dates(
    numbers: npt.NDArray[np.float64],
) -> tuple[str, npt.NDArray[np.float64], int] | None:
    """Return the date form of numbers, if all are dates: form, numbers and parts for `_absolute`."""
    if _are_dates(numbers):
        return "YYYYMMDD", numbers, 3
    if (numbers != np.floor(numbers)).any():
        return None
    if _are_dates(numbers // 100) and (numbers % 100 < 24).all():
        return "YYYYMMDDHH", numbers // 100 + numbers % 100 / 24, 3
    if _are_dates(numbers * 100 + 1):
        return "YYYYMM", numbers, 2
    return None


def _are_dates(numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether all numbers are dates YYYYMMDD(.f) of this or the last millennium."""
    whole = np.floor(numbers + 1e-9)
    month, day = whole // 100 % 100, whole % 100
    inside = (whole >= 1000_01_01) & (whole <= 2999_12_31) & (month >= 1) & (month <= 12)
    return bool((inside & (day >= 1) & (day <= 31)).all())


def _from_text(raw: npt.NDArray[Any], where: str) -> Stamps:
    """Decode dates as text: WRF (``2001-01-31_06:00:00``) and ISO 8601."""
    texts = [one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in raw]
    matches = [_TEXT.fullmatch(text.strip()) for text in texts]
    if None in matches:
        bad = texts[matches.index(None)]
        raise _undecodable(where, f"holds the text {bad!r}")
    parts = [[int(p or d) for p, d in zip(m.groups(), "011000", strict=True)] for m in matches if m]
    stamps = _guarded(_from_parts, where, "text", parts)
    return Stamps(stamps.values, "standard", "Time is read from text.")


def _from_parts(parts: list[list[int]]) -> Stamps:
    units = "seconds since 1970-01-01"
    stamps = [cftime.datetime(*row, calendar="proleptic_gregorian") for row in parts]
    return _as_cf(cftime.date2num(stamps, units, "proleptic_gregorian"), units, "proleptic_gregorian")


def _undecodable(where: str, what: str) -> InputError:
    return InputError(
        f"{where} {what}",
        wanted="time must have CF units, for example 'days since 1850-01-01', and a CF calendar",
        do="fix the units of the coordinate in the file, or number the steps with --time-index",
    )
