"""Check conversions of units against the values: zero points of temperature, and scales of salinity."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.read.readers import Reader
from faconv_cli.cube.units.spelling import is_practical
from faconv_cli.cube.units.units import Conversion, conversion, is_one, parsed
from faconv_cli.errors import InputError

_STEPS = 3  # steps to read
_COLDEST_K, _WIDEST_K = 100.0, 150.0  # no air or sea temperature is lower, no anomaly is larger
_SALINITY = re.compile(r"salin|^(?:so|sos|sss|salt|psal)$", re.IGNORECASE)
_LARGEST_RATIO, _LARGEST_SALINITY = 0.06, 100.0  # kg of salt per kg of water, and g per kg

Usual = Callable[[], float]


def usual_value(reader: Reader) -> float:
    """Read a few steps of a channel and return the median of their values; NaN if all are missing."""
    steps, *shape = reader.shape
    values = np.empty((min(steps, _STEPS), *shape), np.float32)
    for place, step in enumerate(np.linspace(0, steps - 1, len(values)).astype(int).tolist()):
        reader.read_into(values[place : place + 1], step, step + 1)
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def settled(channel: Channel, wanted: str, ours: Usual, theirs: Usual, where: str) -> Conversion | None:
    """Return the conversion of a channel to ``wanted``, like `units.conversion`, checked against the values.

    Practical salinity has unit 1 in CF, and had 1e-3 in earlier versions, with the same numbers. If one side
    has unit 1, its values decide between practical salinity and a mass fraction.

    Args:
        channel: channel to be converted.
        wanted: units of the other side.
        ours: returns the usual value of the channel, in its units; NaN if unknown.
        theirs: returns the usual value of the other side, in ``wanted``.
        where: the channel and its file, for messages.

    Raises:
        InputError: if values near 0 K are not marked as anomalies, values marked as anomalies are too large,
            or a salinity fits neither unit.
    """
    factor = _of_salinity(channel, wanted, ours, theirs, where)
    if factor is not None:
        return Conversion(factor, 0.0)
    change = conversion(channel.units, wanted, difference=channel.difference)
    shifted = change if change is None or not channel.difference else conversion(channel.units, wanted)
    if shifted is not None and shifted.offset:
        _check_zero(channel, channel.units, ours(), where)
        _check_zero(channel, wanted, theirs(), where)
    return change


def _check_zero(channel: Channel, units: str, value: float, where: str) -> None:
    """Refuse temperatures near 0 K, and differences far from zero."""
    to_kelvin = conversion(units, "K")
    if to_kelvin is None or not np.isfinite(value):
        return
    kelvin = value * to_kelvin.factor + to_kelvin.offset
    if channel.difference and not to_kelvin.offset and abs(kelvin) > _WIDEST_K:
        told = f"{where} is marked as anomalies or differences, but its values are about {value:.4g} {units}"
        raise _unclear(told, "such values seem to be full temperatures")
    if not channel.difference and kelvin < _COLDEST_K:
        told = f"{where} is read as a temperature, but its values are about {value:.4g} {units}"
        raise _unclear(
            told, "such values seem to be anomalies or differences, whose zero is the same in all units"
        )


def _unclear(found: str, wanted: str) -> InputError:
    return InputError(
        found,
        wanted=wanted,
        do="set units_metadata (to temperature: difference or temperature: on_scale) or standard_name in the "
        "file, or convert the data",
    )


def _of_salinity(channel: Channel, wanted: str, ours: Usual, theirs: Usual, where: str) -> float | None:
    """Return the factor between salinity in 1 and in thousandths; None for any other pair of units."""
    sides = channel.units, wanted
    plain = [is_one(units) for units in sides]
    if plain[0] == plain[1] or not all(plain[number] or _is_thousandth(sides[number]) for number in (0, 1)):
        return None
    level = "" if channel.level is None else f"{channel.level:g}"
    texts = channel.name.removesuffix(level), channel.long_name, channel.standard_name
    if not any(map(is_practical, sides)) and not any(map(_SALINITY.search, texts)):
        return None
    value = np.nan if channel.difference else abs(theirs() if plain[1] else ours())
    if np.isnan(value) or _LARGEST_RATIO < value <= _LARGEST_SALINITY:
        return 1.0
    if 0 < value <= _LARGEST_RATIO:
        return 1e-3 if plain[1] else 1e3
    raise InputError(
        f"{where} is a salinity in {channel.units} to be read in {wanted}, but its values in 1 are about "
        f"{value:.4g}",
        wanted="salinity in 1 is about 35 (practical salinity) or 0.035 (a mass fraction)",
        do="set the units attribute to that of the values, for example with ncatted, or convert the data",
    )


def _is_thousandth(units: str) -> bool:
    unit = parsed(units)
    return unit is not None and bool(unit == parsed("1e-3"))
