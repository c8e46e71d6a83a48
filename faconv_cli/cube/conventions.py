"""What the variables of a data set are, by CF attributes first, then units, then names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.cube import Channel
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.lazy import FileField, first_line, load
from faconv_cli.cube.masking import Ledger, Screen
from faconv_cli.errors import InputError

Role = Literal["latitude", "longitude", "time", "vertical", "member"]

_VERSION = "expver"  # ERA5's final and preliminary data, of which each step has one
_GRIB_KINDS = ("GRIB_typeOfLevel", "GRIB_stepType")
_PRESSURE_UNITS = {"pa", "hpa", "mbar", "mb", "millibar", "millibars", "bar", "dbar"}
_NAMES: dict[Role, re.Pattern[str]] = {
    "latitude": re.compile(r"lat|latitude|nav_lat|xlat|lats|lat2d|gphi.", re.I),
    "longitude": re.compile(r"lon|longitude|nav_lon|xlong|lons|lon2d|glam.", re.I),
    "time": re.compile(r"t|time|times|valid_time|xtime|time_counter|date|datetime", re.I),
    "vertical": re.compile(
        r"z|z_?lev\w*|p?lev\w*|level\w*|isobaric\w*|height\w*|altitude|depth\w*|nav_lev|pressure\w*|hybrid|"
        r"bottom_top|sigma|ap?lev|lv_.*",
        re.I,
    ),
    "member": re.compile(r"number|member|members|realization|realisation|ens|ensemble\w*", re.I),
}
_MEMBER_STANDARD_NAMES = {"realization"}
# names that look like the time of the fields and are not
_OTHER_TIMES = {"forecast_reference_time", "forecast_period"}


@dataclass(frozen=True)
class Refusal:
    """Why a variable is not a channel, in the parts of an error; a larger ``stage`` came nearer."""

    reason: str
    wanted: str
    do: str
    stage: int = 0


@dataclass(frozen=True, eq=False)
class Layer:
    """One horizontal field over time that one data set offers as a channel.

    Attributes:
        variable: its variable in the file.
        channel: what it holds, named as if nothing else were chosen.
        field: how to read it.
        stamps: (t,) datetime64[ns] or cftime.
        calendar: CF name of the calendar, as in the file.
        squeezed: dimensions of one point that were dropped.
        variant: what else tells it from a namesake: GRIB's type of level and of step, units of the level.
    """

    variable: str
    channel: Channel
    field: FileField
    stamps: npt.NDArray[Any]
    calendar: str
    squeezed: tuple[str, ...]
    variant: tuple[str, ...] = ()


def find_layers(
    dataset: xr.Dataset,
    path: str,
    time_dim: str | None = None,
    close: Callable[[], None] | None = None,
) -> tuple[list[Layer], dict[str, Refusal]]:
    """Find what one data set offers, and why its other variables are not offered.

    Args:
        dataset: opened lazily, times still encoded.
        path: the file, for messages.
        time_dim: name of the time coordinate, where it cannot be told.
        close: closes the file until it is read again.

    Raises:
        InputError: coordinates that contradict each other or cannot be decoded.
    """
    roles = _Roles(dataset, path, close)
    layers: list[Layer] = []
    refused: dict[str, Refusal] = {}
    time = _Time(roles, time_dim)
    for name in roles.candidates:
        found = _layers_of(name, roles, time)
        if isinstance(found, Refusal):
            refused[name] = found
        else:
            layers += found
    return layers, refused


class _Roles:
    """The coordinates of a data set by role, and the variables that may be fields."""

    def __init__(self, dataset: xr.Dataset, path: str, close: Callable[[], None] | None) -> None:
        self.dataset, self.path, self.close = dataset, path, close
        self.variables: dict[str, xr.Variable] = {str(k): v for k, v in dataset.variables.items()}
        self.auxiliary = _named_by_others(self.variables)
        self.by_role: dict[Role, list[str]] = {
            role: self._find(role) for role in ("latitude", "longitude", "time", "vertical", "member")
        }
        taken = {name for names in self.by_role.values() for name in names}
        self.candidates = [
            name
            for name, variable in self.variables.items()
            if name not in taken and name not in dataset.dims and _squeezed_ndim(variable) > 0
        ]
        self._grids: dict[tuple[str, str], Grid] = {}

    def _find(self, role: Role) -> list[str]:
        """Names of the variables of a role by the strongest evidence there is."""
        ranked: dict[str, int] = {}
        for name, variable in self.variables.items():
            rank = None if name in self.auxiliary else _evidence(role, name, variable)
            if _squeezed_ndim(variable) > (1 if role in ("vertical", "member") else 2):
                continue  # a field, whatever its name
            if rank is not None:
                ranked[name] = rank
        if role in ("vertical", "member"):  # many may stand side by side, each for its own dimension
            return list(ranked)
        counted = [name for name in ranked if " since " in _text(self.variables[name].attrs, "units")]
        if (
            role == "time" and counted
        ):  # an axis may be marked as time and hold nothing, as NEMO's time_counter
            ranked = {name: ranked[name] for name in counted}
        best = min(ranked.values(), default=0)
        return [name for name, rank in ranked.items() if rank == best]

    def grid_of(self, name: str) -> Grid | Refusal:
        """The grid of a variable from the latitude and longitude that share its dimensions."""
        dims = _long_dims(self.variables[name])
        for lat in self.by_role["latitude"]:
            for lon in self.by_role["longitude"]:
                north, east = (_long_dims(self.variables[n]) for n in (lat, lon))
                if not (set(north) | set(east) <= set(dims)):
                    continue
                if len(north) == len(east) == 1 and north != east:
                    return self._make_grid(lat, lon, north[0], east[0])
                if len(north) == 2 and north == east:
                    return self._make_grid(lat, lon, *north)
                if len(north) == len(east) == 1:
                    return _unstructured(north[0])
        return Refusal(
            f"no horizontal grid (dimensions {', '.join(dims) or 'none'})",
            "faconv needs latitude and longitude, each 1-D or both 2-D, of more than one point",
            "give a file that has them, with their standard_name or units",
            stage=1,
        )

    def _make_grid(self, lat: str, lon: str, y: str, x: str) -> Grid:
        if (lat, lon) not in self._grids:
            north, east = (np.squeeze(load(self.variables[name], self.path, name)) for name in (lat, lon))
            try:
                self._grids[lat, lon] = Grid.from_coordinates(north, east, y, x)
            except InputError as error:
                raise InputError(f"{self.path}: {error.found}", wanted=error.wanted, do=error.do) from None
        return self._grids[lat, lon]

    def role_of_dim(self, dim: str) -> Role | None:
        """Vertical or member, from the dimension's coordinate or, without one, its name."""
        kinds: tuple[Role, ...] = ("member", "vertical")
        for role in kinds:
            if any(self.variables[name].dims == (dim,) for name in self.by_role[role]):
                return role
        named = (role for role in kinds if _NAMES[role].fullmatch(dim))
        return next(named, None)

    def coordinate_of(self, dim: str) -> xr.Variable | None:
        """The coordinate along a dimension: its namesake, else one of a role."""
        if dim in self.variables:
            return self.variables[dim]
        names = [*self.by_role["vertical"], *self.by_role["member"]]
        return next((self.variables[n] for n in names if self.variables[n].dims == (dim,)), None)


