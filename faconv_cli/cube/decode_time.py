"""Time coordinates of files to stamps: what CF counts, and what files hold instead of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.lazy import first_line
from faconv_cli.cube.timeaxis import UNDATED
from faconv_cli.errors import InputError

_MONTHS = re.compile(r"(common_|calendar_)?(month|year)s?\s+since\s+(\S+(\s+\S+)?)", re.I)
_ABSOLUTE = re.compile(r"(?:day|month|year)s?\s+as\s+%Y(%m)?(%d)?(?:\.%f)?", re.I)  # of CDO
_NO_UNITS = {"", "1", "none", "-", "count", "index", "step", "steps", "timestep", "timesteps", "level"}
_TEXT = re.compile(r"(\d{4,5})-?(\d\d)?-?(\d\d)?(?:[T_ :]+(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?(?:\.\d*)?Z?")
_CALENDAR_ALIASES = {"360": "360_day", "365": "noleap", "366": "all_leap"}  # of the IRI data library


@dataclass(frozen=True)
class Stamps:
    """A decoded time coordinate.

    Attributes:
        values: (t,) datetime64[ns], cftime for other calendars and far years, or float64 numbers of steps.
        calendar: CF name of the calendar, as in the file; `UNDATED` for numbers of steps.
        note: how they were read, in a sentence, where CF alone does not say it.
    """

    values: npt.NDArray[Any]
    calendar: str
    note: str = ""


def decode_time(variable: xr.Variable, where: str) -> Stamps:
    """Decode a time coordinate of at most one dimension that is longer than one.

    Beside what CF counts since a date: months and years since; dates as numbers (YYYYMMDD.f, YYYYMMDDHH,
    YYYYMM, or as the units of CDO say) and as text (WRF); whole numbers without units, as numbers of steps
    or, named ``year``, as years.

    Args:
        variable: not decoded, or by an engine that did so unasked.
        where: file and name, for messages.

    Raises:
        InputError: units that cannot be understood, or stamps that are missing.
    """
    units = str(variable.attrs.get("units", "")).strip()
    calendar = str(variable.attrs.get("calendar", variable.encoding.get("calendar", "standard"))).lower()
    calendar = _CALENDAR_ALIASES.get(calendar, calendar)
    raw = np.atleast_1d(np.squeeze(variable.to_numpy()))
    if raw.dtype.kind == "M" or (raw.dtype.kind == "O" and isinstance(raw[0], cftime.datetime)):
        if raw.dtype.kind == "M" and np.isnat(raw).any():
            raise _undecodable(where, "has missing stamps")
        return Stamps(raw, calendar)
    if raw.dtype.kind in "SUOT":
        return _from_text(raw, where)
    if raw.dtype.kind in "fc" and not np.isfinite(raw).all():
        raise _undecodable(where, "has missing stamps")
    if match := _MONTHS.match(units):
        return _guarded(_months_since, where, units, raw, match, calendar)
    if match := _ABSOLUTE.match(units):
        return _guarded(_absolute, where, units, raw, 1 + len([g for g in match.groups() if g]), calendar)
    if units.lower() in _NO_UNITS:
        return _without_units(raw, where, calendar)
    return _guarded(_as_cf, where, units, raw, units, calendar)


def numbered(steps: int, first: float = 0.0) -> Stamps:
    """Stamps that only count."""
    note = "Time steps are numbered (--time-index): taken as evenly spaced, without dates and seasons."
    return Stamps(first + np.arange(steps, dtype=np.float64), UNDATED, note)


def _guarded(decode: Callable[..., Stamps], where: str, units: str, *arguments: Any) -> Stamps:
    try:
        stamps = decode(*arguments)
    except Exception as error:  # ValueError, OverflowError, KeyError: xarray and cftime differ
        raise _undecodable(where, f"has units {units!r} ({first_line(error)})") from None
    if stamps.values.dtype.kind not in "MO":
        raise _undecodable(where, f"has units {units!r}")
    return stamps


def _as_cf(raw: npt.NDArray[Any], units: str, calendar: str) -> Stamps:
    plain = xr.Variable(("time",), raw, {"units": units, "calendar": calendar})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)  # says that far years come as cftime
        return Stamps(xr.coders.CFDatetimeCoder(time_unit="ns").decode(plain).to_numpy(), calendar)


def _months_since(raw: npt.NDArray[Any], match: re.Match[str], calendar: str) -> Stamps:
    """Calendar months, as files mean it; UDUNITS would have all of them 30.44 days long."""
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
    """The day and time of ``start`` in a month counted from year 0, or the last day there is."""
    for day in range(start.day, 27, -1) if start.day > 28 else (start.day,):
        try:
            return cftime.datetime(
                month // 12, month % 12 + 1, day, start.hour, start.minute, start.second, calendar=calendar
            )
        except ValueError:
            continue
    raise ValueError(f"no day {start.day}")


def _absolute(raw: npt.NDArray[Any], parts: int, calendar: str) -> Stamps:
    """YYYY.f, YYYYMM.f or YYYYMMDD.f, the fraction being of that part."""
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


def _without_units(raw: npt.NDArray[Any], where: str, calendar: str) -> Stamps:
    numbers = raw.astype(np.float64)
    written = _written_dates(numbers)
    if written is not None:
        form, dates, parts = written
        stamps = _guarded(_absolute, where, form, dates, parts, calendar)
        return Stamps(stamps.values, calendar, f"Time has no units and is read as dates {form}.")
    if (numbers != np.floor(numbers)).any():
        raise _undecodable(where, f"has no units, and no whole numbers ({numbers[0]:g}, ...)")
    if re.search(r"\byear$", where, re.I) and ((numbers > 0) & (numbers < 10000)).all():
        stamps = _guarded(_absolute, where, "years", raw, 1, calendar)
        return Stamps(stamps.values, calendar, "Time is read as whole years.")
    note = "Time counts steps without a date: their numbers are taken as they are, without seasons."
    return Stamps(numbers, UNDATED, note)


def _written_dates(
    numbers: npt.NDArray[np.float64],
) -> tuple[str, npt.NDArray[np.float64], int] | None:
    """How numbers write dates, where all do: the form, the numbers and the parts for `_absolute`."""
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
    """Whether all numbers are dates YYYYMMDD of this millennium or the last, or fractions of a day more."""
    whole = np.floor(numbers + 1e-9)
    month, day = whole // 100 % 100, whole % 100
    inside = (whole >= 1000_01_01) & (whole <= 2999_12_31) & (month >= 1) & (month <= 12)
    return bool((inside & (day >= 1) & (day <= 31)).all())


def _from_text(raw: npt.NDArray[Any], where: str) -> Stamps:
    """Dates as text: ``2001-01-31_06:00:00`` of WRF, ISO 8601."""
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
        wanted="time must be counted as CF says, for example 'days since 1850-01-01', in a CF calendar",
        do="correct the coordinate in the file, or number the steps with --time-index",
    )
