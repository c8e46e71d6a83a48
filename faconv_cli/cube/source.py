"""Files to one cube: layers of all files, chosen, merged, and put on one time axis."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import cftime
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.conventions import Layer, Refusal, find_layers, joined
from faconv_cli.cube.cube import Channel, Cube
from faconv_cli.cube.formats import open_datasets
from faconv_cli.cube.lazy import Series
from faconv_cli.cube.paths import expand
from faconv_cli.cube.readers import to_dask
from faconv_cli.cube.timeaxis import TimeAxis
from faconv_cli.errors import InputError, UsageError

_STANDARD_CALENDARS = {"standard", "gregorian", "proleptic_gregorian"}


def open_cube(
    paths: Sequence[str | Path],
    *,
    variables: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    time_dim: str | None = None,
    engine: str | None = None,
) -> Cube:
    """Open NetCDF-3/4, GRIB and Zarr as one lazy cube; nothing but coordinates is read.

    Files that hold the same variable are joined in time, different variables stand side by side; steps that
    not every variable has are dropped. What was chosen and dropped is in ``notes`` and ``left_out``.

    Args:
        paths: files, globs, folders, Zarr stores, URLs (see `paths.expand`).
        variables: what to take, in this order: a variable (all its levels), a channel such as ``z500``, or
            ``CHANNEL=NAME`` to give the file's NAME the name CHANNEL. Default: every variable on the grid.
        levels: levels to take of the variables that have some. Default: all.
        time_dim: name of the time coordinate, where it cannot be told.
        engine: of xarray, to open all of them with (see `formats.open_datasets`).

    Raises:
        InputError: a file that cannot be read or holds no series of horizontal fields, a variable or level
            that is not there, files that contradict each other.
        UsageError: no path, or options that contradict each other.
    """
    for option, asked in (("--variables", variables), ("--levels", levels)):
        if asked is not None and not len(asked):
            raise UsageError(f"{option} names nothing", wanted="it takes a list with commas", do="drop it")
    offer = _Offer()
    locations, offer.notes = expand(paths, folders=engine is None)
    for location in locations:
        for dataset, close in open_datasets(location, engine):
            offer.add(*find_layers(dataset, location, time_dim, close))
    sources = tuple(locations)
    offer.check(sources)
    chosen = _choose_levels(_choose_variables(offer, variables, sources), levels, offer, sources)
    chosen = _choose_grid(chosen, offer, asked=variables is not None)
    return _build(chosen, offer, sources)


@dataclass
class _Entry:
    """One channel, and the layers of all files it is made of."""

    channel: Channel
    variable: str
    layers: list[Layer]


@dataclass
class _Offer:
    """What the files hold together."""

    layers: list[Layer] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, layers: list[Layer], refused: dict[str, Refusal]) -> None:
        self.layers += layers
        self.refused.update(refused)

    def check(self, sources: Sequence[str]) -> None:
        """Raise what came nearest where nothing can be taken."""
        self.left_out = {name: refusal.reason for name, refusal in self.refused.items()}
        if self.layers:
            return
        where = joined(sources)
        if not self.refused:
            raise InputError(
                f"{where}: no variable has latitude, longitude and time",
                wanted="faconv reads horizontal fields over time",
                do="check the file with ncdump -h or grib_ls",
            )
        name, refusal = max(self.refused.items(), key=lambda item: item[1].stage)
        raise InputError(f"{where}: {name} has {refusal.reason}", wanted=refusal.wanted, do=refusal.do)

    def entries(self) -> list[_Entry]:
        """Group layers into channels; namesakes that differ get a suffix that tells them apart."""
        groups: dict[tuple[Any, ...], _Entry] = {}
        for layer in self.layers:
            key = (layer.channel.name, layer.channel.level, layer.variant)
            groups.setdefault(key, _Entry(layer.channel, layer.variable, [])).layers.append(layer)
        entries = list(groups.values())
        for name in {entry.channel.name for entry in entries}:
            namesakes = [entry for entry in entries if entry.channel.name == name]
            if len(namesakes) > 1:
                _tell_apart(namesakes)
        return entries


def _tell_apart(namesakes: list[_Entry]) -> None:
    variants = [entry.layers[0].variant for entry in namesakes]
    differing = [parts for parts in zip(*variants, strict=True) if len(set(parts)) > 1]
    for entry, *parts in zip(namesakes, *differing, strict=True):
        suffix = next((part for part in parts if part), "")
        entry.channel = replace(entry.channel, name=f"{entry.channel.name}_{suffix}".rstrip("_"))


def _choose_variables(offer: _Offer, asked: Sequence[str] | None, sources: Sequence[str]) -> list[_Entry]:
    entries = offer.entries()
    if asked is None:
        return entries
    chosen: list[_Entry] = []
    for item in asked:
        new, _, old = item.rpartition("=")
        matching = [e for e in entries if e.variable == old] or [e for e in entries if e.channel.name == old]
        if not matching:
            raise _unknown_variable(old, entries, offer, sources)
        chosen += [_renamed(entry, old, new) for entry in matching] if new else matching
    for entry in entries:
        if not any(entry.layers is taken.layers for taken in chosen):
            offer.left_out[entry.channel.name] = "not asked for"
    names = [entry.channel.name for entry in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"channel {twice[0]} is asked for twice",
            wanted="each channel has a name of its own",
            do="correct --variables",
        )
    return chosen


def _renamed(entry: _Entry, old: str, new: str) -> _Entry:
    name = new + entry.channel.name.removeprefix(old)
    return _Entry(replace(entry.channel, name=name), entry.variable, entry.layers)


def _unknown_variable(
    name: str, entries: list[_Entry], offer: _Offer, sources: Sequence[str]
) -> InputError | UsageError:
    where = joined(sources)
    if name in offer.refused:
        refusal = offer.refused[name]
        return InputError(f"{where}: {name} has {refusal.reason}", wanted=refusal.wanted, do=refusal.do)
    names = list(dict.fromkeys([*(e.variable for e in entries), *(e.channel.name for e in entries)]))
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    return InputError(
        f"{where}: no variable {name!r}",
        wanted=f"there are {joined(names)}",
        do=f"did you mean {near[0]}?".rstrip("?") if near else "choose one of them",
    )


def _choose_levels(
    entries: list[_Entry], levels: Sequence[float] | None, offer: _Offer, sources: Sequence[str]
) -> list[_Entry]:
    if levels is None:
        return entries
    there = sorted({e.channel.level for e in entries if e.channel.level is not None})
    missing = [level for level in levels if not any(_same_level(level, other) for other in there)]
    if missing:
        raise InputError(
            f"{joined(sources)}: no level {missing[0]:g}",
            wanted=f"there are {joined(f'{level:g}' for level in there)}"
            if there
            else "no variable has levels",
            do="correct --levels",
        )
    chosen: list[_Entry] = []
    for variable in dict.fromkeys(entry.variable for entry in entries):
        own = [entry for entry in entries if entry.variable == variable]
        chosen += [entry for entry in own if entry.channel.level is None]
        for level in levels:
            chosen += [e for e in own if e.channel.level is not None and _same_level(level, e.channel.level)]
    for entry in entries:
        if entry not in chosen:
            offer.left_out[entry.channel.name] = "level not asked for (--levels)"
    return chosen


def _same_level(asked: float, there: float) -> bool:
    return math.isclose(asked, there, rel_tol=1e-3, abs_tol=1e-9)


def _choose_grid(entries: list[_Entry], offer: _Offer, *, asked: bool) -> list[_Entry]:
    """Keep the channels on the grid that most of them share."""
    groups: list[list[_Entry]] = []
    for entry in entries:
        grid = entry.layers[0].field.grid
        odd = next((x for x in entry.layers if not x.field.grid.same_points(grid)), None)
        if odd is not None:
            raise InputError(
                f"{odd.field.path}: {entry.channel.name} lies on another grid than in "
                f"{entry.layers[0].field.path}",
                wanted="a variable must have one grid in all files",
                do="regrid one of them, or give them one at a time",
            )
        own = next((g for g in groups if g[0].layers[0].field.grid.same_points(grid)), None)
        if own is None:
            groups.append([entry])
        else:
            own.append(entry)
    best = max(groups, key=len)
    for group in groups:
        if group is best:
            continue
        first, kept = (g[0].layers[0].field.grid.shape for g in (group, best))
        reason = (
            f"on another grid ({first[0]} x {first[1]}) than {best[0].channel.name} ({kept[0]} x {kept[1]})"
        )
        if asked:
            raise InputError(
                f"{group[0].layers[0].field.path}: {group[0].channel.name} is {reason}",
                wanted="a cube has one grid",
                do="regrid one of them, or ask for one of them",
            )
        offer.left_out.update({entry.channel.name: reason for entry in group})
    return best


def _build(entries: list[_Entry], offer: _Offer, sources: tuple[str, ...]) -> Cube:
    keys, calendar = _comparable([layer for entry in entries for layer in entry.layers])
    timelines = [_join(entry, keys, offer.notes) for entry in entries]
    common = reduce(np.intersect1d, [timeline.keys for timeline in timelines])
    union = reduce(np.union1d, [timeline.keys for timeline in timelines])
    if not len(common):
        raise InputError(
            f"{joined(sources)}: the variables share no time step",
            wanted="a cube has one time axis",
            do="give files of the same period",
        )
    if len(common) < len(union):
        offer.notes.append(
            f"{len(union) - len(common)} of {len(union)} time steps are dropped: not every variable has them."
        )
    series = tuple(timeline.select(common) for timeline in timelines)
    time = _time_axis(series[0], entries[0], calendar, sources)
    squeezed = sorted({dim for entry in entries for layer in entry.layers for dim in layer.squeezed})
    if squeezed:
        offer.notes.append(f"Dimensions of one point are dropped: {', '.join(squeezed)}.")
    merged = sorted({part.merged for one in series for part in one.parts if part.merged})
    if merged:
        offer.notes.append(f"Dimension {merged[0]} is merged: the first value that is not missing counts.")
    if time.irregular_steps:
        offer.notes.append(f"{time.irregular_steps} time steps are not {time.step} long.")
    parts = [part for one in series for part in one.parts]
    offer.notes += [f"{part.path}: {part.name}: {part.screen.flaw}." for part in parts if part.screen.flaw]
    chunk = series[0].parts[0].chunk_steps
    fields = da.stack([to_dask(one, chunk) for one in series], axis=1)  # type: ignore[no-untyped-call]
    return Cube(
        fields=xr.DataArray(fields, dims=("time", "channel", "y", "x")),
        channels=tuple(entry.channel for entry in entries),
        time=time,
        grid=series[0].parts[0].grid,
        sources=sources,
        notes=tuple(dict.fromkeys(offer.notes)),
        left_out=offer.left_out,
        file_chunk_steps=chunk,
        series=series,
        ledgers=tuple(part.ledger for part in parts),
    )


@dataclass
class _Timeline:
    """Steps of one channel in order of time: comparable stamps, and where each is."""

    parts: tuple[Any, ...]
    keys: npt.NDArray[np.int64]
    part: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]

    def select(self, keys: npt.NDArray[np.int64]) -> Series:
        at = np.searchsorted(self.keys, keys)
        return Series(self.parts, self.part[at], self.step[at])


def _comparable(layers: list[Layer]) -> tuple[dict[int, npt.NDArray[np.int64]], str | None]:
    """Stamps of each layer (by ``id``) as integers that compare across files, and the calendar."""
    calendars = {layer.calendar.lower() for layer in layers}
    if not (len(calendars) == 1 or calendars <= _STANDARD_CALENDARS):
        first, other = layers[0], next(x for x in layers if x.calendar != layers[0].calendar)
        raise InputError(
            f"{first.field.path} counts time in calendar {first.calendar}, {other.field.path} in "
            f"{other.calendar}",
            wanted="a cube has one calendar",
            do="give files of one calendar",
        )
    calendar = layers[0].calendar.lower()
    if all(layer.stamps.dtype.kind == "M" for layer in layers):
        return {id(x): x.stamps.astype("datetime64[ns]").astype(np.int64) for x in layers}, calendar
    return {id(x): _microseconds(x.stamps, calendar) for x in layers}, calendar


def _microseconds(stamps: npt.NDArray[Any], calendar: str) -> npt.NDArray[np.int64]:
    if stamps.dtype.kind == "M":
        return stamps.astype("datetime64[us]").astype(np.int64)
    return np.asarray(cftime.date2num(stamps, "microseconds since 1970-01-01", calendar), np.int64)


def _join(entry: _Entry, keys: dict[int, npt.NDArray[np.int64]], notes: list[str]) -> _Timeline:
    """Join the layers of one channel in time; where two files hold a step, the first named wins."""
    _check_units(entry)
    per_layer = [keys[id(layer)] for layer in entry.layers]
    for layer, own in zip(entry.layers, per_layer, strict=True):
        _check_duplicates(layer, own)
        if (np.diff(own) < 0).any():
            notes.append(f"{layer.field.path}: time steps are not in order and are sorted.")
    seen = np.array([], np.int64)
    for number, own in enumerate(per_layer):
        shared = int(np.isin(own, seen).sum())
        if shared == len(own):
            raise _same_twice(entry, per_layer, number)
        if shared:
            notes.append(
                f"{entry.layers[number].field.path}: {shared} time steps of {entry.channel.name} are in "
                "files named before it and are taken from there."
            )
        seen = np.concatenate([seen, own])
    part = np.repeat(np.arange(len(per_layer)), [len(own) for own in per_layer])
    step = np.concatenate([np.arange(len(own)) for own in per_layer])
    ordered, first = np.unique(seen, return_index=True)
    return _Timeline(tuple(layer.field for layer in entry.layers), ordered, part[first], step[first])


def _check_units(entry: _Entry) -> None:
    first = entry.layers[0]
    odd = next((x for x in entry.layers if x.channel.units != first.channel.units), None)
    if odd is not None:
        raise InputError(
            f"{entry.channel.name} is in {first.channel.units!r} in {first.field.path} and in "
            f"{odd.channel.units!r} in {odd.field.path}",
            wanted="a variable must have one unit",
            do="convert one of the files",
        )


def _check_duplicates(layer: Layer, keys: npt.NDArray[np.int64]) -> None:
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    if (counts > 1).any():
        stamp = layer.stamps[first[np.argmax(counts > 1)]]
        raise InputError(
            f"{layer.field.path}: time stamp {str(stamp)[:19]} occurs more than once",
            wanted="each time step must be there once",
            do="remove the duplicates, for example with cdo -mergetime or xarray's drop_duplicates",
        )


def _same_twice(entry: _Entry, per_layer: list[npt.NDArray[np.int64]], number: int) -> InputError:
    later = entry.layers[number]
    overlap = [np.isin(per_layer[number], own).any() for own in per_layer[:number]]
    earlier = entry.layers[int(np.argmax(overlap))]
    return InputError(
        f"{earlier.field.path} and {later.field.path} both hold {entry.channel.name} at the same times",
        wanted="each step of a variable may come from one file",
        do="leave one of the files out",
    )


def _time_axis(series: Series, entry: _Entry, calendar: str | None, sources: tuple[str, ...]) -> TimeAxis:
    stamps = [layer.stamps for layer in entry.layers]
    if any(own.dtype.kind != "M" for own in stamps):
        stamps = [_as_cftime(own, calendar) for own in stamps]
    values = np.array([stamps[part][step] for part, step in zip(series.part, series.step, strict=True)])
    try:
        return TimeAxis.from_values(values, calendar)
    except InputError as error:
        raise InputError(f"{joined(sources)}: {error.found}", wanted=error.wanted, do=error.do) from None


def _as_cftime(stamps: npt.NDArray[Any], calendar: str | None) -> npt.NDArray[Any]:
    if stamps.dtype.kind != "M":
        return stamps
    numbers = stamps.astype("datetime64[us]").astype(np.int64)
    return np.asarray(cftime.num2date(numbers, "microseconds since 1970-01-01", calendar or "standard"))
