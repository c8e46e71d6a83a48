"""Find channels accumulated since the start of a forecast, which form a sawtooth as a time series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.axes.roles import text_of
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.constants import NEVER, Cycle
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.probe import series_of, some_points, values_at
from faconv_cli.cube.read.readers import Reader
from faconv_cli.cube.shape.runtotal import AMOUNTS, falls_somewhere, is_run_total
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.cube.units.units import conversion

_CYCLES = (24.0, 12.0, 6.0)  # hours after which an accumulation may restart
_FEWEST = 4  # minimum steps per cycle for detecting it from values
_FEWEST_OF_BOTH_SIGNS = 6, 8  # same for values of both signs: declared a sum in the file; not declared
_SPANS, _CYCLES_A_SPAN = 3, 2  # spans of steps that are read, and cycles in each
_FEWEST_FALLS = 8  # minimum number of values for a conclusion
_FALLING, _STEADY = 0.7, 0.01  # minimum share of values that fall at a restart; maximum share elsewhere
_ROUNDING = 1e-3  # fraction of the largest value, to allow for packing
# minimum ratio of the change at a restart to that elsewhere, for values of both signs; second: not declared
_LEAST_JUMP, _LEAST_JUMP_UNTOLD = 2.0, 4.0
_EVEN = 0.1  # tolerance, fraction of a step

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sawtooth:
    """A channel accumulated since the start of a forecast.

    Attributes:
        lengths: (t,) accumulation length of each step in hours; infinite where the start is not known.
        continues: (t,) whether a step continues the accumulation of the previous step.
        cycle: restart times, if accumulations restart at fixed times of day.
        amount: whether it is a sum; if not, it is a mean or an extreme, and differences have no meaning.
    """

    lengths: Floats
    continues: npt.NDArray[np.bool_]
    cycle: Cycle | None
    amount: bool = True

    @property
    def longest(self) -> float:
        """Longest accumulation in hours; infinite for a total over a whole run."""
        return float(self.lengths.max())


def find_sawtooth(cube: Cube, number: int) -> Sawtooth | None:
    """Return the sawtooth of a channel accumulated since the start of a forecast; None if it is not.

    Uses the accumulation lengths in GRIB messages. Without these, amounts are detected from the values of
    some steps: with steps of six hours or less, they fall at one time of day only, or they never fall
    (see `is_run_total`).
    """
    reader, channel = cube.readers[number], cube.channels[number]
    told = known_lengths(reader)
    if not cube.time.dated:
        return None
    if told is not None:
        return _of_lengths(cube.time, told, amount=_step_type(reader) == "accum")
    cycle = _from_values(cube.time, reader, channel) if cube.time.sub_daily else None
    if cycle is None and is_run_total(cube.time, reader, channel):
        cycle = NEVER
    return None if cycle is None else of_cycle(cube.time, cycle)


def of_cycle(time: TimeAxis, cycle: Cycle) -> Sawtooth:
    """Return the sawtooth of a known cycle."""
    lengths = cycle.lengths(time)
    return Sawtooth(lengths, _continues(time, lengths), cycle)


def known_lengths(reader: Reader) -> Floats | None:
    """Return (t,) accumulation lengths in hours, if all files give them."""
    series = series_of(reader)
    if series is None:
        return None
    parts = [part.accumulated for part in series.parts]
    if any(own is None for own in parts):
        return None
    return np.array([parts[part][step] for part, step in zip(series.part, series.step, strict=True)])


def _of_lengths(time: TimeAxis, lengths: Floats, *, amount: bool) -> Sawtooth | None:
    continues = _continues(time, lengths)
    if not continues.any():
        return None
    return Sawtooth(lengths, continues, _cycle_of(time, lengths), amount)


def _continues(time: TimeAxis, lengths: Floats) -> npt.NDArray[np.bool_]:
    since = np.where(np.isfinite(lengths), time.seconds / 3600 - lengths, 0.0)
    same = np.abs(np.diff(since, prepend=np.nan)) <= _EVEN * time.step_days * 24
    same[[start for start, _ in time.segments]] = False
    return same


def _cycle_of(time: TimeAxis, lengths: Floats) -> Cycle | None:
    """Return the times of day at which accumulations restart, if they are the same throughout."""
    hours = next((hours for hours in sorted(_CYCLES) if lengths.max() <= hours * (1 + 1e-6)), None)
    if hours is None:
        return None
    step = time.step_days * 24
    cycle = Cycle(hours, float(np.round((time.day_fraction[0] * 24 - lengths[0] + step) % hours, 6)))
    return cycle if np.allclose(cycle.lengths(time), lengths, atol=_EVEN * step) else None


def _from_values(time: TimeAxis, reader: Reader, channel: Channel) -> Cycle | None:
    kind = _kind(reader, channel)
    step = time.step_days * 24
    if kind is None or series_of(reader) is None or 24 / step < _FEWEST:
        return None
    before, after, hour = _changes(time, reader, step)
    if not np.isfinite(after).any():
        return None
    for hours in _CYCLES:
        count = round(hours / step)
        if count < _FEWEST:
            break
        phase = np.floor((hour % hours) / step + _EVEN).astype(int) % count
        first = _first_phase(before, after, phase, count, told=kind)
        if first is not None:
            return Cycle(hours, float(hour[phase == first][0] % hours))
    return None


def _kind(reader: Reader, channel: Channel) -> bool | None:
    """Return whether the file declares the channel a sum over time; None if it cannot be one."""
    if reader.file is None or channel.anomaly:
        return None
    step_type, methods = _step_type(reader), text_of(reader.file.variable.attrs, "cell_methods")
    if step_type == "accum" or "time: sum" in methods:
        return True
    if step_type or "time:" in methods:
        return None
    units = channel.units
    return None if units and all(conversion(units, amount) is None for amount in AMOUNTS) else False


def _step_type(reader: Reader) -> str:
    return "" if reader.file is None else text_of(reader.file.variable.attrs, "GRIB_stepType")


def _changes(time: TimeAxis, reader: Reader, step: float) -> tuple[Floats, Floats, Floats]:
    """Return values (n, p) at steps and at the following steps, and the hour of day (n,) of the latter."""
    points = some_points(reader)
    follows = np.abs(np.diff(time.seconds, prepend=np.nan) / 3600 - step) <= _EVEN * step
    length = min(round(_CYCLES_A_SPAN * 24 / step) + 1, len(time))
    starts = np.unique(np.linspace(0, len(time) - length, _SPANS).astype(int))
    pairs = []
    for start in map(int, starts):
        values = values_at(points, start, start + length)
        inside = follows[start + 1 : start + length]
        hour = time.day_fraction[start + 1 : start + length] * 24
        pairs.append((values[:-1][inside], values[1:][inside], hour[inside]))
    before, after, hour = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return before, after, hour


def _first_phase(before: Floats, after: Floats, phase: Any, count: int, *, told: bool) -> int | None:
    """Find the phase of the cycle at which values restart; None if there is none.

    Args:
        before: (n, p) values.
        after: (n, p) values one step later.
        phase: (n,) phase of the later step, from 0 to ``count`` - 1.
        count: steps per cycle.
        told: whether the file declares a sum.
    """
    if _of_both_signs(after):
        if count < _FEWEST_OF_BOTH_SIGNS[not told]:
            return None
        return _largest_jump(before, after, phase, count, _LEAST_JUMP if told else _LEAST_JUMP_UNTOLD)
    share, fell, seen = _falling(before, after, phase, count)
    first = int(np.argmax(share))
    others = np.delete(np.arange(count), first)
    enough = fell[first] >= _FEWEST_FALLS and seen[others].sum() >= _FEWEST_FALLS
    return first if enough and share[first] >= _FALLING and share[others].max() <= _STEADY else None


def contradicts(time: TimeAxis, reader: Reader, cycle: Cycle) -> bool:
    """Return whether values fall within a cycle, which an accumulation never does."""
    if series_of(reader) is None:
        return False
    if cycle == NEVER:
        return falls_somewhere(time, reader)
    step = time.step_days * 24
    before, after, hour = _changes(time, reader, step)
    if not np.isfinite(after).any() or _of_both_signs(after):
        return False
    count = round(cycle.hours / step)
    phase = np.floor(((hour - cycle.first) % cycle.hours) / step + _EVEN).astype(int) % count
    share, _, seen = _falling(before, after, phase, count)
    return bool(((share > _STEADY) & (seen >= _FEWEST_FALLS))[1:].any())


def _rounding(values: Floats) -> float:
    return _ROUNDING * float(np.nanmax(np.abs(values)))


def _of_both_signs(values: Floats) -> bool:
    return bool(np.nanmin(values) < -_rounding(values) and np.nanmax(values) > _rounding(values))


def _falling(before: Floats, after: Floats, phase: Any, count: int) -> tuple[Floats, Floats, Floats]:
    """Return, for each phase of a cycle, the share of falling values, their number and the number tested."""
    rounding, before, after = _rounding(after), np.abs(before), np.abs(after)
    with np.errstate(invalid="ignore"):
        active = before > 5 * rounding
        falls = active & (after < before - rounding)
    seen, fell = np.zeros(count), np.zeros(count)
    np.add.at(seen, phase, active.sum(axis=1))
    np.add.at(fell, phase, falls.sum(axis=1))
    return fell / np.maximum(seen, 1), fell, seen


def _largest_jump(before: Floats, after: Floats, phase: Any, count: int, least: float) -> int | None:
    """Find the phase at which values of both signs jump back, ``least`` times as far as elsewhere."""
    jump, size = np.abs(after - before), np.abs(before)
    mean = [float(np.nanmean(jump[phase == one])) if (phase == one).any() else 0.0 for one in range(count)]
    first = int(np.argmax(mean))
    here = phase == first
    back = np.nanmean(np.abs(after[here])) < np.nanmean(size[here]) / 2
    return first if back and mean[first] > least * max(np.delete(mean, first)) else None
