"""Identify the role of a coordinate variable, by CF attributes first, then units, then names."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import xarray as xr

Role = Literal["latitude", "longitude", "time", "vertical", "member", "lead", "reference"]

_NAMES: dict[Role, re.Pattern[str]] = {
    "latitude": re.compile(r"lat|latitude|nav_lat|xlat|lats|lat2d|gphi.", re.I),
    "longitude": re.compile(r"lon|longitude|nav_lon|xlong|lons|lon2d|glam.", re.I),
    "time": re.compile(
        r"t|time|times|valid_time|xtime|time_counter|time_?step|date|datetime|year|step", re.I
    ),
    "vertical": re.compile(
        r"z|z_?lev\w*|p?lev\w*|level\w*|isobaric\w*|height\w*|altitude|depth\w*|nav_lev|pressure\w*|hybrid|"
        r"bottom_top|sigma|ap?lev|lv_.*",
        re.I,
    ),
    "member": re.compile(r"number|member|members|realization|realisation|ens|ensemble\w*", re.I),
    "lead": re.compile(
        r"step|lead|lead_?time|forecast_?(period|hour|time|step)|fcst\w*|prediction_timedelta", re.I
    ),
    "reference": re.compile(
        r"(forecast_)?reference_?time|init|init\w*_?(time|date)|start_?time|base_?time", re.I
    ),
}
_STANDARD_NAMES: dict[Role, str] = {
    "member": "realization",
    "lead": "forecast_period",
    "reference": "forecast_reference_time",
}
_LENGTH = re.compile(r"(nano|milli)?s(ec(ond)?s?)?|min(ute)?s?|h(ou)?rs?|h|d(ays?)?|weeks?", re.I)
_MANY: tuple[Role, ...] = ("vertical", "member", "lead", "reference")  # several may exist, one per dimension


def find(role: Role, variables: Mapping[str, xr.Variable]) -> list[str]:
    """Return the names of the variables of a role, by the strongest evidence available.

    There may be several vertical, member, lead and reference coordinates, one for each dimension.
    """
    ranked: dict[str, int] = {}
    for name, variable in variables.items():
        rank = evidence(role, name, variable)
        if rank is not None and len(long_dims(variable)) <= _most_dims(role):
            ranked[name] = rank
    if role in _MANY:
        return list(ranked)
    counted = [name for name in ranked if " since " in text_of(variables[name].attrs, "units")]
    if role == "time" and counted:
        # an axis may be marked as time but be empty, such as NEMO's time_counter
        ranked = {name: ranked[name] for name in counted}
    best = min(ranked.values(), default=0)
    return [name for name, rank in ranked.items() if rank == best]


def _most_dims(role: Role) -> int:
    """Return the maximum dimensions of a role; more make a field. WRF repeats its coordinates each step."""
    return 3 if role in ("latitude", "longitude") else 2 if role == "time" else 1


def evidence(role: Role, name: str, variable: xr.Variable) -> int | None:
    """Return the evidence for a role: 0 attributes, 1 units, 2 name, ``None`` if there is none."""
    attrs = variable.attrs
    standard_name = text_of(attrs, "standard_name")
    kinds = "fiuMmOSUT" if role in ("time", "member") else "fiuMmO"
    if variable.dtype.kind not in kinds:
        return None
    if role in _STANDARD_NAMES:
        if standard_name == _STANDARD_NAMES[role]:
            return 0
        return 2 if _NAMES[role].fullmatch(name) and (role == "member" or not standard_name) else None
    if standard_name in (_STANDARD_NAMES["lead"], _STANDARD_NAMES["reference"]):
        return None
    if role == "time" and is_length(text_of(attrs, "units")):
        return None  # a step, or a length of averaging
    rank = _attribute_evidence(role, attrs)
    if role == "time" and rank is None and variable.dtype.kind in "fiu" and len(long_dims(variable)) > 1:
        return None  # a field called t, such as ERA5 temperature
    return 2 if rank is None and not standard_name and _NAMES[role].fullmatch(name) else rank


def is_length(units: str) -> bool:
    """Return whether units are a length of time, without a reference date."""
    return bool(_LENGTH.fullmatch(units))


def _attribute_evidence(role: Role, attrs: Mapping[Any, Any]) -> int | None:
    from cf_xarray.criteria import coordinate_criteria

    criteria = ("vertical", "Z") if role == "vertical" else (role,)
    for key in ("standard_name", "_CoordinateAxisType", "axis", "cartesian_axis", "positive"):
        if key in attrs and any(text_of(attrs, key) in coordinate_criteria[c].get(key, ()) for c in criteria):
            return 0
    units = text_of(attrs, "units")
    if role == "time":
        return 1 if " since " in units else None
    if role == "vertical":
        return None  # a field may be in hPa or m, too, so only the name of a coordinate counts
    return 1 if units in coordinate_criteria[role].get("units", ()) else None


def role_of_name(name: str, roles: tuple[Role, ...]) -> Role | None:
    """Return the first of some roles that matches the name of a dimension without a coordinate."""
    return next((role for role in roles if _NAMES[role].fullmatch(name)), None)


def named_by_others(variables: Mapping[str, xr.Variable]) -> dict[str, str]:
    """Return variables that others reference as something other than a field, and as what."""
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
            named = names_in(variable, key)
            found.update({name: kind for name in named if name in variables})
    return found


def names_in(variable: xr.Variable, key: str) -> list[str]:
    """Return names listed in an attribute (``coordinates``), which xarray may have moved to the encoding."""
    return re.findall(r"[^\s:]+", f"{variable.attrs.get(key, '')} {variable.encoding.get(key, '')}")


def long_dims(variable: xr.Variable) -> tuple[str, ...]:
    """Return the dimensions of more than one point."""
    return tuple(str(dim) for dim, size in zip(variable.dims, variable.shape, strict=True) if size != 1)


def text_of(attributes: Mapping[Hashable, Any] | Mapping[str, Any], key: str) -> str:
    """Return an attribute as text; empty if there is none or it is unknown."""
    value = attributes.get(key, "")
    text = value if isinstance(value, str) else ""
    return "" if text.lower() == "unknown" else text.strip()
