"""Identify the variables of a data set, by CF attributes first, then units, then names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.axes.areas import CellAreas
from faconv_cli.cube.axes.choose import ALL, VERSION, Asked, choose, leads_told, member_labels
from faconv_cli.cube.axes.coordinates import Coordinates
from faconv_cli.cube.axes.decode_time import Stamps
from faconv_cli.cube.axes.roles import names_in, text_of
from faconv_cli.cube.axes.times import TimeFinder, Times
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.declared import REFUSED
from faconv_cli.cube.open.opened import ACCUMULATED, DATA_TYPE, STREAM
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.lazy import FileField, load
from faconv_cli.cube.read.masking import Ledger, Screen
from faconv_cli.cube.read.regrid import PointField
from faconv_cli.cube.units.differences import is_difference
from faconv_cli.cube.units.units import conversion
from faconv_cli.errors import InputError

_GRIB_KINDS = ("GRIB_typeOfLevel", "GRIB_stepType")
_RUN = {  # global attributes of CMIP, CORDEX and others: the run, and its parent run
    "model": (("source_id", "model_id"), ("parent_source_id",)),
    "member": (("variant_label", "member_id", "realization"), ("parent_variant_label",)),
    "experiment": (("experiment_id", "case"), ("parent_experiment_id",)),
}
_KINDS = {"stream": STREAM, "data type": DATA_TYPE}  # of GRIB messages, by their attribute
OPTIONS = {what: f"--{what.replace(' ', '-')}" for what in _KINDS}
_MEMBERS = {"cf", "pf"}  # the control and the perturbed forecasts of one ensemble
_PRESSURE_UNITS = {"pa", "hpa", "mbar", "mb", "millibar", "millibars", "bar", "dbar"}  # without udunits


Run = dict[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, eq=False)
class Layer:
    """One horizontal field over time, which a data set provides as a channel.

    Attributes:
        variable: its variable in the file.
        channel: its channel, under its default name.
        field: how to read it.
        stamps: (t,) its times.
        squeezed: dimensions of one point that were dropped.
        member: name of the ensemble member, if all are used.
        variant: what distinguishes it from a namesake: GRIB type of level and of step, units of the level.
        run: model, member and experiment named in the file, each with its parent.
    """

    variable: str
    channel: Channel
    field: FileField
    stamps: Stamps
    squeezed: tuple[str, ...]
    variant: tuple[str, ...] = ()
    member: str = ""
    run: Run = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """Layers of one data set, reasons why its other variables are left out, and notes on choices made."""

    layers: list[Layer]
    refused: dict[str, Refusal]
    notes: list[str]


def find_layers(
    dataset: xr.Dataset,
    path: str,
    asked: Asked,
    close: Callable[[], None] | None = None,
    areas: CellAreas | None = None,
    refused: Mapping[str, Refusal] | None = None,
) -> Found:
    """Find the layers of one data set, and why its other variables are left out.

    Args:
        dataset: opened lazily, times still encoded.
        path: the file, for messages.
        asked: what to select.
        close: closes the file until it is read again.
        areas: cell areas in this file and others. Default: in this one.
        refused: variables already refused, with the reasons.

    Raises:
        InputError: the file is damaged.
        UsageError: see `choose`.
    """
    chosen = choose(dataset, asked, path)
    areas = areas or CellAreas([(path, dataset)])
    coordinates = Coordinates(chosen.dataset, path, close, asked.regrid, series=asked.series)
    found = Found([], {}, [])
    times = TimeFinder(coordinates, asked)
    for name in coordinates.candidates:
        if name == ACCUMULATED:
            continue  # added by faconv, not in the file
        offered = (
            chosen.refusal
            or _not_asked(coordinates.variables[name], asked)
            or (refused or {}).get(name)
            or _offered(name, coordinates, areas, times, asked)
        )
        if isinstance(offered, Refusal):
            found.refused[name] = offered
        else:
            found.layers.extend(offered)
    if found.layers:
        decoded = (layer.stamps.note for layer in found.layers)
        found.notes.extend([*chosen.notes, *coordinates.notes, *(note for note in decoded if note)])
    return found


def _not_asked(variable: xr.Variable, asked: Asked) -> Refusal | None:
    """Return a refusal for a variable of another stream or data type than requested."""
    for what, wanted in (("stream", asked.stream), ("data type", asked.data_type)):
        own = text_of(variable.attrs, _KINDS[what])
        if wanted is not None and own and own != wanted:
            option = OPTIONS[what]
            told = f"{what} {own}, which {option} {wanted} leaves out"
            return Refusal(told, f"{option} must name a {what} in the file", f"pass {option} {own}", stage=7)
    return None


def _offered(
    name: str, roles: Coordinates, areas: CellAreas, times: TimeFinder, asked: Asked
) -> list[Layer] | Refusal:
    """Return the layers of a variable; an error in it must not stop users of other variables."""
    try:
        return _layers_of(name, roles, areas, times, asked)
    except InputError as error:
        return Refusal(error.found, error.wanted, error.do, stage=6, wrong=True)


def _layers_of(
    name: str, roles: Coordinates, areas: CellAreas, times: TimeFinder, asked: Asked
) -> list[Layer] | Refusal:
    refusal = _no_field(name, roles)
    if refusal:
        return refusal
    grid = roles.grid_of(name)
    if isinstance(grid, Refusal):
        return grid
    series = times.of(name, grid)
    if isinstance(series, Refusal):
        return series
    grid = areas.weigh(name, grid, roles)
    layers: list[Layer] = []
    for one in series:
        dims = _dims_of(name, roles, grid, one, asked)
        if isinstance(dims, Refusal):
            return dims
        layers += _along(name, roles, grid, one, dims, Screen.of(roles.variables[name], asked.missing_value))
    return layers


def _no_field(name: str, roles: Coordinates) -> Refusal | None:
    """Return why a variable cannot be a field, regardless of its coordinates."""
    variable = roles.variables[name]
    if name in roles.auxiliary:
        return Refusal(roles.auxiliary[name], "a channel must be a field", "leave it out")
    if name in roles.dataset.coords:
        return Refusal("an auxiliary coordinate", "a channel must be a field", "leave it out")
    if variable.dtype.kind not in "fiub":
        return Refusal(f"not numeric ({variable.dtype})", "a channel holds numbers", "leave it out")
    if variable.encoding.get(REFUSED):
        reason = str(variable.encoding[REFUSED])
        return Refusal(reason, "packed values are stored times scale plus offset", "correct the attribute")
    if 0 in variable.shape:
        empty = variable.dims[variable.shape.index(0)]
        return Refusal(
            f"no value (dimension {empty} has no point)", "a channel holds numbers", "leave it out"
        )
    return None


@dataclass(frozen=True)
class _Dims:
    """The dimensions of a variable besides time and the grid.

    Attributes:
        fixed: initial index along each dimension.
        level: dimension of the levels.
        member: dimension of the members, if all are used.
        members: their names; one empty name if the file does not mention members.
        merged: see `FileField`.
        squeezed: dimensions of one point.
    """

    fixed: dict[str, int]
    level: str | None
    member: str | None
    members: list[str]
    merged: str | None
    squeezed: tuple[str, ...]


def _dims_of(name: str, roles: Coordinates, grid: Grid, times: Times, asked: Asked) -> _Dims | Refusal:
    horizontal = (times.dim, grid.y_name, grid.x_name, *times.fixed)
    others = [str(d) for d in roles.variables[name].dims if d not in horizontal]
    merged = next((dim for dim in others if dim == VERSION), None)
    others = [dim for dim in others if dim != merged]
    long = [dim for dim in others if roles.dataset.sizes[dim] > 1]
    member = next((dim for dim in others if roles.role_of_dim(dim) == "member"), None)
    member = member if asked.member == ALL else None
    refusal = _refuse_dims([dim for dim in long if dim != member], roles)
    if refusal:
        return refusal
    level = next((dim for dim in (*long, *others) if roles.role_of_dim(dim) == "vertical"), None)
    members = _members(member, roles) if asked.member == ALL else [""]
    squeezed = tuple(dim for dim in others if dim not in (*long, member))
    return _Dims(dict.fromkeys(others, 0) | times.fixed, level, member, members, merged, squeezed)


def _along(
    name: str, roles: Coordinates, grid: Grid, times: Times, dims: _Dims, screen: Screen
) -> list[Layer]:
    """Return one layer for each level and member."""
    variable, steps = roles.once(roles.variables[name]), len(times.stamps.values)
    repeated = roles.variables[name] if variable.shape != roles.variables[name].shape else None
    regridding = roles.regriddings.get(grid.y_name)
    make = FileField if regridding is None else partial(PointField, regridding=regridding)
    layers = []
    for number, channel in enumerate(_channels(name, variable, dims.level, roles)):
        variant = (*(text_of(variable.attrs, key) for key in _GRIB_KINDS), channel.level_units)
        for place, member in enumerate(dims.members):
            at = {dim: index for dim, index in ((dims.level, number), (dims.member, place)) if dim}
            one = make(
                roles.path,
                name,
                variable,
                (times.dim, grid.y_name, grid.x_name),
                {**dims.fixed, **at},
                grid,
                steps,
                screen,
                Ledger(name, steps),
                dims.merged,
                roles.close,
                repeated=repeated,
                accumulated=_accumulated(roles, times),
            )
            run = _run_of(roles) | _kinds_of(variable)
            layers.append(Layer(name, channel, one, times.stamps, dims.squeezed, variant, member, run))
    return layers


def _accumulated(roles: Coordinates, times: Times) -> npt.NDArray[np.float64] | None:
    """Return the accumulation length of each step of a series in hours, if the file gives it."""
    hours = roles.variables.get(ACCUMULATED)
    if hours is None:
        return None
    fixed = {dim: times.fixed.get(str(dim), 0) for dim in hours.dims if dim != times.dim}
    return np.broadcast_to(hours.isel(fixed).to_numpy(), len(times.stamps.values))


def _run_of(roles: Coordinates) -> Run:
    """Return what the global attributes and a scalar member coordinate say about the run."""
    dataset = roles.dataset

    def told(keys: Iterable[str]) -> tuple[str, ...]:
        return tuple(str(dataset.attrs[key]).strip() for key in keys if key in dataset.attrs)

    named = {what: (told(own), told(parents)) for what, (own, parents) in _RUN.items()}
    run = {what: (own[0], parents) for what, (own, parents) in named.items() if own}
    members = _members(None, roles)
    return run | ({"member": (members[0], ())} if len(members) == 1 and members[0] else {})


def _kinds_of(variable: xr.Variable) -> Run:
    """Return stream and data type of a GRIB variable; control and perturbed members count as one type."""
    told = {what: text_of(variable.attrs, attribute) for what, attribute in _KINDS.items()}
    return {what: ("cf and pf" if one in _MEMBERS else one, ()) for what, one in told.items() if one}


def _members(dim: str | None, roles: Coordinates) -> list[str]:
    """Return names of the members along a dimension, or of a single member if the file names it."""
    name = dim or next(iter(roles.by_role["member"]), None)
    return [""] if name is None else member_labels(roles.dataset, name)


def _refuse_dims(long: list[str], roles: Coordinates) -> Refusal | None:
    sizes, kinds = roles.dataset.sizes, {dim: roles.role_of_dim(dim) for dim in long}
    for dim, kind in kinds.items():
        if kind == "member":
            return Refusal(
                f"{sizes[dim]} ensemble members (dimension {dim})",
                "a record has one member, unless all are used as samples",
                "select one with --member NAME, or use all as samples with --member all",
                stage=5,
            )
        if kind == "lead":
            return Refusal(
                f"{sizes[dim]} forecast steps (dimension {dim})",
                f"a record has one lead time; the file has {leads_told(roles.dataset, dim)}",
                "select one with --step",
                stage=5,
            )
    levels = [dim for dim in long if kinds[dim] == "vertical"]
    unknown = [dim for dim in long if dim not in levels] or levels[1:]
    if unknown:
        return Refusal(
            f"a further dimension {unknown[0]} of {sizes[unknown[0]]}",
            "a channel has time, latitude, longitude and at most one vertical dimension",
            "select one point along it in the file first",
            stage=5,
        )
    return None


def _channels(name: str, variable: xr.Variable, level_dim: str | None, roles: Coordinates) -> list[Channel]:
    """Return one channel per level; names include the level if there are several or it is a pressure."""
    whole = _channel(name, variable)
    coordinate = roles.coordinate_of(level_dim) if level_dim else _scalar_pressure(name, roles)
    if coordinate is None and level_dim is None:
        return [whole]
    if coordinate is None:
        count = roles.dataset.sizes[level_dim]
        coordinate = xr.Variable((level_dim,), np.arange(count), {"units": ""})
    level_units = text_of(coordinate.attrs, "units")
    levels = np.atleast_1d(load(coordinate, roles.path, level_dim or name)).astype(np.float64)
    if len(levels) == 1 and not _is_pressure(level_units):
        return [whole]
    return [
        replace(whole, name=f"{name}{level:g}", level=float(level), level_units=level_units)
        for level in levels
    ]


def _channel(name: str, variable: xr.Variable) -> Channel:
    """Return the channel that the attributes of a variable describe."""
    units, long_name, standard_name, anomaly, *more = (
        text_of(variable.attrs, key)
        for key in ("units", "long_name", "standard_name", schema.ANOMALY, "cell_methods", "units_metadata")
    )
    difference = bool(anomaly) or is_difference(name, long_name, standard_name, *more)
    return Channel(name, units, long_name, standard_name, anomaly=anomaly, difference=difference)


def _scalar_pressure(name: str, roles: Coordinates) -> xr.Variable | None:
    """Return a scalar pressure coordinate named by the variable, as in CF."""
    variable = roles.variables[name]
    for other in names_in(variable, "coordinates"):
        coordinate = roles.variables.get(other)
        if (
            coordinate is not None
            and coordinate.ndim == 0
            and _is_pressure(text_of(coordinate.attrs, "units"))
        ):
            return coordinate
    return None


def _is_pressure(units: str) -> bool:
    return units.lower() in _PRESSURE_UNITS or conversion(units, "Pa") is not None


def joined(names: Iterable[str]) -> str:
    """Return names as text, at most the first ten."""
    listed = list(names)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
