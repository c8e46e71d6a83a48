"""Find values that may mean missing data although not declared: extremes that are frequent or far off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAST_SHARE = 0.01  # of the values read
_FAR = 2.0  # in ranges of all other values
_FAR_FOR_ONE = 5.0  # the same for a rare value, because rain has outliers too
# what programs and archives write for missing data, with either sign; these need not be far from other values
_CUSTOMARY = np.array(
    [999, 9999, 99999, 999999, 99.99, 999.9, 999.99, 9999.9, 8888, 32766, 32767, 32768, 1e10, 1e15, 1e16],
    "f4",
)
_ALSO_LOWEST, _ALSO_HIGHEST = (
    (-99.0,),
    (254.0, 255.0),
)  # the same, with one sign only; 254 and 255 are the last values of a byte

Extremes = npt.NDArray[np.float64]  # (..., 6), with the columns
_LOW, _LOW_COUNT, _ABOVE, _HIGH, _HIGH_COUNT, _BELOW = range(6)
_MIRROR = np.array([-1, 1, -1, -1, 1, -1])  # turns the highest values into the lowest


def extremes(field: npt.NDArray[np.float32], missing: int) -> tuple[float, ...]:
    """Return the lowest value of a field (y, x), its count and the next value; the same for the highest.

    The next value is only searched for if no other value lies in the same half of the range; otherwise it is
    NaN. If there is no other value it is infinite.

    Args:
        field: the field, NaN where missing.
        missing: number of missing values.
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
    """Return a share in per cent, with two digits, and never rounded up to 100 %."""
    share = 100 * part / whole
    if 99 < share < 100:
        return f"{np.floor(100 * share) / 100:g} %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def suspicions(name: str, found: Extremes, values: int) -> list[str]:
    """Report extremes of a variable that may mean missing data, and what to do about them.

    Args:
        name: name of the variable.
        found: (fields, 6) from `extremes`.
        values: number of values read.
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
        found: as in `suspicions`.
        values: number of values read.
        also: further customary fill values, which count only if they occur in most fields.
    """
    value = float(found[:, _LOW].min())
    at = found[:, _LOW] == value
    count = int(found[at, _LOW_COUNT].sum())
    others = np.where(at, found[:, _ABOVE], found[:, _LOW])
    tops = found[found[:, _HIGH] > value, _HIGH]
    low, high = float(others.min()), float(tops.max()) if len(tops) else np.nan
    often = count >= LEAST_SHARE * values or bool((found[at, _HIGH] == value).any())  # or a whole field
    # False if any of them is NaN
    far = high > low and low - value > (_FAR if often else _FAR_FOR_ONE) * (high - low)
    throughout = value in also and 2 * at.sum() >= len(found) > 1
    customary = often and (throughout or bool((np.float32(abs(value)) == _CUSTOMARY).any()))
    return (value, count, int(at.sum()), (low, high)) if far or customary else None


def _told(
    name: str, sign: int, value: float, count: int, fields: int, others: Sequence[float], values: int
) -> str:
    low, high = sorted(sign * other for other in others)
    beyond = f"; all others lie between {low:.6g} and {high:.6g}" if np.isfinite(others).all() else ""
    which, told = "lowest" if sign > 0 else "highest", f"{sign * value:.6g}"
    return (
        f"{name}: {told} is the {which} value, with {percent(count, values)} of the values, in {fields} "
        f"fields{beyond}. It is kept as a value; if it means missing data, use --missing-value {told} or "
        "declare it in the file."
    )
