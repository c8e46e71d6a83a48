"""Compare and convert units of measure as CF defines them, and follow them through an expression."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.units.spelling import is_practical, meant, share_of, vague_times

_ROUNDING = 1e-9  # relative deviation of a conversion from a straight line
_TEMPERATURES = ("K", "degC", "degF", "degR")
_ANGLE = re.compile(r"rad(-?\d*)")  # in a definition of udunits


@dataclass(frozen=True)
class Conversion:
    """A conversion between units: values times ``factor`` plus ``offset``."""

    factor: float
    offset: float

    @property
    def trivial(self) -> bool:
        """Whether the units are two spellings of the same unit."""
        return (self.factor, self.offset) == (1.0, 0.0)


def conversion(units: str, wanted: str, *, difference: bool = False) -> Conversion | None:
    """Return the conversion from ``units`` to ``wanted``, or None if there is none.

    There is none if the dimensions differ, if a unit is unknown to udunits or not given, or if the relation
    is not linear, as for decibels. Nor is there one that makes no physical sense: between an angle and a
    fraction, mass and volume ratios, or months and days, or to a temperature scale other than Kelvin,
    Celsius, Fahrenheit and Rankine. Practical salinity is a pure number with unit 1 (CF conventions; udunits
    takes it for a thousandth).

    Args:
        units: as a file spells them.
        wanted: as a file spells them.
        difference: whether values are differences, anomalies or spreads, for which the zero is not shifted.
    """
    if units == wanted:
        return Conversion(1.0, 0.0)
    ours, theirs = parsed(units), parsed(wanted)
    if ours is None or theirs is None or not ours.is_convertible(theirs):
        return None
    ratios = {share_of(meant(text)) for text in (units, wanted)} if ours.is_dimensionless() else set()
    if ratios == {"masses", "amounts"} or _angles(ours) != _angles(theirs):
        return None
    if vague_times(units) != vague_times(wanted):
        return None
    salinity = is_practical(units) != is_practical(wanted) and (is_one(units) or is_one(wanted))
    if ours == theirs or salinity:
        return Conversion(1.0, 0.0)
    change = _straight_line(ours, theirs)
    if change is None or not _possible(ours, theirs, change):
        return None
    return Conversion(change.factor, 0.0) if difference else change


def _straight_line(ours: Any, theirs: Any) -> Conversion | None:
    zero, one, many = (float(ours.convert(number, theirs)) for number in (0.0, 1.0, 1000.0))
    factor = (many - zero) / 1000
    straight = abs(one - zero - factor) <= _ROUNDING * max(abs(factor), abs(zero))
    return Conversion(factor, zero) if straight else None


def _angles(unit: Any) -> list[str]:
    """Return the powers of angle in a unit; udunits takes a radian for 1, but a direction is no fraction."""
    return _ANGLE.findall(str(unit.definition))


def _possible(ours: Any, theirs: Any, change: Conversion) -> bool:
    """Return whether a conversion makes physical sense: only temperature scales have different zeros."""
    import cf_units

    scales = [cf_units.Unit(name) for name in _TEMPERATURES]
    if not ours.is_convertible(scales[0]):
        return change.factor > 0 and not change.offset
    known = (_straight_line(one, other) for one in scales for other in scales)
    return any(
        pair is not None
        and math.isclose(change.factor, pair.factor, rel_tol=_ROUNDING)
        and math.isclose(change.offset, pair.offset, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        for pair in known
    )


def is_one(units: str) -> bool:
    """Return whether units are plain 1, not marked as a ratio of masses or amounts or as a salinity."""
    unit = parsed(units)
    plain = not share_of(meant(units)) and not is_practical(units)
    return plain and unit is not None and bool(unit == parsed("1"))


def units_metadata(channel: Channel) -> str:
    """Return the ``units_metadata`` that CF requires for temperatures (section 3.1.2); "" for the rest."""
    unit = parsed(channel.units)
    if unit is None or not unit.is_convertible("K"):
        return ""
    return f"temperature: {'difference' if channel.difference else 'on_scale'}"


def parsed(units: str) -> Any:
    """Return the cf_units.Unit that a text means, or None if it is empty or unknown.

    Also None if cf-units is not installed, as on platforms for which it has no wheel.
    """
    try:
        import cf_units
    except ImportError:
        return None
    if not units.strip():
        return None
    try:
        with cf_units.suppress_errors():
            unit = cf_units.Unit(meant(units))
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() or unit.is_time_reference() else unit


@dataclass(frozen=True)
class Unit:
    """The unit of a part of a formula.

    Attributes:
        of: the cf_units.Unit; None if unknown.
        number: the number, if the part is a number.
        spelt: the unit as a file spells it; "" for a unit that was derived.
    """

    of: Any
    number: float | None = None
    spelt: str = ""

    @property
    def text(self) -> str:
        """The unit as CF spells it, such as ``m2 s-2``; "" if unknown."""
        definition = "" if self.of is None else str(self.of.definition)
        return self.spelt or re.sub(r"\.(?!\d)|(?<!\d)\.", " ", definition)

    @property
    def multiplies(self) -> bool:
        """Whether the unit is known and starts at zero, unlike degrees Celsius."""
        return self.of is not None and "@" not in self.of.definition


UNKNOWN = Unit(None)


def of_text(text: str) -> Unit:
    """Return the unit of a channel from its text."""
    unit = parsed(text)
    return UNKNOWN if unit is None else Unit(unit, spelt=text)


def number(value: float) -> Unit:
    """Return the unit of a number."""
    return Unit(parsed("1"), value)


def common(a: Unit, b: Unit) -> Unit:
    """Return the unit that two parts share; a number takes the unit of the other part."""
    if a.number is not None or b.number is not None:
        return replace(b if a.number is not None else a, number=None)
    return a if a.of is not None and a.of == b.of else UNKNOWN


def added(a: Unit, b: Unit) -> Unit:
    """Return the unit of a sum or a difference; unknown for two temperatures in Celsius."""
    plain_number = a.number is not None or b.number is not None
    return common(a, b) if plain_number or a.multiplies else UNKNOWN


def mirrored(a: Unit) -> Unit:
    """Return the unit after a change of sign."""
    return replace(a, number=None) if a.multiplies else UNKNOWN


def product(a: Unit, b: Unit) -> Unit:
    """Return the unit of a product."""
    if not (a.multiplies and b.multiplies):
        return UNKNOWN
    if a.number is not None or b.number is not None:
        return common(a, b)
    return Unit(a.of * b.of)


def quotient(a: Unit, b: Unit) -> Unit:
    """Return the unit of a quotient."""
    if not (a.multiplies and b.multiplies):
        return UNKNOWN
    return replace(a, number=None) if b.number is not None else Unit(a.of / b.of)


def power(a: Unit, exponent: Unit) -> Unit:
    """Return the unit of a power; known for integer exponents and for roots that are exact."""
    if not a.multiplies or exponent.number is None:
        return UNKNOWN
    import cf_units

    try:
        with cf_units.suppress_errors():
            return Unit(a.of**exponent.number)
    except ValueError:
        return UNKNOWN


def plain(a: Unit) -> Unit:
    """Return the unit of a function whose argument must be dimensionless."""
    return Unit(parsed("1")) if a.of is not None and a.of.is_dimensionless() else UNKNOWN


def angle(a: Unit, b: Unit) -> Unit:
    """Return the unit of the angle between two parts in the same unit."""
    return Unit(parsed("radian"), spelt="radian") if common(a, b) != UNKNOWN else UNKNOWN
