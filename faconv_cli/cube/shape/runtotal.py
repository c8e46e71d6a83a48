"""Which channels are sums since the start of a run that never begin anew, as WRF's RAINNC is."""

from __future__ import annotations

import re

import numpy as np

from faconv_cli.cube.axes.roles import text_of
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.read.probe import Floats, series_of, some_points, values_at
from faconv_cli.cube.read.readers import Reader
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.cube.units.units import conversion

_LEAST_STEPS = 12  # that never fall
_SPREAD_OUT, _IN_A_ROW = 48, 24  # steps that are read: over the whole record, and in its middle
_ROUNDING = 1e-4  # of the largest value: packing
_LEAST_RISING = 0.05  # of the points
_DRY = 0.2  # of the steps add nothing, where rain is told by its unit alone
AMOUNTS = ("m", "kg m-2", "J m-2", "N m-2 s", "s")  # what can be accumulated of a flux
_SUM = re.compile(
    r"accum|precip|(?<![a-z])(?:rain|snow_?fall|snownc|graupel|hail)|^(?:tp|cp|lsp|sf|apcp|acpcp)$",
    re.IGNORECASE,
)
_STORE = re.compile(
    r"snow|water|ice|level|depth|height|thickness", re.IGNORECASE
)  # may grow for long, and is no sum


def is_run_total(time: TimeAxis, reader: Reader, channel: Channel) -> bool:
    """Return whether a channel of amounts is accumulated since the start of a run and never reset.

    The file says that it is a sum, by a cell method or a word such as accumulated or precipitation, or it is
    in mm and adds nothing in many steps; and of some 70 steps none falls below one before it at any point.
    """
    stop = time.passes[0][1]
    told = _told(reader, channel)
    if told is None or stop < _LEAST_STEPS:
        return False
    points = some_points(reader)
    if not points:
        return False
    start = (stop - min(_IN_A_ROW, stop)) // 2
    row = values_at(points, start, start + min(_IN_A_ROW, stop))
    if falls(row):
        return False
    values = _spread_out(points, stop)
    if not np.isfinite(values).any() or falls(values) or np.nanmin(values) < -_rounding(values):
        return False
    rising = _added(values) > _rounding(values)
    if rising.mean() < _LEAST_RISING:
        return False
    return told or bool((np.diff(row[:, rising], axis=0) == 0).mean() >= _DRY)


def falls_somewhere(time: TimeAxis, reader: Reader) -> bool:
    """Whether values fall, though in a total of a run they would not."""
    points = some_points(reader)
    return bool(points) and falls(_spread_out(points, time.passes[0][1]))


def falls(values: Floats) -> bool:
    """Whether values (t, p) fall below earlier ones."""
    known = np.where(np.isfinite(values), values, -np.inf)
    highest = np.maximum.accumulate(known, axis=0)
    return bool((values < highest - _rounding(values)).any())


def _told(reader: Reader, channel: Channel) -> bool | None:
    """Whether the file says that a channel is a sum, beside its unit; None where it cannot be one."""
    if reader.file is None or channel.difference or series_of(reader) is None:
        return None
    attributes = reader.file.variable.attrs
    step_type, methods = text_of(attributes, "GRIB_stepType"), text_of(attributes, "cell_methods")
    other = "time:" in methods and "time: sum" not in methods and "time: point" not in methods
    to_metres = [conversion(channel.units, amount) for amount in AMOUNTS]
    if step_type not in ("", "accum") or other or (channel.units and not any(to_metres)):
        return None
    texts = channel.name, channel.long_name, channel.standard_name
    if step_type or "time: sum" in methods or any(map(_SUM.search, texts)):
        return True
    in_mm = to_metres[0] is not None and to_metres[0].factor == 1e-3
    return False if in_mm and not any(map(_STORE.search, texts)) else None


def _spread_out(points: list[Series], stop: int) -> Floats:
    steps = np.unique(np.linspace(0, stop - 1, _SPREAD_OUT).astype(int)).tolist()
    return np.concatenate([values_at(points, step, step + 1) for step in steps])


def _added(values: Floats) -> Floats:
    """(p,) what points rose by from the lowest to the highest; 0 where they are missing."""
    known = np.isfinite(values)
    high, low = (
        edge(values, axis=0, where=known, initial=start) for edge, start in ((np.max, 0), (np.min, np.inf))
    )
    return np.where(known.any(axis=0), high - low, 0.0)


def _rounding(values: Floats) -> float:
    return _ROUNDING * float(np.nanmax(np.abs(values), initial=0.0))
