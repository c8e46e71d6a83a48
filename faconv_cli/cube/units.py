"""Units of measure as CF means them: compared, converted, and followed through an expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.readers import Reader, Scaled

_ROUNDING = 1e-9  # relative; how far a conversion may be from a straight line


@dataclass(frozen=True)
class Conversion:
    """Numbers in one unit to numbers in another: ``factor`` times them plus ``offset``."""

    factor: float
    offset: float

    @property
    def trivial(self) -> bool:
        """The units are two spellings of one."""
        return (self.factor, self.offset) == (1.0, 0.0)


def conversion(units: str, wanted: str) -> Conversion | None:
    """Find how numbers in ``units`` become numbers in ``wanted``; None where they cannot.

    They cannot where the dimensions differ, where udunits does not know one of them, where one is not given,
    and where the relation is no straight line, as for decibels.
    """
    if units == wanted:
        return Conversion(1.0, 0.0)
    ours, theirs = parsed(units), parsed(wanted)
    if ours is None or theirs is None or not ours.is_convertible(theirs):
        return None
    zero, one, many = (float(ours.convert(number, theirs)) for number in (0.0, 1.0, 1000.0))
    factor = (many - zero) / 1000
    if abs(one - zero - factor) > _ROUNDING * max(abs(factor), abs(zero)):
        return None
    return Conversion(1.0, 0.0) if ours == theirs else Conversion(factor, zero)


def parsed(units: str) -> Any:
    """Give the cf_units.Unit of a text, or None for one that is empty or unknown.

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
            unit = cf_units.Unit(units)
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() or unit.is_time_reference() else unit


def combined(work: Callable[[], Any]) -> str:
    """Give the text of a unit that ``work`` makes of others, or "" where there is none."""
    try:
        return str(work())
    except (ValueError, TypeError, AttributeError):  # an unknown unit is None; a root that is none
        return ""


def convert_channel(cube: Cube, number: int, units: str, change: Conversion) -> Cube:
    """Give one channel in other units, as it is read."""
    channel = cube.channels[number]
    readers: list[Reader] = list(cube.readers)
    readers[number] = Scaled(readers[number], change.factor, change.offset)
    channels = (*cube.channels[:number], replace(channel, units=units), *cube.channels[number + 1 :])
    note = f"{channel.name} is converted from {channel.units} to {units}."
    return cube.through(readers, channels=channels).noted(note)
