"""What a user says on the command line, understood: how many regimes."""

from __future__ import annotations

from faconv_cli.errors import UsageError

MAX_CLUSTERS = 127  # regime(time) is a signed byte


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
        do="correct -k",
    )