class _Time:
    """The time coordinate of a data set, decoded once."""

    def __init__(self, roles: _Roles, asked: str | None) -> None:
        self._roles, self._asked = roles, asked
        self._decoded: dict[str, tuple[npt.NDArray[Any], str]] = {}

    def of(self, name: str) -> tuple[str | None, npt.NDArray[Any], str] | Refusal:
        """Dimension (``None`` where scalar), stamps and calendar for one variable."""
        dims = self._roles.variables[name].dims
        fitting = [n for n in self._names() if set(self._roles.variables[n].dims) <= set(dims)]
        if not fitting:
            return Refusal(
                f"no time axis (dimensions {', '.join(map(str, dims))})",
                "faconv needs a time coordinate that can be decoded",
                "name it with --time-dim",
                stage=3,
            )
        own = [n for n in fitting if n in dims] or fitting
        choices = {_long_dims(self._roles.variables[n]) or dims for n in own}
        if len(own) > 1 and len(choices) > 1:
            return Refusal(
                f"several time coordinates ({', '.join(own)})",
                "one must be chosen",
                "name it with --time-dim",
                stage=4,
            )
        chosen = self._roles.variables[own[0]]
        if _squeezed_ndim(chosen) > 1:
            return Refusal(
                f"time {own[0]!r} has two dimensions, {' and '.join(_long_dims(chosen))}",
                "faconv takes one series of fields, not forecasts of several starts and leads",
                "select one lead or one start first",
                stage=4,
            )
        stamps, calendar = self._decode(own[0])
        dim = _long_dims(chosen) or tuple(str(d) for d in chosen.dims if d in dims)
        return (dim[0] if dim else None), stamps, calendar

    def _names(self) -> list[str]:
        if self._asked is None:
            return self._roles.by_role["time"]
        named = [n for n, v in self._roles.variables.items() if self._asked in (n, *v.dims)]
        exact = [n for n in named if n == self._asked]
        timelike = [n for n in named if n in self._roles.by_role["time"]]
        if not exact and not timelike:
            raise InputError(
                f"{self._roles.path}: no time coordinate {self._asked!r}",
                wanted=f"the file has {', '.join(self._roles.variables)}",
                do="correct --time-dim",
            )
        return exact or timelike

    def _decode(self, name: str) -> tuple[npt.NDArray[Any], str]:
        if name not in self._decoded:
            counted, path = self._roles.variables[name], self._roles.path
            read = xr.Variable(counted.dims, load(counted, path, name), counted.attrs)
            self._decoded[name] = decode_time(read, f"{path}: {name}")
        return self._decoded[name]


