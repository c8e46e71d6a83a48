"""Find channels accumulated since the start of a model run that never restart, such as WRF's RAINNC."""

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

_LEAST_STEPS = 12  # minimum number of steps
_SPREAD_OUT, _IN_A_ROW = 48, 24  # steps that are read: over the whole record, and in its middle
_ROUNDING = 1e-4  # fraction of the largest value, to allow for packing
_LEAST_RISING = 0.05  # minimum share of points that rise
_DRY = 0.2  # minimum share of steps that add nothing, if only the unit suggests rain
AMOUNTS = ("m", "kg m-2", "J m-2", "N m-2 s", "s")  # units of accumulated fluxes
_SUM = re.compile(
    r"accum|precip|(?<![a-z])(?:rain|snow_?fall|snownc|graupel|hail)|^(?:tp|cp|lsp|sf|apcp|acpcp)$",
    re.IGNORECASE,
)
_STORE = re.compile(
    r"snow|water|ice|level|depth|height|thickness", re.IGNORECASE
)  # may grow for a long time without being a sum


def is_run_total(time: TimeAxis, reader: Reader, channel: Channel) -> bool:
    """Return whether a channel of amounts is accumulated since the start of a run and never restarts.

    The file must declare a sum, by a cell method or a word such as accumulated or precipitation, or the
    channel must be in mm and add nothing in many steps. In addition, no value may fall in some 70 steps.
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
    """Return whether values fall somewhere, which a total over a run never does."""
    points = some_points(reader)
    return bool(points) and falls(_spread_out(points, time.passes[0][1]))


def falls(values: Floats) -> bool:
    """Return whether values (t, p) fall below earlier ones."""
    known = np.where(np.isfinite(values), values, -np.inf)
    highest = np.maximum.accumulate(known, axis=0)
    return bool((values < highest - _rounding(values)).any())


def _told(reader: Reader, channel: Channel) -> bool | None:
    """Return whether the file declares a sum other than by its unit; None if the channel cannot be one."""
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
    """Return (p,) the range of values at each point; 0 where a point is missing."""
    known = np.isfinite(values)
    high, low = (
        edge(values, axis=0, where=known, initial=start) for edge, start in ((np.max, 0), (np.min, np.inf))
    )
    return np.where(known.any(axis=0), high - low, 0.0)


def _rounding(values: Floats) -> float:
    return _ROUNDING * float(np.nanmax(np.abs(values), initial=0.0))
