"""Join the layers of a channel from several files in time, and put several channels on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from faconv_cli.cube.axes.conventions import Layer, joined
from faconv_cli.cube.axes.decode_time import numbered
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.join.alike import (
    Likeness,
    Sampling,
    check_common,
    experiments_told,
    give_as_static,
    other_steps,
    runs_told,
    unlike_steps,
)
from faconv_cli.cube.join.clock import Clock, wind
from faconv_cli.cube.join.oneunit import values_in_one_unit
from faconv_cli.cube.join.overlap import Difference, difference
from faconv_cli.cube.join.shifted import shifts_told
from faconv_cli.cube.read.lazy import FileField, Series
from faconv_cli.cube.time.rounding import Keys
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

_SINGLE_TOLD = 60.0  # s; if single precision is coarser than this, it may be why stamps are equal
_MOST_COMPARED = 16  # steps of an overlap whose values are compared


@dataclass
class Entry:
    """One channel with its layers from all files."""

    channel: Channel
    variable: str
    layers: list[Layer]

    def of_member(self, member: str) -> Entry:
        """Return the entry of one member."""
        return Entry(self.channel, self.variable, [x for x in self.layers if x.member in ("", member)])

    def renumbered(self) -> Entry:
        """Number the steps continuously, over the files in the order in which they are named."""
        layers: list[Layer] = []
        reached: dict[str, int] = {}
        for layer in self.layers:
            first, steps = reached.get(layer.member, 0), len(layer.stamps.values)
            layers.append(replace(layer, stamps=numbered(steps, first)))
            reached[layer.member] = first + steps
        return Entry(self.channel, self.variable, layers)


def join(entries: Sequence[Entry], sources: Sequence[str], notes: list[str]) -> tuple[list[Series], TimeAxis]:
    """Join the files of each channel in time and keep the steps that all channels have.

    If two files hold the same step, the file named first is used. Ensemble members follow one another, each
    with all the steps. Notes say what was sorted, converted, dropped or found twice.

    Raises:
        InputError: if calendars or quantities differ, no step is common to all channels, or the same steps
            of a variable have different values.
    """
    entries = [replace(x, layers=values_in_one_unit(x.channel.name, x.layers, notes)) for x in entries]
    clock, keys = wind([entry.layers for entry in entries], notes)
    members = _members(entries, notes)
    alike = Likeness(keys, clock)
    timelines = [[_timeline(entry.of_member(m), keys, alike, notes) for m in members] for entry in entries]
    notes += runs_told([entry.variable for entry in entries], [entry.layers[0] for entry in entries])
    every = [timeline.keys for own in timelines for timeline in own]
    common, union = reduce(np.intersect1d, every), reduce(np.union1d, every)
    names = [entry.channel.name for entry in entries for _ in members]
    if not len(common):
        raise InputError(
            f"{joined(sources)}: the variables share no time step ({_first_stamps(entries, every, clock)})",
            wanted="all variables must have common time steps",
            do=give_as_static(names, every)
            or "give files of the same period and with the same stamps, or select variables with --variables",
        )
    if len(common) < len(union):
        check_common(names, every, common, clock)
        notes.append(
            f"{len(union) - len(common)} of {len(union)} time steps are dropped, because not every variable "
            "has them."
        )
    selected = [[timeline.select(common) for timeline in own] for own in timelines]
    time = _time_axis(clock, common, sources)
    return [_one_after_another(own) for own in selected], time.repeated(len(members))


def _first_stamps(entries: Sequence[Entry], keys: Sequence[Keys], clock: Clock) -> str:
    """Return when the variables begin; one variable stands for all that begin at the same time."""
    begins = {
        str(clock.stamps_of(own[:1])[0])[:19]: entry.channel.name
        for entry, own in zip(entries, keys, strict=False)
    }
    return ", ".join(f"{name} begins at {begin}" for begin, name in begins.items())


def _members(entries: Sequence[Entry], notes: list[str]) -> list[str]:
    """Return the members that every channel has; a channel without members is used for all of them."""
    named = [dict.fromkeys(layer.member for layer in entry.layers if layer.member) for entry in entries]
    named = [own for own in named if own]
    if not named:
        return [""]
    kept = [member for member in named[0] if all(member in own for own in named)]
    everyone = dict.fromkeys(member for own in named for member in own)
    dropped = [member for member in everyone if member not in kept]
    if not kept:
        raise InputError(
            "The variables share no ensemble member",
            wanted=f"available members are {joined(everyone)}",
            do="select one variable with --variables, or one member with --member",
        )
    if dropped:
        notes.append(f"Ensemble members are dropped because not every variable has them: {joined(dropped)}.")
    if len(kept) > 1:
        notes.append(f"{len(kept)} members are joined one after another (--member all): {joined(kept)}.")
    return kept


def _one_after_another(series: Sequence[Series]) -> Series:
    firsts = np.cumsum([0, *(len(one.parts) for one in series)])
    return Series(
        tuple(part for one in series for part in one.parts),
        np.concatenate([one.part + first for one, first in zip(series, firsts, strict=False)]),
        np.concatenate([one.step for one in series]),
    )


@dataclass
class _Timeline:
    """The steps of one channel in order of time: their keys, and the part and step that each comes from."""

    parts: tuple[FileField, ...]
    keys: Keys
    part: Keys
    step: Keys

    def select(self, keys: Keys) -> Series:
        at = np.searchsorted(self.keys, keys)
        return Series(self.parts, self.part[at], self.step[at])


def _timeline(entry: Entry, keys: dict[int, Keys], alike: Likeness, notes: list[str]) -> _Timeline:
    samplings = alike.check(entry.variable, entry.layers)
    notes += experiments_told(entry.variable, entry.layers)
    notes += shifts_told(entry.variable, samplings[: len(entry.layers)])
    per_layer = [keys[id(layer)] for layer in entry.layers]
    for layer, own in zip(entry.layers, per_layer, strict=True):
        if (np.diff(own) < 0).any():
            notes.append(f"{layer.field.path}: time steps are out of order and are sorted.")
    part = np.repeat(np.arange(len(per_layer)), [len(own) for own in per_layer])
    step = np.concatenate([np.arange(len(own)) for own in per_layer])
    ordered, first, which = np.unique(np.concatenate(per_layer), return_index=True, return_inverse=True)
    timeline = _Timeline(tuple(layer.field for layer in entry.layers), ordered, part[first], step[first])
    again = np.flatnonzero(first[which] != np.arange(len(which)))
    for number, layer in enumerate(entry.layers):
        own = again[part[again] == number]
        for earlier in np.unique(timeline.part[which[own]]):
            rows = own[timeline.part[which[own]] == earlier]
            pairs = [(step[row], timeline.step[which[row]]) for row in rows]
            whole = len(own) == layer.field.steps
            both = samplings[number], samplings[earlier]
            notes.append(_settle(entry, layer, entry.layers[earlier], pairs, both, whole=whole))
    return timeline


def _settle(
    entry: Entry,
    later: Layer,
    earlier: Layer,
    pairs: list[tuple[int, int]],
    samplings: tuple[Sampling, Sampling],
    *,
    whole: bool,
) -> str:
    """Return a note on steps that an earlier layer, or the same one, also holds.

    Args:
        entry: the channel.
        later: layer whose steps are skipped.
        earlier: layer whose steps are used.
        pairs: steps of the later and of the earlier layer.
        samplings: how the later and the earlier layer sample time.
        whole: whether the later layer has no other steps.

    Raises:
        InputError: if the values differ and the file has no other steps, holds both itself, or is not an
            edition of the same record.
    """
    compared = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _MOST_COMPARED).astype(int))]
    differ = difference(later.field, earlier.field, compared, samplings[0].steps_in_year)
    how = f" ({len(compared)} steps compared)" if len(compared) < len(pairs) else ""
    name = entry.variable
    if later is earlier:
        if differ is not None:
            raise _contradiction(later, differ.at)
        times = "time step is" if len(pairs) == 1 else "time steps are"
        return f"{later.field.path}: {len(pairs)} duplicate {times} skipped; the values are the same{how}."
    if whole:
        if differ is not None:
            raise _same_twice(name, earlier, later)
        return (
            f"{later.field.path} is skipped for {name}: it has the same times and values{how} as "
            f"{earlier.field.path}."
        )
    if differ is not None and other_steps(*samplings):
        raise unlike_steps(name, *samplings[::-1])
    if differ is not None and differ.another_run:
        raise _another_run(name, earlier, later, len(pairs), differ)
    values = f"; the values are the same{how}"
    if differ is not None:
        values = f"; the values differ ({differ.told})"
    return (
        f"{later.field.path}: {len(pairs)} time steps of {name} are also in files named before it and are "
        f"read from those{values}."
    )


def _contradiction(layer: Layer, step: int) -> InputError:
    apart = layer.stamps.spacing_s
    single = f"; time is in single precision, which resolves only {apart / 60:.3g} minutes"
    single = single if apart >= _SINGLE_TOLD else ""
    return InputError(
        f"{layer.field.path}: time stamp {str(layer.stamps.values[step])[:19]} occurs more than once, with "
        f"different values{single}",
        wanted="each time step may occur only once",
        do="remove the wrong steps, for example with cdo -mergetime or drop_duplicates in xarray"
        if not single
        else "store time in double precision, or number the steps with --time-index",
    )


def _same_twice(name: str, earlier: Layer, later: Layer) -> InputError:
    return InputError(
        f"{earlier.field.path} and {later.field.path} both hold {name} at the same times, but with different "
        "values",
        wanted="each time step of a variable must come from one file",
        do="give only one of the files",
    )


def _another_run(name: str, earlier: Layer, later: Layer, steps: int, differ: Difference) -> InputError:
    return InputError(
        f"{earlier.field.path} and {later.field.path} share {steps} time steps of {name}, but their values "
        f"differ by {differ.size:.3g}, while the record varies by {differ.varies:.3g}",
        wanted="all files of a variable must be one record; these seem to be two runs or members",
        do="give only one of them, or cut off the overlap if one continues the other",
    )


def _time_axis(clock: Clock, keys: Keys, sources: Sequence[str]) -> TimeAxis:
    try:
        return clock.axis(keys)
    except InputError as error:
        raise InputError(f"{joined(sources)}: {error.found}", wanted=error.wanted, do=error.do) from None
