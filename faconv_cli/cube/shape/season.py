"""Seasons: months of the year, as the user writes them and as steps of a record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.errors import InputError, UsageError

_INITIALS = "JFMAMJJASOND"


@dataclass(frozen=True)
class Season:
    """Months of the year.

    Attributes:
        name: as the user wrote it (``DJF``, ``12,1,2``), or ``all``.
        months: 1..12, in the order of the season.
    """

    name: str
    months: tuple[int, ...]


WHOLE_YEAR = Season("all", tuple(range(1, 13)))


def parse_season(text: str | None) -> Season:
    """Parse month initials (``DJF``, ``NDJFM``), month numbers (``12,1,2``), or None for the whole year.

    Raises:
        UsageError: not a run of months, or initials that are ambiguous (``J``, ``M``).
    """
    if text is None or text.lower() == WHOLE_YEAR.name:
        return WHOLE_YEAR
    name = text.strip().upper()
    months = _months_of_numbers(name) or _months_of_initials(name)
    if not months:
        raise UsageError(
            f"--season {text!r} is not a run of months",
            wanted="a season is a run of month initials (DJF, NDJFM) or a list of month numbers (12,1,2)",
            do="write it as in --season DJF",
        )
    return Season(name, months)


def _months_of_numbers(name: str) -> tuple[int, ...]:
    parts = [part.strip() for part in name.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 12 for part in parts):
        return ()
    return tuple(dict.fromkeys(int(part) for part in parts))


def _months_of_initials(name: str) -> tuple[int, ...]:
    year_twice = _INITIALS * 2
    if not 0 < len(name) <= 12:
        return ()
    starts = [start for start in range(12) if year_twice.startswith(name, start)]
    if len(starts) > 1:
        raise UsageError(
            f"--season {name} is ambiguous: it fits {len(starts)} places in the year",
            wanted="a season must name its months uniquely",
            do="give month numbers, such as --season 7 or --season 5,6",
        )
    return tuple((start + step) % 12 + 1 for start in starts for step in range(len(name)))


def keep_season(cube: Cube, text: str) -> Cube:
    """Keep the steps of a season; runs without gaps end where a season ends.

    Raises:
        UsageError: not a season.
        InputError: no step lies in the season.
    """
    season = parse_season(text)
    cube.time.need_dates(f"--season {season.name}")
    steps = np.flatnonzero(np.isin(cube.time.month, season.months))
    if not len(steps):
        raise InputError(
            f"{', '.join(cube.sources)}: no time step lies in --season {season.name}",
            wanted=f"the record covers {cube.time.labels[0]} to {cube.time.labels[-1]}",
            do="choose other months",
        )
    note = f"Season {season.name}: {len(steps)} of {len(cube.time)} time steps are kept."
    return cube.take(steps).noted(note)
