"""Conversion of latitude and longitude from any unit of angle to degrees."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.units.units import parsed

Floats = npt.NDArray[np.float64]

_LENGTH = re.compile(r"([kcm]?m|(kilo|centi|milli)?met(er|re)s?)", re.I)
_DIGITS = 9  # of degrees: a tenth of a millimetre, so that 0.5235987755982988 radians are 30 degrees
_FEWEST = 8  # minimum number of longitudes for recognising radians from values alone


def degrees_in_one(units: str) -> float | None:
    """Return the number of degrees in a unit; None if the unit is known but is not an angle.

    Without a unit, or with a unit unknown to udunits such as "degrees north", numbers are in degrees.
    """
    turned = re.fullmatch(r"(?P<unit>\w+?)[ _](?P<side>n(orth)?|e(ast)?|s(outh)?|w(est)?)", units, re.I)
    sign = -1.0 if turned and turned["side"][0].lower() in "sw" else 1.0
    if re.fullmatch(r"rad(ian)?s?", turned["unit"] if turned else units, re.I):
        return sign * 180 / np.pi
    if sign < 0 and turned and re.fullmatch(r"deg(ree)?s?", turned["unit"], re.I):
        return -1.0
    if re.fullmatch(r"([Dd]eg(ree)?s?|°) ?[SW]", units):
        return -1.0
    unit = parsed(units)
    if unit is None:  # unknown unit, or udunits is not installed
        return None if _LENGTH.fullmatch(units) else 1.0
    if unit.is_dimensionless() and "rad" not in unit.definition:
        return 1.0  # "1" and similar units say nothing about angles
    return float(unit.convert(1.0, "degree")) if unit.is_dimensionless() else None


def in_degrees(values: npt.ArrayLike, units: str) -> Floats:
    """Convert a coordinate of any shape from a unit of angle to degrees."""
    factor = degrees_in_one(units)
    assert factor is not None
    angles = np.asarray(values, np.float64)
    return angles if factor == 1 else np.round(angles * factor, _DIGITS)


def pair_in_degrees(lat: Floats, lon: Floats, units: Mapping[str, str]) -> tuple[Floats, Floats, list[str]]:
    """Convert latitudes and longitudes of any shape to degrees; also return notes on what was converted.

    Args:
        lat, lon: as in the file.
        units: units of latitude and longitude, by name; each is an angle or empty.
    """
    names, given = [repr(name) for name in units], any(unit not in ("", "1") for unit in units.values())
    north, east = (in_degrees(one, unit) for one, unit in zip((lat, lon), units.values(), strict=True))
    notes = [
        f"{name!r} is converted from {unit} to degrees."
        for name, unit in units.items()
        if degrees_in_one(unit) != 1
    ]
    radians = radians_told(north, east)
    if radians == "surely" and not given:
        north, east = (in_degrees(one, "radian") for one in (north, east))
        notes.append(f"{' and '.join(names)} have no units and span 2 pi: converted from radians.")
    elif radians and (radians == "surely" or not given):
        notes.append(f"{' and '.join(names)} are read as degrees, but may be radians. Set their units.")
    return north, east, notes


def radians_told(lat: Floats, lon: Floats) -> str:
    """Return how likely coordinates are radians and not degrees: "surely", "perhaps", or "" if not.

    "surely": longitudes go around 2 pi in even steps, which a region in degrees would hardly match to a
    thousandth of a step. "perhaps": all numbers are within the range of radians.
    """
    north, east = (one[np.isfinite(one)] for one in (lat, lon))
    if (
        not len(north)
        or not len(east)
        or np.abs(north).max() > np.pi / 2 + 1e-4
        or np.abs(east).max() > 2 * np.pi + 1e-4
    ):
        return ""
    distinct = np.unique(np.round(east, 6))
    steps = np.diff(distinct)
    if len(distinct) >= _FEWEST:
        step = float(np.median(steps))
        left = (2 * np.pi - (distinct[-1] - distinct[0])) / step
        if np.ptp(steps) < 0.01 * step and min(abs(left), abs(left - 1)) < 1e-3 + 1e-5 / step:
            return "surely"
    return "perhaps"
