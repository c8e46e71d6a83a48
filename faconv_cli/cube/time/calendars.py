"""Calendars by their CF names, and by the names that models and data libraries write for them."""

from __future__ import annotations

import re

_NAMES = {
    "standard": "gregorian mixed mixed_gregorian",
    "proleptic_gregorian": "proleptic",
    "julian": "",
    "noleap": "no_leap 365 common",
    "all_leap": "allleap 366",
    "360_day": "thirty thirty_months",
}
CALENDARS = tuple(_NAMES)
_IDLE = {"day", "days", "year", "years", "calendar", "cal"}  # words that tell no calendar from another


def _key(name: str) -> tuple[str, ...]:
    """Return the words of a name that matter, in any order: 360days, 365_day_year, gregorian_proleptic."""
    return tuple(
        sorted(word for word in re.findall(r"[^\W\d_]+|\d+|\S", name) if word not in {*_IDLE, "_", "-"})
    )


_CANONICAL = {_key(alias): name for name, others in _NAMES.items() for alias in (name, *others.split())}


_ALIKE_SINCE_1582 = {"standard", "proleptic_gregorian"}


def alike(calendars: set[str], first_year: float) -> bool:
    """Whether CF calendars name the days from a year on alike."""
    return len(calendars) == 1 or (calendars <= _ALIKE_SINCE_1582 and first_year > 1582)


def canonical(name: str | None) -> str:
    """Return the CF name of a calendar; an unknown one comes back as it is, in lower case."""
    lowered = "_".join((name or "standard").lower().replace("-", " ").split()) or "standard"
    return _CANONICAL.get(_key(lowered), lowered)
