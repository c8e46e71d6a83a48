"""Ranges of dates as a user writes them: ``1979:1980-06``."""

from __future__ import annotations

import re

from faconv_cli.errors import InputError

_STAMP = r"\d{1,5}(?:-\d{1,2}(?:-\d{1,2}(?:[T ]\d{1,2}(?::\d{2}(?::\d{2})?)?)?)?)?"
_RANGE = re.compile(rf"({_STAMP})?:({_STAMP})?")


def parse_range(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split FIRST:LAST into numbers, year first, as far as given; () if one is left out.

    Raises:
        InputError: the text is not such a range.
    """
    match = _RANGE.fullmatch(text.strip())
    first, last = (_parse_stamp(bound) for bound in match.groups()) if match else (None, None)
    if first is None or last is None:
        raise InputError(
            f"time range {text!r} is not FIRST:LAST",
            wanted="FIRST and LAST are dates such as 1979, 1979-12 or 1979-12-31",
            do="write it as in 1979:1980-06",
        )
    return first, last


def _parse_stamp(text: str | None) -> tuple[int, ...] | None:
    """Split 1979-12-31T06:00 into numbers; ``None`` where one is out of its range, () where there is none."""
    numbers = tuple(int(part) for part in re.split(r"[-T :]", text)) if text else ()
    limits = ((0, 99999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 59))
    inside = all(low <= number <= high for number, (low, high) in zip(numbers, limits, strict=False))
    return numbers if inside else None