def decode_time(variable: xr.Variable, where: str) -> tuple[npt.NDArray[Any], str]:
    """Decode a CF time coordinate into (t,) datetime64[ns], or cftime for other calendars and far years.

    Raises:
        InputError: units that cannot be understood, or stamps that are missing.
    """
    units, calendar = str(variable.attrs.get("units", "")), str(variable.attrs.get("calendar", "standard"))
    raw = np.atleast_1d(np.squeeze(variable.to_numpy()))
    if raw.dtype.kind in "fc" and not np.isfinite(raw).all():
        raise _undecodable(where, "has missing stamps")
    try:
        plain = xr.Variable(("time",), raw, {"units": units, "calendar": calendar})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xr.SerializationWarning)  # says that far years come as cftime
            stamps = xr.coders.CFDatetimeCoder(time_unit="ns").decode(plain).to_numpy()
    except Exception as error:  # ValueError, OverflowError, KeyError: xarray and cftime differ
        raise _undecodable(where, f"has units {units!r} ({first_line(error)})") from None
    if stamps.dtype.kind not in "MO":
        raise _undecodable(where, f"has units {units!r}")
    return stamps, calendar


def _undecodable(where: str, what: str) -> InputError:
    return InputError(
        f"{where} {what}",
        wanted="time must be counted as CF says, for example 'days since 1850-01-01', in a CF calendar",
        do="correct the coordinate in the file",
    )


def _layers_of(name: str, roles: _Roles, time: _Time) -> list[Layer] | Refusal:
    variable = roles.variables[name]
    if name in roles.auxiliary:
        return Refusal(roles.auxiliary[name], "a channel is a field of its own", "leave it out")
    if name in roles.dataset.coords:
        return Refusal("an auxiliary coordinate", "a channel is a field of its own", "leave it out")
    if variable.dtype.kind not in "fiub":
        return Refusal(f"not numeric ({variable.dtype})", "a channel holds numbers", "leave it out")
    if 0 in variable.shape:
        empty = variable.dims[variable.shape.index(0)]
        return Refusal(
            f"no value (dimension {empty} has no point)", "a channel holds numbers", "leave it out"
        )
    grid = roles.grid_of(name)
    if isinstance(grid, Refusal):
        return grid
    when = time.of(name)
    if isinstance(when, Refusal):
        return when
    time_dim, stamps, calendar = when
    others = [str(d) for d in variable.dims if d not in (time_dim, grid.y_name, grid.x_name)]
    merged = next((dim for dim in others if dim == _VERSION), None)
    others = [dim for dim in others if dim != merged]
    long = [dim for dim in others if roles.dataset.sizes[dim] > 1]
    refusal = _refuse_dims(long, roles)
    if refusal:
        return refusal
    level_dim = next((d for d in (*long, *others) if roles.role_of_dim(d) == "vertical"), None)
    squeezed = tuple(dim for dim in others if dim not in long)
    layers, screen = [], Screen.of(variable)
    for number, channel in enumerate(_channels(name, variable, level_dim, roles)):
        fixed = dict.fromkeys(others, 0) | ({level_dim: number} if level_dim else {})
        field = FileField(
            roles.path,
            name,
            variable,
            (time_dim, grid.y_name, grid.x_name),
            fixed,
            grid,
            len(stamps),
            screen,
            Ledger(name, len(stamps)),
            merged,
            roles.close,
        )
        variant = (*(_text(variable.attrs, key) for key in _GRIB_KINDS), channel.level_units)
        layers.append(Layer(name, channel, field, stamps, calendar, squeezed, variant))
    return layers


def _refuse_dims(long: list[str], roles: _Roles) -> Refusal | None:
    members = [dim for dim in long if roles.role_of_dim(dim) == "member"]
    if members:
        return Refusal(
            f"{roles.dataset.sizes[members[0]]} ensemble members (dimension {members[0]})",
            "one cube has one member",
            "select one member first, for example with cdo or xarray",
            stage=5,
        )
    unknown = [dim for dim in long if roles.role_of_dim(dim) is None]
    unknown = unknown or [dim for dim in long if roles.role_of_dim(dim) == "vertical"][1:]
    if unknown:
        return Refusal(
            f"a further dimension {unknown[0]} of {roles.dataset.sizes[unknown[0]]}",
            "a channel has time, latitude, longitude and at most one vertical dimension",
            "select one point of it first",
            stage=5,
        )
    return None


