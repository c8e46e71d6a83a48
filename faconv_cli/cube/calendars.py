"""Calendars by their CF names, and by the names that models and data libraries write for them."""

from __future__ import annotations

_NAMES = {
    "standard": "gregorian mixed",
    "proleptic_gregorian": "proleptic",
    "julian": "",
    "noleap": "no_leap 365_day 365_days 365day 365 common_year",
    "all_leap": "allleap 366_day 366_days 366day 366",
    "360_day": "360_days 360day 360 thirty_day_months thirty_day",
}
CALENDARS = tuple(_NAMES)
_CANONICAL = {alias: name for name, others in _NAMES.items() for alias in (name, *others.split())}


def canonical(name: str | None) -> str:
    """Give the CF name of a calendar; an unknown one comes back as it is, in lower case."""
    lowered = "_".join((name or "standard").lower().replace("-", " ").split()) or "standard"
    return _CANONICAL.get(lowered, lowered)
