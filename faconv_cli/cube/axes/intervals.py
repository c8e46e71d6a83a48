"""Time intervals of means and sums: a step stamped at the end of its interval belongs to the time before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.decode_time import Stamps, decode_raw
from faconv_cli.cube.axes.roles import names_in, text_of
from faconv_cli.cube.time.rounding import slack
from faconv_cli.cube.time.timeaxis import UNDATED
from faconv_cli.errors import InputError

_FEW = 4  # one in this many intervals may be damaged
_NEVER = 1e15  # larger than any time, smaller than NetCDF's fill value
_USUAL = ("_bnds", "_bounds", "_bound")  # name endings without an attribute, as in CESM


def bounds_of(name: str, variables: dict[str, xr.Variable]) -> str | None:
    """Return the name of the bounds (t, 2) of a time coordinate; climatological bounds do not count."""
    time = variables[name]
    if names_in(time, "climatology"):
        return None
    named = [*names_in(time, "bounds"), *(f"{name}{ending}" for ending in _USUAL)]
    fitting = (n for n in named if n in variables and variables[n].shape == (*time.shape, 2))
    return next(fitting, None)


def into_intervals(stamps: Stamps, time: xr.Variable, bounds: xr.Variable, path: str, name: str) -> Stamps:
    """Move stamps at the end of their interval to its middle; all others stay.

    CESM stamps monthly means at the start of the next month and daily means at 24:00. By the stamps alone,
    January would count as February, and each day as the next.

    Args:
        stamps: (t,) decoded stamps of the coordinate.
        time: the coordinate, for attributes that its bounds lack.
        bounds: (t, 2), not decoded.
        path, name: file and name of the bounds, for notes.
    """
    where = f"{path}: {name}"
    if stamps.calendar == UNDATED or not len(stamps.values):
        return stamps
    ends = _decoded(len(stamps.values), time, bounds, where)
    if ends is None or ends[0].dtype.kind != stamps.values.dtype.kind:
        return _kept(stamps, f"{where} cannot be decoded")
    begin, end = ends
    length, at = _seconds(end - begin), _seconds(stamps.values - begin)
    near = np.maximum(slack(length), stamps.spacing_s)
    odd = (length < 0) | (at < -near) | (at > length + near)
    late = ~odd & (length > 2 * near) & (at >= length - near)
    if odd.any() and not (late[~odd].all() and _FEW * odd.sum() <= len(odd)):
        return _kept(stamps, f"{where} are not intervals around the stamps")
    if not late.any():
        return stamps
    repaired = ""
    if odd.any():  # all others end at their stamps: so do these
        begin, end = np.where(odd, _stamp_before(stamps.values), begin), np.where(odd, stamps.values, end)
        late = late | odd
        repaired = f" {odd.sum()} of the intervals do not contain their stamps and are assumed to end there."
    if not _follow_each_other(begin, end):
        return _kept(stamps, f"the intervals of {where} overlap")
    moved = np.where(late, begin + (end - begin) // 2, stamps.values)
    note = (
        f"Steps stamped at the end of their interval ({name}) are moved to its middle, so that month, "
        f"season and day are those of the interval.{repaired}"
    )
    return replace(stamps, values=moved, note=" ".join(filter(None, (stamps.note, note))), moved=True)


def _stamp_before(stamps: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the previous stamp for each stamp; the first one is extrapolated from the step that follows."""
    order = np.argsort(stamps, kind="stable")
    values = stamps[order]
    before = np.concatenate([[values[0] - (values[1] - values[0])], values[:-1]])
    found = stamps.copy()
    found[order] = before
    return found


def is_point(variable: xr.Variable, time: str) -> bool:
    """Return whether a variable declares instantaneous values, whatever bounds its time has."""
    methods = text_of(variable.attrs, "cell_methods").split()
    return any(
        methods[i : i + 2] == [f"{name}:", "point"] for name in (time, "time") for i in range(len(methods))
    )


def _decoded(
    steps: int, time: xr.Variable, bounds: xr.Variable, where: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Decode start and end of each interval, in the units of the time if the bounds have none; or None."""
    raw = bounds.to_numpy().reshape(-1, 2)[:steps]
    if (
        raw.dtype.kind == "f"
    ):  # pairs that were never written get zero length, so that they do not count as intervals
        raw = np.where((np.abs(raw) < _NEVER).all(axis=1, keepdims=True), raw, 0.0)
    about = {key: bounds.attrs.get(key, time.attrs.get(key, "")) for key in ("units", "calendar")}
    like = xr.Variable((), 0.0, about, {**time.encoding, "dtype": raw.dtype})
    try:
        begin, end = (decode_raw(raw[:, side], like, where).values for side in (0, 1))
    except InputError:
        return None
    if begin.dtype.kind != end.dtype.kind:
        return None
    return np.minimum(begin, end), np.maximum(begin, end)


def _follow_each_other(begin: npt.NDArray[Any], end: npt.NDArray[Any]) -> bool:
    """Return whether intervals do not overlap; sums since a start do, and their middle has no meaning."""
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    apart = _seconds(begin[1:] - end[:-1]) >= -slack(_seconds(end[:-1] - begin[:-1]))
    same = (begin[1:] == begin[:-1]) & (end[1:] == end[:-1])
    return bool((apart | same).all())


def _seconds(lengths: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if lengths.dtype.kind == "m":
        return np.asarray(lengths / np.timedelta64(1, "s"), np.float64)
    return np.array([one.total_seconds() for one in lengths], np.float64)


def _kept(stamps: Stamps, why: str) -> Stamps:
    note = f"{why}, so the time stamps are kept as they are."
    return replace(stamps, note=" ".join(filter(None, (stamps.note, note))))
