"""Select one ensemble member and one lead time of a data set, and add the valid times of forecasts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.roles import Role, find, long_dims, named_by_others, role_of_name, text_of
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.lazy import load
from faconv_cli.errors import InputError, UsageError

ALL = "all"  # use all members, as samples
VALID_TIME = "valid_time"
VERSION = "expver"  # ERA5's final (1) and preliminary (5) data: a dimension, or a number for each step
_PRELIMINARY = 5
_LENGTHS = {
    "ns|nanosec(ond)?s?": 1e-9,
    "s|sec(ond)?s?": 1.0,
    "min(ute)?s?": 60.0,
    "h|hr?s?|hours?": 3600.0,
    "d|days?": 86400.0,
    "w|weeks?": 604800.0,
}


@dataclass(frozen=True)
class Asked:
    """What to select in each data set, from the options of the same names.

    Attributes:
        time_dim: name of the time coordinate, if it cannot be detected.
        time_index: number the steps instead of decoding their times.
        member: name or number of an ensemble member, or `ALL`.
        step: lead time of forecasts: hours, or a number with a unit such as ``2d``.
        regrid: spacing in degrees of the regular grid to which grids without two dimensions are regridded.
        stream, data_type: GRIB stream and data type to read.
        missing_value: values that stand for missing data, in addition to those declared in the files.
        series: read a variable without a grid as a field of one point.
    """

    time_dim: str | None = None
    time_index: bool = False
    member: str | None = None
    step: str | None = None
    regrid: float | None = None
    stream: str | None = None
    data_type: str | None = None
    missing_value: tuple[float, ...] = ()
    series: bool = False


@dataclass(frozen=True)
class Chosen:
    """The selected part of a data set, or the reason why nothing is left."""

    dataset: xr.Dataset
    notes: tuple[str, ...] = ()
    refusal: Refusal | None = None


def choose(dataset: xr.Dataset, asked: Asked, path: str) -> Chosen:
    """Select the requested member and lead time, and add the valid times of forecasts.

    Raises:
        InputError: the file is damaged, or counts init times and lead times in months.
        UsageError: a lead time that is not a length of time.
    """
    dataset = _loaded(dataset, path)
    member = _one_member(dataset, asked.member)
    if member.refusal:
        return member
    early = _preliminary(dataset, path)
    try:
        lead = _one_lead(member.dataset, asked.step)
        if lead.refusal:
            return lead
        return Chosen(_with_valid_time(lead.dataset), (*member.notes, *lead.notes, *early))
    except InputError as error:
        raise InputError(f"{path}: {error.found}", wanted=error.wanted, do=error.do) from None


def _preliminary(dataset: xr.Dataset, path: str) -> tuple[str, ...]:
    """Return a note on the number of preliminary steps, if each step has its version."""
    version = dataset.variables.get(VERSION)
    if version is None or version.ndim != 1 or VERSION in version.dims:
        return ()
    told = [one.decode() if isinstance(one, bytes) else str(one) for one in load(version, path, VERSION)]
    early = sum(one.isdigit() and int(one) == _PRELIMINARY for one in told)
    return (f"{early} of {len(told)} steps are preliminary data (expver 0005).",) if early else ()


def _loaded(dataset: xr.Dataset, path: str) -> xr.Dataset:
    """Load the coordinates that are needed here."""
    variables = _plain(dataset)
    roles: tuple[Role, ...] = ("member", "lead", "reference")
    names = {name for role in roles for name in find(role, variables)}
    read = {n: (variables[n].dims, load(variables[n], path, n), variables[n].attrs) for n in names}
    return dataset.assign_coords(read) if read else dataset


def _one_member(dataset: xr.Dataset, asked: str | None) -> Chosen:
    if asked in (None, ALL):
        return Chosen(dataset)
    name = _dim_of("member", dataset) or _name_of("member", dataset)
    if name is None:
        return Chosen(dataset, (f"The data have no ensemble members, so --member {asked} has no effect.",))
    labels = member_labels(dataset, name)
    if asked not in labels:
        return _not_there(dataset, f"no member {asked}", f"there are {', '.join(labels)}", "--member")
    if name not in dataset.dims:
        return Chosen(dataset)
    note = (f"Member {asked} of {len(labels)} is selected (dimension {name}; --member).",)
    return Chosen(dataset.isel({name: labels.index(asked)}), note if len(labels) > 1 else ())


def member_labels(dataset: xr.Dataset, name: str) -> list[str]:
    """Return names or numbers of the members along a dimension, or of a scalar coordinate.

    A dimension without a coordinate of its own size is numbered from 0.
    """
    if name not in dataset.variables:
        coordinates = (n for n in find("member", _plain(dataset)) if dataset.variables[n].dims == (name,))
        name = next(coordinates, name)
    if name not in dataset.variables:
        return [str(number) for number in range(dataset.sizes[name])]
    values = np.atleast_1d(dataset.variables[name].to_numpy())
    return [
        v.decode() if isinstance(v, bytes) else f"{v:g}" if isinstance(v, int | float) else str(v)
        for v in values.tolist()
    ]


def _one_lead(dataset: xr.Dataset, asked: str | None) -> Chosen:
    if asked is None:
        return Chosen(dataset)
    wanted = _seconds_of(asked)
    name = _name_of("lead", dataset)
    if name is None:
        return Chosen(dataset, (f"The data have no forecast steps, so --step {asked} has no effect.",))
    lead = dataset.variables[name]
    seconds = np.atleast_1d(lead_seconds(lead))
    at = np.flatnonzero(np.isclose(seconds, wanted, rtol=0, atol=1.0))
    if not len(at):
        return _not_there(dataset, f"no forecast step {asked}", f"there are {_told(seconds)}", "--step")
    if not lead.ndim:
        return Chosen(dataset)
    note = f"Forecast step {asked} of {len(seconds)} is selected (dimension {lead.dims[0]}; --step)."
    return Chosen(dataset.isel({lead.dims[0]: int(at[0])}), (note,))


def _not_there(dataset: xr.Dataset, reason: str, wanted: str, option: str) -> Chosen:
    return Chosen(dataset, refusal=Refusal(reason, wanted, f"pass one of them to {option}", stage=6))


def leads_told(dataset: xr.Dataset, dim: str) -> str:
    """Return the lead times along a dimension as text for a message."""
    variable = dataset.variables.get(dim)
    return f"{dataset.sizes[dim]} steps" if variable is None else _told(lead_seconds(variable))


def lead_seconds(lead: xr.Variable) -> npt.NDArray[np.float64]:
    """Return lead times in seconds; without units they are in hours.

    Raises:
        InputError: units without a fixed length, such as months.
    """
    values = np.asarray(lead.to_numpy())
    if values.dtype.kind == "m":
        return values / np.timedelta64(1, "s")
    return values.astype(np.float64) * _fixed_length(text_of(lead.attrs, "units") or "hours")


def _fixed_length(unit: str) -> float:
    try:
        return _seconds(unit)
    except ValueError:
        raise InputError(
            f"forecast times are in units of {unit!r}",
            wanted="init time and lead time must have units of fixed length, such as hours or days",
            do="convert them in the file",
        ) from None


def _told(seconds: npt.NDArray[np.float64]) -> str:
    hours = [f"{value / 3600:g}" for value in seconds]
    shown = hours if len(hours) <= 12 else [*hours[:10], "...", hours[-1]]
    return f"{', '.join(shown)} hours"


def _seconds_of(asked: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", asked, re.I)
    try:
        if match:
            return float(match[1]) * _seconds(match[2] or "hours")
    except ValueError:
        pass
    raise UsageError(
        f"--step {asked} is not a length of time",
        wanted="a lead time is a number of hours, or a length such as 2d or 90min",
        do="write it as in --step 24 or --step 2d",
    )


def _seconds(unit: str) -> float:
    for pattern, seconds in _LENGTHS.items():
        if re.fullmatch(pattern, unit, re.I):
            return seconds
    raise ValueError(f"{unit!r} is not a length of time")


def _with_valid_time(dataset: xr.Dataset) -> xr.Dataset:
    """Add init time + lead time if one of them is a series and the file does not give the sum."""
    variables = _plain(dataset)
    lead = _name_of("lead", dataset)
    counted = {n: v for n, v in variables.items() if _is_counted(n, v)}
    reference = next((name for name in find("reference", variables) if name in counted), None)
    times = [name for name in find("time", counted) if name != reference]
    if lead is not None and reference is None and long_dims(variables[lead]):
        scalars = [name for name in times if not long_dims(variables[name])]
        reference = scalars[0] if len(scalars) == 1 else None
    if lead is None or reference is None:
        return dataset
    start, after = variables[reference], variables[lead]
    dims = (*long_dims(start), *long_dims(after))
    if not dims or any(sorted(long_dims(variables[name])) == sorted(dims) for name in times):
        return dataset
    return dataset.assign_coords({VALID_TIME: _sum(start, after, dims)})


def _sum(start: xr.Variable, after: xr.Variable, dims: tuple[str, ...]) -> xr.Variable:
    begin, lead = np.squeeze(start.to_numpy()), np.squeeze(lead_seconds(after))
    if begin.ndim and lead.ndim:
        begin = begin[:, None]
    attributes: Mapping[str, object] = {"standard_name": "time"}
    if start.dtype.kind == "M":
        return xr.Variable(dims, begin + (lead * 1e9).astype("timedelta64[ns]"), attributes)
    unit = _fixed_length(text_of(start.attrs, "units").split()[0])
    kept = {key: start.attrs[key] for key in ("units", "calendar") if key in start.attrs}
    return xr.Variable(dims, begin + lead / unit, {**attributes, **kept})


def _is_counted(name: str, variable: xr.Variable) -> bool:
    return variable.dtype.kind == "M" or " since " in text_of(variable.attrs, "units")


def _plain(dataset: xr.Dataset) -> dict[str, xr.Variable]:
    variables = {str(name): variable for name, variable in dataset.variables.items()}
    auxiliary = named_by_others(variables)
    return {name: variable for name, variable in variables.items() if name not in auxiliary}


def _name_of(role: Role, dataset: xr.Dataset) -> str | None:
    """Return the coordinate of a role, preferring one with several points."""
    variables = _plain(dataset)
    names = find(role, variables)
    return next((n for n in names if long_dims(variables[n])), names[0] if names else None)


def _dim_of(role: Role, dataset: xr.Dataset) -> str | None:
    """Return the dimension of a role, from its coordinate or from its name."""
    name = _name_of(role, dataset)
    if name is not None and dataset.variables[name].dims:
        return str(dataset.variables[name].dims[0])
    return next((dim for dim in map(str, dataset.dims) if role_of_name(dim, (role,))), None)
