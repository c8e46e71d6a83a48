"""Values that may stand for missing data although nothing says so: extremes that are frequent, or far off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAST_SHARE = 0.01  # of the values read
_FAR = 2.0  # ranges of all other values
_FAR_FOR_ONE = 5.0  # the same, of a value that is rare: rain, too, has its outliers
# what programs and archives write for missing data, of either sign; it need not be far from other values
_CUSTOMARY = np.array(
    [999, 9999, 99999, 999999, 99.99, 999.9, 999.99, 9999.9, 8888, 32766, 32767, 32768, 1e10, 1e15, 1e16],
    "f4",
)
_ALSO_LOWEST, _ALSO_HIGHEST = (-99.0,), (254.0, 255.0)  # the same, of one sign alone: the last of a byte

Extremes = npt.NDArray[np.float64]  # (..., 6), the columns are
_LOW, _LOW_COUNT, _ABOVE, _HIGH, _HIGH_COUNT, _BELOW = range(6)
_MIRROR = np.array([-1, 1, -1, -1, 1, -1])  # makes of the highest the lowest


def extremes(field: npt.NDArray[np.float32], missing: int) -> tuple[float, ...]:
    """Find the lowest value of a field (y, x), how often it is there, and the next; and so the highest.

    The next is only looked for where nothing else lies in the same half of the range, else it is NaN; where
    there is none it is infinite.

    Args:
        field: NaN where missing.
        missing: how many are.
    """
    low, high = float(np.fmin.reduce(field, axis=None)), float(np.fmax.reduce(field, axis=None))
    finite = field.size - missing
    if not finite or low == high:
        return (low, finite, np.inf, high, finite, -np.inf)
    middle = np.float32(low / 2 + high / 2)
    lower, lowest, highest = (
        int(np.count_nonzero(mask)) for mask in (field <= middle, field == low, field == high)
    )
    above = float(field[field > low].min()) if lower == lowest else np.nan
    below = float(field[field < high].max()) if finite - lower == highest else np.nan
    return (low, lowest, above, high, highest, below)


def percent(part: int, whole: int) -> str:
    """Return a share in per cent with two digits, or with enough of them not to read 100."""
    share = 100 * part / whole
    if 99 < share < 100:
        return f"{np.floor(100 * share) / 100:g} %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def suspicions(name: str, found: Extremes, values: int) -> list[str]:
    """Report extremes of a variable that may stand for missing data, and what to do about them.

    Args:
        name: of the variable.
        found: (fields, 6) of `extremes`.
        values: how many were read.
    """
    found = found[found[:, _LOW_COUNT] > 0]
    if not len(found):
        return []
    mirrored = _MIRROR * found[:, [_HIGH, _HIGH_COUNT, _BELOW, _LOW, _LOW_COUNT, _ABOVE]]
    return [
        _told(name, sign, *suspect, values)
        for sign, rows, also in ((1, found, _ALSO_LOWEST), (-1, mirrored, _ALSO_HIGHEST))
        if (suspect := _lowest(rows, values, {sign * value for value in also})) is not None
    ]


def _lowest(found: Extremes, values: int, also: set[float]) -> tuple[float, int, int, Sequence[float]] | None:
    """Return the lowest value, if suspicious, with its count, its fields, and the range of all others.

    Args:
        found: as of `suspicions`.
        values: how many were read.
        also: values that are customary beside those of either sign, in most fields.
    """
    value = float(found[:, _LOW].min())
    at = found[:, _LOW] == value
    count = int(found[at, _LOW_COUNT].sum())
    others = np.where(at, found[:, _ABOVE], found[:, _LOW])
    tops = found[found[:, _HIGH] > value, _HIGH]
    low, high = float(others.min()), float(tops.max()) if len(tops) else np.nan
    often = count >= LEAST_SHARE * values or bool((found[at, _HIGH] == value).any())  # or a whole field
    # never far where one of them is NaN
    far = high > low and low - value > (_FAR if often else _FAR_FOR_ONE) * (high - low)
    throughout = value in also and 2 * at.sum() >= len(found) > 1
    customary = often and (throughout or bool((np.float32(abs(value)) == _CUSTOMARY).any()))
    return (value, count, int(at.sum()), (low, high)) if far or customary else None


def _told(
    name: str, sign: int, value: float, count: int, fields: int, others: Sequence[float], values: int
) -> str:
    low, high = sorted(sign * other for other in others)
    beyond = f", apart from all others ({low:.6g} to {high:.6g})" if np.isfinite(others).all() else ""
    which, told = "lowest" if sign > 0 else "highest", f"{sign * value:.6g}"
    return (
        f"{name}: {told} is the {which} value, of {percent(count, values)} of the values, in {fields} fields"
        f"{beyond}. It is treated as a value; if it stands for missing data, pass --missing-value {told}, or "
        "declare it in the file."
    )
