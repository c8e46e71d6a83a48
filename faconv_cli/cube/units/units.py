"""Units of measure as CF means them: compared, converted, and followed through an expression."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.units.spelling import is_practical, meant, share_of, vague_times

_ROUNDING = 1e-9  # relative; how far a conversion may be from a straight line
_TEMPERATURES = ("K", "degC", "degF", "degR")
_ANGLE = re.compile(r"rad(-?\d*)")  # in a definition of udunits


@dataclass(frozen=True)
class Conversion:
    """Numbers in one unit to numbers in another: ``factor`` times them plus ``offset``."""

    factor: float
    offset: float

    @property
    def trivial(self) -> bool:
        """The units are two spellings of one."""
        return (self.factor, self.offset) == (1.0, 0.0)


def conversion(units: str, wanted: str, *, difference: bool = False) -> Conversion | None:
    """Find how numbers in ``units`` become numbers in ``wanted``; None where they cannot.

    They cannot where the dimensions differ, where udunits does not know one of them, where one is not given,
    where the relation is no straight line, as for decibels, and where it is none that the quantity can have:
    an angle is no share of 1, a ratio of masses none of volumes, a month no number of days, and no
    temperature has another scale than Kelvin's, Celsius', Fahrenheit's or Rankine's. Practical salinity is a
    number, of unit 1 (CF conventions; udunits takes it for a thousandth).

    Args:
        units: as a file spells them.
        wanted: likewise.
        difference: the numbers are differences, anomalies or spreads, which have no zero to be shifted.
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
    """Powers of an angle in a unit: udunits takes a radian for 1, but no direction is a share of 1."""
    return _ANGLE.findall(str(unit.definition))


def _possible(ours: Any, theirs: Any, change: Conversion) -> bool:
    """Whether a quantity can be so in two units: only temperatures have other zeros, and those few scales."""
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
    """Return whether units are a plain 1, without saying of what it is a ratio, or that it is a salinity."""
    unit = parsed(units)
    plain = not share_of(meant(units)) and not is_practical(units)
    return plain and unit is not None and bool(unit == parsed("1"))


def units_metadata(channel: Channel) -> str:
    """Return the attribute that CF asks of units of temperature (section 3.1.2); "" for other quantities."""
    unit = parsed(channel.units)
    if unit is None or not unit.is_convertible("K"):
        return ""
    return f"temperature: {'difference' if channel.difference else 'on_scale'}"


def parsed(units: str) -> Any:
    """Return the cf_units.Unit of a text as it is meant, or None for one that is empty or unknown.

    Also None where cf-units is not installed, as on platforms it has no wheel for.
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
        of: the cf_units.Unit; None where it is not known.
        number: the number, where the part is one.
        spelt: the unit as a file spells it; "" for one that was worked out.
    """

    of: Any
    number: float | None = None
    spelt: str = ""

    @property
    def text(self) -> str:
        """As CF spells units, ``m2 s-2``; "" where it is not known."""
        definition = "" if self.of is None else str(self.of.definition)
        return self.spelt or re.sub(r"\.(?!\d)|(?<!\d)\.", " ", definition)

    @property
    def multiplies(self) -> bool:
        """It is known and counts from zero, which degrees Celsius do not."""
        return self.of is not None and "@" not in self.of.definition


UNKNOWN = Unit(None)


def of_text(text: str) -> Unit:
    """Read the unit of a channel."""
    unit = parsed(text)
    return UNKNOWN if unit is None else Unit(unit, spelt=text)


def number(value: float) -> Unit:
    """Return the unit of a number."""
    return Unit(parsed("1"), value)


def common(a: Unit, b: Unit) -> Unit:
    """Return the unit that two parts share; a number is in that of the other."""
    if a.number is not None or b.number is not None:
        return replace(b if a.number is not None else a, number=None)
    return a if a.of is not None and a.of == b.of else UNKNOWN


def added(a: Unit, b: Unit) -> Unit:
    """Return the unit of a sum or a difference; for two temperatures in Celsius it is unknown."""
    plain_number = a.number is not None or b.number is not None
    return common(a, b) if plain_number or a.multiplies else UNKNOWN


def mirrored(a: Unit) -> Unit:
    """Return the unit of a value with its sign changed."""
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
    """Return the unit of a power: known for whole numbers and for roots that come out even."""
    if not a.multiplies or exponent.number is None:
        return UNKNOWN
    import cf_units

    try:
        with cf_units.suppress_errors():
            return Unit(a.of**exponent.number)
    except ValueError:
        return UNKNOWN


def plain(a: Unit) -> Unit:
    """Return the unit of a function of a number: its argument must have no dimension."""
    return Unit(parsed("1")) if a.of is not None and a.of.is_dimensionless() else UNKNOWN


def angle(a: Unit, b: Unit) -> Unit:
    """Return the unit of the angle of two parts in one unit."""
    return Unit(parsed("radian"), spelt="radian") if common(a, b) != UNKNOWN else UNKNOWN
