"""Time stamps that were never written: the end of a file whose writer died."""

from __future__ import annotations

from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from faconv_cli.errors import InputError

_MARKS = (-99.0, -999.0, -9999.0, -99999.0, -999999.0, -32767.0, -32768.0)  # common marks for missing values
_FILLS = (9.969209968386869e36, 1e20)  # fill values of NetCDF and of CMIP


def written(raw: npt.NDArray[Any], where: str) -> tuple[npt.NDArray[Any], str]:
    """Cut off unwritten stamps (t,) at the end: missing, fill, empty text, or zeros and marks such as -9999
    after larger ones.

    Returns:
        The stamps that were written, and a note if some were not.

    Raises:
        InputError: none was written, or some before the end are missing.
    """
    blank = _blank(raw)
    count = len(raw) - _trailing(blank)
    if count == len(raw):
        count = len(raw) - _trailing_marks(raw)
    if blank[:count].any() or (len(raw) and not count):
        number = int(np.argmax(blank)) + 1
        raise InputError(
            f"{where} has missing stamps (the first is number {number} of {len(raw)})"
            if count
            else f"{where} has missing stamps: none of {len(raw)} was ever written",
            wanted="each step needs a time",
            do="fill in the coordinate in the file, or number the steps with --time-index",
        )
    if count == len(raw):
        return raw, ""
    last = len(raw) - count
    what = f"the last {last} of {len(raw)} time stamps were" if last > 1 else "the last time stamp was"
    return raw[:count], f"{where}: {what} never written; steps without a time are dropped."


def _blank(raw: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if raw.dtype.kind == "M":
        return np.asarray(np.isnat(raw))
    if raw.dtype.kind == "f":
        filled = np.isclose(raw[:, None], _FILLS, rtol=1e-6, atol=0).any(axis=1)
        return np.asarray(~np.isfinite(raw) | filled)
    if raw.dtype.kind in "iu":
        return np.asarray((raw == netCDF4.default_fillvals.get(raw.dtype.str[1:], 0)) & (raw != 0))
    if raw.dtype.kind in "SUT" or (raw.dtype.kind == "O" and isinstance(raw[0], str | bytes)):
        return np.array([not one.strip(b" \0" if isinstance(one, bytes) else " \0") for one in raw.tolist()])
    return np.zeros(len(raw), bool)


def _trailing(flags: npt.NDArray[np.bool_]) -> int:
    """Count the flags set at the end."""
    return len(flags) if flags.all() else int(np.argmin(flags[::-1]))


def _trailing_marks(raw: npt.NDArray[Any]) -> int:
    """Count zeros or missing marks that follow increasing, larger numbers and cannot be real times.

    A single one may be real if the numbers continue evenly from it: such a file is out of order. Zeros after
    numbers that start at 0 are not real, as that time already occurs.
    """
    if raw.dtype.kind not in "fiu" or len(raw) < 3:
        return 0
    numbers = raw.astype(np.float64)
    mark = numbers[-1]
    if mark not in (0.0, *_MARKS):
        return 0
    count = _trailing(numbers == mark)
    before = numbers[:-count]
    again = mark == 0 and len(before) > 1 and before[0] == 0
    if (np.diff(before) <= 0).any() or not ((before > mark).all() or again):
        return 0
    meant = (
        count == 1 and not again and (len(before) < 2 or np.isclose(before[1] - before[0], before[0] - mark))
    )
    return 0 if meant else count