def _channels(name: str, variable: xr.Variable, level_dim: str | None, roles: _Roles) -> list[Channel]:
    """One channel a level; the level is named where there are several or where it is a pressure."""
    units, long_name, standard_name = (
        _text(variable.attrs, key) for key in ("units", "long_name", "standard_name")
    )
    coordinate = roles.coordinate_of(level_dim) if level_dim else _scalar_pressure(name, roles)
    if coordinate is None and level_dim is None:
        return [Channel(name, units, long_name, standard_name)]
    if coordinate is None:
        count = roles.dataset.sizes[level_dim]
        coordinate = xr.Variable((level_dim,), np.arange(count), {"units": ""})
    level_units = _text(coordinate.attrs, "units")
    levels = np.atleast_1d(load(coordinate, roles.path, level_dim or name)).astype(np.float64)
    if len(levels) == 1 and level_units.lower() not in _PRESSURE_UNITS:
        return [Channel(name, units, long_name, standard_name)]
    return [
        Channel(f"{name}{level:g}", units, long_name, standard_name, float(level), level_units)
        for level in levels
    ]


def _scalar_pressure(name: str, roles: _Roles) -> xr.Variable | None:
    """A scalar pressure coordinate that the variable names, as CF asks."""
    variable = roles.variables[name]
    named = f"{variable.attrs.get('coordinates', '')} {variable.encoding.get('coordinates', '')}".split()
    for other in named:
        coordinate = roles.variables.get(other)
        if (
            coordinate is not None
            and coordinate.ndim == 0
            and _text(coordinate.attrs, "units").lower() in _PRESSURE_UNITS
        ):
            return coordinate
    return None


def _evidence(role: Role, name: str, variable: xr.Variable) -> int | None:
    """How strongly a variable says that it has a role: 0 attributes, 1 units, 2 name, ``None`` not at all."""
    from cf_xarray.criteria import coordinate_criteria

    attrs = variable.attrs
    standard_name = _text(attrs, "standard_name")
    if variable.dtype.kind not in "fiuMmO" or (standard_name in _OTHER_TIMES and role == "time"):
        return None
    if role == "member":
        if standard_name in _MEMBER_STANDARD_NAMES:
            return 0
    else:
        criteria = ("vertical", "Z") if role == "vertical" else (role,)
        for key in ("standard_name", "_CoordinateAxisType", "axis", "cartesian_axis", "positive"):
            if (
                any(_text(attrs, key) in coordinate_criteria[c].get(key, ()) for c in criteria)
                and key in attrs
            ):
                return 0
        if _unit_evidence(role, _text(attrs, "units"), coordinate_criteria):
            return 1
    stands_alone = not standard_name or role == "member"
    return 2 if stands_alone and _NAMES[role].fullmatch(name) else None


def _unit_evidence(role: Role, units: str, criteria: Mapping[str, Mapping[str, tuple[str, ...]]]) -> bool:
    if role == "time":
        return " since " in units
    if role == "vertical":
        return False  # a field may be in hPa or m: only a coordinate's own name tells
    return units in criteria[role].get("units", ())


def _named_by_others(variables: Mapping[str, xr.Variable]) -> dict[str, str]:
    """Variables that others point to as something else than a field, and as what."""
    kinds = {
        "bounds": "cell bounds",
        "climatology": "climatological bounds",
        "grid_mapping": "a grid mapping",
        "cell_measures": "a cell measure",
        "ancillary_variables": "an ancillary variable",
    }
    found = {}
    for variable in variables.values():
        for key, kind in kinds.items():
            value = f"{variable.attrs.get(key, '')} {variable.encoding.get(key, '')}"
            found.update({name: kind for name in re.findall(r"[^\s:]+", value) if name in variables})
    return found


def _unstructured(dim: str) -> Refusal:
    return Refusal(
        f"an unstructured grid (one dimension {dim})",
        "faconv needs two horizontal dimensions, not a reduced Gaussian, HEALPix or unstructured grid",
        "regrid it first, for example with cdo remapbil or cdo setgridtype,regular",
        stage=2,
    )


def _squeezed_ndim(variable: xr.Variable) -> int:
    return len(_long_dims(variable))


def _long_dims(variable: xr.Variable) -> tuple[str, ...]:
    """Dimensions of more than one point."""
    return tuple(str(dim) for dim, size in zip(variable.dims, variable.shape, strict=True) if size != 1)


def _text(attributes: Mapping[Hashable, Any] | Mapping[str, Any], key: str) -> str:
    value = attributes.get(key, "")
    text = value if isinstance(value, str) else ""
    return "" if text.lower() == "unknown" else text.strip()


def joined(names: Iterable[str]) -> str:
    """Names as text, the first ten."""
    listed = list(names)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
