"""What a user says on the command line, understood: how many regimes, and which season."""

from __future__ import annotations

from dataclasses import dataclass

from faconv_cli.errors import UsageError

MAX_CLUSTERS = 127  # regime(time) is a signed byte
_INITIALS = "JFMAMJJASOND"


@dataclass(frozen=True)
class Season:
    """Months of the year that are clustered.

    Attributes:
        name: as the user wrote it (``DJF``, ``12,1,2``), or ``all``.
        months: 1..12, in the order of the season.
    """

    name: str
    months: tuple[int, ...]


WHOLE_YEAR = Season("all", tuple(range(1, 13)))


def parse_season(text: str | None) -> Season:
    """Read a run of month initials (``DJF``, ``NDJFM``), month numbers (``12,1,2``), or None for all.

    Raises:
        UsageError: not a run of months, or one that fits more than one place in the year (``J``, ``M``).
    """
    if text is None or text.lower() == WHOLE_YEAR.name:
        return WHOLE_YEAR
    name = text.strip().upper()
    months = _months_of_numbers(name) or _months_of_initials(name)
    if not months:
        raise UsageError(
            f"--season {text!r} is not a run of months",
            wanted="a season is month initials in their order (DJF, NDJFM) or month numbers (12,1,2)",
            do="correct it",
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
            f"--season {name} fits {len(starts)} places in the year",
            wanted="the months must be unmistakable",
            do="give their numbers, such as --season 7 or --season 5,6",
        )
    return tuple((start + step) % 12 + 1 for start in starts for step in range(len(name)))


def parse_clusters(text: str) -> tuple[int, ...]:
    """Read ``4`` or an inclusive range ``2:8``; more than one number, or ``4:4``, asks for the criterion.

    Raises:
        UsageError: not one or two whole numbers, fewer than 2, more than 127, or the wrong way round.
    """
    first, _, last = text.partition(":")
    numbers = [part.strip() for part in (first, last or first)]
    if text.endswith(":") or not all(part.isdecimal() for part in numbers):
        raise _bad_clusters(text, "is not a number or a range")
    low, high = (int(part) for part in numbers)
    if low < 2:
        raise _bad_clusters(text, f"asks for {low} regime{'s' * (low != 1)}")
    if high > MAX_CLUSTERS:
        raise _bad_clusters(text, f"asks for more than {MAX_CLUSTERS} regimes")
    if low > high:
        raise _bad_clusters(text, "runs backwards")
    return tuple(range(low, high + 1))


def _bad_clusters(text: str, found: str) -> UsageError:
    return UsageError(
        f"-k {text!r} {found}",
        wanted=f"-k is a number from 2 to {MAX_CLUSTERS}, such as 4, or a range, such as 2:8",
        do="correct it",
    )
