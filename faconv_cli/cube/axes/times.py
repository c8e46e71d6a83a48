"""Which coordinate of a data set is the time of a variable, decoded once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.choose import Asked, leads_told
from faconv_cli.cube.axes.coordinates import Coordinates, squeezed
from faconv_cli.cube.axes.decode_time import Stamps, decode_time, numbered
from faconv_cli.cube.axes.intervals import bounds_of, into_intervals, is_point
from faconv_cli.cube.axes.roles import is_length, long_dims, role_of_name, text_of
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.lazy import load
from faconv_cli.cube.time.timeaxis import UNDATED
from faconv_cli.errors import InputError

_SERIES_SHARE = 0.9  # minimum share of even steps for init times and lead times to form one series


class Times(NamedTuple):
    """A series of steps of a variable.

    Attributes:
        dim: dimension of the steps, ``None`` for a scalar time.
        stamps: their times.
        fixed: index along a second time dimension.
    """

    dim: str | None
    stamps: Stamps
    fixed: dict[str, int] = {}  # noqa: RUF012 - never changed


class TimeFinder:
    """Finds the time of each variable of a data set."""

    def __init__(self, coordinates: Coordinates, asked: Asked) -> None:
        self._coordinates, self._asked = coordinates, asked
        self._decoded: dict[tuple[str, bool], Stamps] = {}

    def of(self, name: str, grid: Grid) -> list[Times] | Refusal:
        """Return the time series of a variable: one, or one per lead time of consecutive forecasts."""
        if self._asked.time_index:
            return self._numbered(name, grid)
        variables = self._coordinates.variables
        dims = variables[name].dims
        fitting = [n for n in self._names() if set(variables[n].dims) <= set(dims)]
        if not fitting:
            return self._by_lead(name) or self._without_date(name) or _no_axis(variables[name], grid)
        own = [n for n in fitting if n in dims] or fitting
        choices = {long_dims(variables[n]) or dims for n in own}
        if len(own) > 1 and len(choices) > 1:
            return Refusal(
                f"several time coordinates ({', '.join(own)})",
                "a record has one time coordinate",
                "name it with --time-dim",
                stage=4,
            )
        chosen = variables[own[0]]
        if len(long_dims(chosen)) > 1:
            return self._starts_and_leads(own[0])
        dim = long_dims(chosen) or tuple(str(d) for d in chosen.dims if d in dims)
        return [Times(dim[0] if dim else None, self._decode(own[0], is_point(variables[name], own[0])))]

    def _starts_and_leads(self, name: str) -> list[Times] | Refusal:
        """Return forecasts that start where the previous one ends as a series, as in ERA5 accumulations."""
        variable, path = self._coordinates.variables[name], self._coordinates.path
        variable = squeezed(variable)
        dims = tuple(map(str, variable.dims))
        lead = next((dim for dim in dims if self._coordinates.role_of_dim(dim) == "lead"), dims[-1])
        read = xr.Variable(dims, load(variable, path, name), variable.attrs, variable.encoding)
        if len(dims) > 2 or not _follow_each_other(read.to_numpy()):
            return self._several(name, dims, lead)
        (start,) = (dim for dim in dims if dim != lead)
        note = (
            f"The forecasts of {read.sizes[start]} init times follow each other. Their {read.sizes[lead]} "
            "lead times are joined into one series."
        )
        series = [decode_time(read[{lead: k}], f"{path}: {name}") for k in range(read.sizes[lead])]
        return [Times(start, replace(one, note=note), {lead: k}) for k, one in enumerate(series)]

    def _several(self, name: str, dims: tuple[str, ...], lead: str) -> Refusal:
        return Refusal(
            f"time {name!r} has {len(dims)} dimensions, {' and '.join(dims)}",
            "faconv reads one series of fields, not forecasts of several init times and lead times",
            f"select a lead time with --step (available: {leads_told(self._coordinates.dataset, lead)})",
            stage=4,
        )

    def _numbered(self, name: str, grid: Grid) -> list[Times] | Refusal:
        """Return the steps along the time dimension, ignoring their times; without it, there is one step."""
        sizes = self._coordinates.dataset.sizes
        dims = self._besides_grid(name, grid)
        timelike = {self._asked.time_dim} if self._asked.time_dim else self._time_dims()
        named = [dim for dim in dims if dim in timelike]
        open_ones = [d for d in dims if sizes[d] > 1 and self._coordinates.role_of_dim(d) is None]
        left = named or open_ones
        if not left and not self._asked.time_dim and not self._has_record(grid):
            return [Times(None, numbered(1))]
        if not dims:
            return _no_axis(self._coordinates.variables[name], grid)
        if len(left) != 1:
            return Refusal(
                f"no unique time dimension (dimensions {', '.join(dims)} besides the grid)",
                "--time-index numbers the steps along one dimension",
                "name it with --time-dim",
                stage=4,
            )
        return [Times(left[0], numbered(sizes[left[0]]))]

    def _besides_grid(self, name: str, grid: Grid) -> list[str]:
        dims = map(str, self._coordinates.variables[name].dims)
        return [dim for dim in dims if dim not in (grid.y_name, grid.x_name)]

    def _has_record(self, grid: Grid) -> bool:
        """Return whether a variable on the grid may have a time dimension, so that others are constant."""
        roles, timelike = self._coordinates, self._time_dims()
        variables = {name: roles.variables[name] for name in roles.candidates}
        return any(
            dim in timelike or (roles.dataset.sizes[dim] > 1 and roles.role_of_dim(dim) is None)
            for name, variable in variables.items()
            if {grid.y_name, grid.x_name} <= set(map(str, variable.dims))
            for dim in self._besides_grid(name, grid)
        )

    def _without_date(self, name: str) -> Refusal | None:
        """Refuse a time axis without a reference date, which is a length of time."""
        for dim in map(str, self._coordinates.variables[name].dims):
            axis = self._coordinates.variables.get(dim)
            units = "" if axis is None else text_of(axis.attrs, "units")
            if role_of_name(dim, ("time",)) and is_length(units):
                return Refusal(
                    f"a time {dim!r} in {units!r} without a reference date",
                    f"time must have CF units, for example '{units} since 1850-01-01'",
                    "add the reference date to the units, or number the steps with --time-index",
                    stage=4,
                )
        return None

    def _time_dims(self) -> set[str]:
        variables = self._coordinates.variables
        coordinates = {str(dim) for name in self._coordinates.by_role["time"] for dim in variables[name].dims}
        return coordinates | {
            d for d in map(str, self._coordinates.dataset.dims) if role_of_name(d, ("time",))
        }

    def _by_lead(self, name: str) -> list[Times] | None:
        """A forecast step as the time where the file does not say when the forecast started."""
        variables = self._coordinates.variables
        leads = [n for n in self._coordinates.by_role["lead"] if len(long_dims(variables[n])) == 1]
        lead = next((n for n in leads if long_dims(variables[n])[0] in variables[name].dims), None)
        if lead is None or self._asked.time_dim is not None:
            return None
        note = f"The file gives no init time for forecast step {lead!r}, so there are no dates or seasons."
        numbers = np.asarray(load(variables[lead], self._coordinates.path, lead), np.float64)
        return [Times(long_dims(variables[lead])[0], Stamps(numbers, UNDATED, note))]

    def _names(self) -> list[str]:
        asked, by_role = self._asked.time_dim, self._coordinates.by_role["time"]
        if asked is None:
            return by_role
        named = [n for n, v in self._coordinates.variables.items() if asked in (n, *v.dims)]
        exact = [n for n in named if n == asked]
        timelike = [n for n in named if n in by_role]
        if not exact and not timelike:
            raise InputError(
                f"{self._coordinates.path} has no time coordinate {asked!r}",
                wanted=f"the file has {', '.join(self._coordinates.variables)}",
                do="pass another --time-dim, or number the steps of that dimension with --time-index"
                if asked in self._coordinates.dataset.dims
                else "pass one of these to --time-dim",
            )
        return exact or timelike

    def _decode(self, name: str, point: bool) -> Stamps:
        """Decode a coordinate, for fields that are instantaneous (``point``) or valid over its intervals."""
        if (name, point) not in self._decoded:
            read, path = self._read(name), self._coordinates.path
            stamps = decode_time(read, f"{path}: {name}")
            bounds = None if point else bounds_of(name, self._coordinates.variables)
            if bounds is not None:
                stamps = into_intervals(stamps, read, self._read(bounds), path, bounds)
            self._decoded[name, point] = stamps
        return self._decoded[name, point]

    def _read(self, name: str) -> xr.Variable:
        lazy = self._coordinates.variables[name]
        return xr.Variable(lazy.dims, load(lazy, self._coordinates.path, name), lazy.attrs, lazy.encoding)


def _follow_each_other(stamps: npt.NDArray[Any]) -> bool:
    """Return whether times, encoded or decoded, are all different and nearly all evenly spaced."""
    if stamps.dtype.kind not in "fiuM":
        return False
    steps = np.diff(np.sort(stamps.ravel())).astype(np.float64)
    usual = float(np.median(steps))
    return (
        usual > 0
        and steps.min() > 0
        and bool((np.abs(steps - usual) <= 0.01 * usual).mean() >= _SERIES_SHARE)
    )


def _no_axis(variable: xr.Variable, grid: Grid) -> Refusal:
    static = set(long_dims(variable)) <= {grid.y_name, grid.x_name}
    return Refusal(
        f"no time axis (dimensions {', '.join(map(str, variable.dims))})",
        "faconv needs a time coordinate that can be decoded",
        "pass it as a static field with --static"
        if static
        else "name it with --time-dim, or number the steps with --time-index",
        stage=2 if static else 3,
    )
