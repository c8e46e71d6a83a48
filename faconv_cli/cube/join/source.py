"""Open files as one cube: select and merge the layers of all files and put them on one time axis."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from faconv_cli.cube.axes.areas import CellAreas
from faconv_cli.cube.axes.choose import Asked
from faconv_cli.cube.axes.conventions import Found, Layer, find_layers, joined
from faconv_cli.cube.channel import check_channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.join.join import Entry, join
from faconv_cli.cube.join.oneunit import levels_in_one_unit
from faconv_cli.cube.open.formats import open_datasets
from faconv_cli.cube.open.paths import expand
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.open.table import is_table, open_table
from faconv_cli.cube.read.lazy import FileField
from faconv_cli.cube.read.readers import to_dask
from faconv_cli.errors import InputError, UsageError
from faconv_cli.files import without_credentials


def open_cube(
    paths: Sequence[str | Path],
    *,
    variables: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    time_dim: str | None = None,
    time_index: bool = False,
    member: str | None = None,
    step: str | None = None,
    regrid: float | None = None,
    stream: str | None = None,
    data_type: str | None = None,
    engine: str | None = None,
    level_units: Sequence[str] = (),
    missing_value: Sequence[float] = (),
    series: bool = False,
) -> Cube:
    """Open NetCDF-3/4, GRIB and Zarr as one lazy cube; only coordinates are read.

    Files with the same variable are joined in time, and different variables become channels. Steps that not
    every variable has are dropped. ``notes`` and ``left_out`` say what was selected and dropped.

    Args:
        paths: files, globs, folders, Zarr stores, URLs (see `paths.expand`).
        variables: variables to select, in this order: a variable (all its levels), a channel such as
            ``z500``, or ``CHANNEL=NAME`` to rename NAME to CHANNEL. Default: every variable on the grid.
        levels: levels to select from variables that have levels. Default: all.
        time_dim: name of the time coordinate, if it cannot be recognised.
        time_index: whether to number the time steps instead of decoding their times.
        member: name or number of the ensemble member to select.
        step: lead time of the forecasts to select: hours, or a number with a unit such as ``2d``.
        regrid: spacing in degrees of the regular grid to which grids without two dimensions are regridded.
        stream, data_type: GRIB messages to select, if there are several kinds.
        engine: xarray engine to open all files with (see `formats.open_datasets`).
        level_units: units to which levels are converted if possible, such as those of a training. Default:
            those of the first file.
        missing_value: values that mean missing data, besides those that the files declare.
        series: whether to read tables (see `table`) and variables without a grid, as fields of one point.

    Raises:
        InputError: if a file cannot be read or has no horizontal fields over time, a variable or level does
            not exist, or files contradict each other.
        UsageError: if there is no path, or options contradict each other.
    """
    for option, names in (("--variables", variables), ("--levels", levels)):
        if names is not None and not len(names):
            raise UsageError(
                f"{option} is an empty list",
                wanted="it takes one or more names or numbers, separated by commas",
                do=f"name at least one, or remove {option}",
            )
    offer = _Offer()
    locations, offer.notes = expand(paths, folders=engine is None)
    asked = Asked(time_dim, time_index, member, step, regrid, stream, data_type, tuple(missing_value), series)
    opened = [
        (location.rstrip("/") + one.group.rstrip("/"), one)
        for location in locations
        for one in (
            open_table(location) if series and is_table(location) else open_datasets(location, engine)
        )
    ]
    areas = CellAreas((location, one.dataset) for location, one in opened)
    for location, one in opened:
        offer.notes += one.notes
        offer.add(find_layers(one.dataset, location, asked, one.close, areas, one.refused))
    if time_index:
        offer.leave_out_constants()
    if variables is None:
        offer.leave_out_single_steps()
    sources = tuple(map(without_credentials, locations))
    offer.check(sources, None if variables is None else [item.rpartition("=")[2] for item in variables])
    offer.layers = levels_in_one_unit(offer.layers, level_units, offer.notes)
    chosen = _choose_levels(_choose_variables(offer, variables, sources), levels, offer, sources)
    chosen = _choose_grid(chosen, offer, asked=variables is not None)
    offer.note_refused(chosen)
    offer.left_out |= dict.fromkeys(areas.used & offer.left_out.keys(), "a cell measure")
    return _build(chosen, offer, sources, numbered=time_index)


@dataclass
class _Offer:
    """All that the files offer."""

    layers: list[Layer] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.layers += found.layers
        self.refused.update(found.refused)
        self.notes += found.notes

    def leave_out_constants(self) -> None:
        """With numbered steps, drop fields without a time axis if other fields have one."""
        moving = {layer.variable for layer in self.layers if layer.field.dims[0] is not None}
        if moving:
            constant = {layer.variable for layer in self.layers} - moving
            why = Refusal(
                "no time axis", "a channel must vary in time", "give its file with --static instead"
            )
            self.refused.update(dict.fromkeys(constant, why))
            self.layers = [layer for layer in self.layers if layer.variable in moving]

    def leave_out_single_steps(self) -> None:
        """Drop variables with one time step beside others with several: a land–sea mask, cell areas."""
        steps: dict[str, int] = {}
        for layer in self.layers:
            steps[layer.variable] = steps.get(layer.variable, 0) + layer.field.steps
        if max(steps.values(), default=0) > 1:
            single = {variable for variable, count in steps.items() if count == 1}
            why = Refusal(
                "only one time step", "a channel must vary in time", "give its file with --static instead"
            )
            self.refused.update(dict.fromkeys(single, why))
            self.layers = [layer for layer in self.layers if layer.variable not in single]

    def check(self, sources: Sequence[str], asked: Sequence[str] | None) -> None:
        """Raise the error of a faulty wanted variable, or that of the closest one if none can be used."""
        self.left_out = {name: refusal.told for name, refusal in self.refused.items()}
        wanted = {name: one for name, one in self.refused.items() if asked is None or name in asked}
        where = joined(sources)
        for name, refusal in wanted.items():
            if refusal.wrong:
                raise refusal.as_error(name, where)
        if self.layers:
            return
        if not self.refused:
            raise InputError(
                f"{where}: no variable has latitude, longitude and time",
                wanted="faconv reads horizontal fields that vary in time",
                do="check the dimensions in the file with ncdump -h or grib_ls",
            )
        name, refusal = max((wanted or self.refused).items(), key=lambda item: item[1].stage)
        raise refusal.as_error(name, where)

    def note_refused(self, chosen: Sequence[Entry]) -> None:
        """Note variables that are not read from every file."""
        for name in dict.fromkeys(entry.variable for entry in chosen if entry.variable in self.refused):
            self.notes.append(
                f"{name} is not read from every file: in one of them it has {self.refused[name].told}."
            )

    def entries(self) -> list[Entry]:
        """Group layers into channels; different channels of the same name get distinguishing suffixes."""
        groups: dict[tuple[Any, ...], Entry] = {}
        for layer in self.layers:
            key = (layer.channel.name, layer.channel.level, layer.variant)
            groups.setdefault(key, Entry(layer.channel, layer.variable, [])).layers.append(layer)
        entries = list(groups.values())
        _tell_levels_apart(entries)
        for name in {entry.channel.name for entry in entries}:
            namesakes = [entry for entry in entries if entry.channel.name == name]
            if len(namesakes) > 1:
                _tell_apart(namesakes)
        return entries


def _tell_levels_apart(entries: list[Entry]) -> None:
    """Rename a level that has the name of another variable: WRF has ``T2``, and ``T`` on level 2."""
    variables = {entry.variable for entry in entries}
    for entry in entries:
        channel = entry.channel
        if channel.name in variables - {entry.variable}:
            entry.channel = replace(channel, name=f"{entry.variable}_{channel.level:g}")


def _tell_apart(namesakes: list[Entry]) -> None:
    variants = [entry.layers[0].variant for entry in namesakes]
    differing = [parts for parts in zip(*variants, strict=True) if len(set(parts)) > 1]
    for entry, *parts in zip(namesakes, *differing, strict=True):
        suffix = next((part for part in parts if part), "")
        entry.channel = replace(entry.channel, name=f"{entry.channel.name}_{suffix}".rstrip("_"))


def _choose_variables(offer: _Offer, asked: Sequence[str] | None, sources: Sequence[str]) -> list[Entry]:
    entries = offer.entries()
    if asked is None:
        return entries
    chosen: list[Entry] = []
    for item in asked:
        new, _, old = item.rpartition("=")
        matching = [e for e in entries if e.variable == old] or [e for e in entries if e.channel.name == old]
        if not matching:
            raise _unknown_variable(old, entries, offer, sources)
        chosen += [_renamed(entry, old, new) for entry in matching] if new else matching
    for entry in entries:
        if not any(entry.layers is taken.layers for taken in chosen):
            offer.left_out[entry.channel.name] = "not selected"
    names = [entry.channel.name for entry in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"--variables selects channel {twice[0]} twice",
            wanted="each channel must have its own name",
            do="remove one of them from --variables, or rename it with NEW=NAME",
        )
    return chosen


def _renamed(entry: Entry, old: str, new: str) -> Entry:
    name = new + entry.channel.name.removeprefix(old)
    check_channel(name, "--variables")
    return Entry(replace(entry.channel, name=name), entry.variable, entry.layers)


def _unknown_variable(
    name: str, entries: list[Entry], offer: _Offer, sources: Sequence[str]
) -> InputError | UsageError:
    where = joined(sources)
    refused = next((n for n in offer.refused if name == n or _is_level_of(name, n)), None)
    if refused is not None:
        return offer.refused[refused].as_error(refused, where)
    names = list(dict.fromkeys([*(e.variable for e in entries), *(e.channel.name for e in entries)]))
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    return InputError(
        f"{where} has no variable {name!r}",
        wanted=f"available variables are {joined(names)}",
        do=f"write {near[0]}, which is the closest name" if near else "choose one of them",
    )


def _is_level_of(name: str, variable: str) -> bool:
    """Return whether a channel name is that of a level of a variable, such as z500."""
    return re.fullmatch(rf"{re.escape(variable)}\d[\d.e+-]*", name) is not None


def _choose_levels(
    entries: list[Entry], levels: Sequence[float] | None, offer: _Offer, sources: Sequence[str]
) -> list[Entry]:
    if levels is None:
        return entries
    there = sorted({e.channel.level for e in entries if e.channel.level is not None})
    missing = [level for level in levels if not any(_same_level(level, other) for other in there)]
    if missing:
        raise InputError(
            f"{joined(sources)} has no level {missing[0]:g}",
            wanted=f"available levels are {joined(f'{level:g}' for level in there)}"
            if there
            else "no variable has levels",
            do="choose from these with --levels" if there else "remove --levels",
        )
    chosen: list[Entry] = []
    for variable in dict.fromkeys(entry.variable for entry in entries):
        own = [entry for entry in entries if entry.variable == variable]
        chosen += [entry for entry in own if entry.channel.level is None]
        for level in levels:
            chosen += [e for e in own if e.channel.level is not None and _same_level(level, e.channel.level)]
    for entry in entries:
        if entry not in chosen:
            offer.left_out[entry.channel.name] = "level not selected (--levels)"
    return chosen


def _same_level(asked: float, there: float) -> bool:
    return math.isclose(asked, there, rel_tol=1e-3, abs_tol=1e-9)


def _choose_grid(entries: list[Entry], offer: _Offer, *, asked: bool) -> list[Entry]:
    """Keep the channels on the grid that most variables share; in a tie, the grid with most levels."""
    groups: list[list[Entry]] = []
    for entry in entries:
        grid = entry.layers[0].field.grid
        odd = next((x for x in entry.layers if not x.field.grid.same_points(grid)), None)
        if odd is not None:
            raise InputError(
                f"{odd.field.path}: {entry.channel.name} is on a different grid from that in "
                f"{entry.layers[0].field.path}",
                wanted="a variable must have the same grid in all files",
                do="regrid one of the files (cdo remapbil), or run faconv on each of them alone",
            )
        own = next((g for g in groups if g[0].layers[0].field.grid.same_points(grid)), None)
        if own is None:
            groups.append([entry])
        else:
            own.append(entry)
    best = max(groups, key=lambda own: (len({entry.variable for entry in own}), len(own)))
    for group in groups:
        if group is best:
            continue
        first, kept = (g[0].layers[0].field.grid.shape for g in (group, best))
        reason = (
            f"on a different grid ({first[0]} x {first[1]}) from {best[0].channel.name} "
            f"({kept[0]} x {kept[1]})"
        )
        if asked:
            raise InputError(
                f"{group[0].layers[0].field.path}: {group[0].channel.name} is {reason}",
                wanted="all variables must be on the same grid",
                do="regrid one of them (cdo remapbil), or select variables of one grid with --variables",
            )
        offer.left_out.update({entry.channel.name: reason for entry in group})
    return best


def _build(entries: list[Entry], offer: _Offer, sources: tuple[str, ...], *, numbered: bool) -> Cube:
    entries = [entry.renumbered() for entry in entries] if numbered else entries
    series, time = join(entries, sources, offer.notes)
    squeezed = sorted({dim for entry in entries for layer in entry.layers for dim in layer.squeezed})
    if squeezed:
        offer.notes.append(f"Dimensions of one point are dropped: {', '.join(squeezed)}.")
    merged = sorted({part.merged for one in series for part in one.parts if part.merged})
    if merged:
        offer.notes.append(f"Dimension {merged[0]} is merged: the first value that is not missing is used.")
    if time.irregular_steps:
        offer.notes.append(f"{time.irregular_steps} time steps differ from the usual {time.step}.")
    parts = [part for one in series for part in one.parts]
    offer.notes += [told for part in parts if (told := part.grid.renamed)]
    offer.notes += [f"{part.path}: {part.name}: {flaw}." for part in parts for flaw in part.screen.flaws]
    anomalies = [entry.channel for entry in entries if entry.channel.anomaly]
    offer.notes += [f"{one.name} holds anomalies: its {one.anomaly} is already removed." for one in anomalies]
    offer.notes += _repeats_told([one.file for one in series])
    grid = _one_grid(entries, offer)
    offer.notes += [grid.torn] if grid.torn else []
    chunk = series[0].parts[0].chunk_steps
    fields = da.stack([to_dask(one, chunk) for one in series], axis=1)  # type: ignore[no-untyped-call]
    return Cube(
        fields=xr.DataArray(fields, dims=("time", "channel", "y", "x")),
        channels=tuple(entry.channel for entry in entries),
        time=time,
        grid=grid,
        sources=sources,
        notes=tuple(dict.fromkeys(offer.notes)),
        left_out=offer.left_out,
        file_chunk_steps=chunk,
        series=tuple(series),
        ledgers=tuple(part.ledger for part in parts),
    )


def _one_grid(entries: list[Entry], offer: _Offer) -> Grid:
    """Return the grid that all channels share, weighted by the first cell areas found."""
    grids = [(entry.channel.name, layer.field.grid) for entry in entries for layer in entry.layers]
    weighted = [(name, grid) for name, grid in grids if grid.cell_area is not None]
    if not weighted:
        return grids[0][1]
    first, grid = weighted[0]
    others = [name for name, one in weighted if not np.allclose(one.area, grid.area, rtol=1e-4, atol=0)]
    if others:
        offer.notes.append(
            f"The cell areas of {first} weight all channels, although those of {joined(others)} differ."
        )
    return grid


def _repeats_told(fields: list[FileField]) -> list[str]:
    """Report dropped repeated columns whose values differ, in the first and last step."""
    return [
        f"{one.path}: {one.name} has different values on repeated meridians; the first values are used."
        for one in fields
        if any(one.repeats_differ(step) for step in {0, one.steps - 1})
    ]
