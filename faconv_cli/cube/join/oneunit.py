"""Values and levels of one variable that several files give in several units, read in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from faconv_cli.cube.axes.conventions import Layer
from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.read.masking import Ledger
from faconv_cli.cube.units.byvalue import Usual, settled, usual_value
from faconv_cli.cube.units.units import Conversion, conversion
from faconv_cli.errors import InputError


def levels_in_one_unit(layers: Sequence[Layer], wanted: Sequence[str], notes: list[str]) -> list[Layer]:
    """Name the levels of each variable by one unit: 50000 Pa is 500 hPa.

    Args:
        layers: of all files.
        wanted: units of levels to count in, where they are of the same quantity; else that of the first file.
        notes: what was converted is added.
    """
    units: dict[str, list[str]] = {}
    return [
        layer
        if layer.channel.level is None
        else _counted_in(layer, units.setdefault(layer.variable, list(wanted)), notes)
        for layer in layers
    ]


def _counted_in(layer: Layer, units: list[str], notes: list[str]) -> Layer:
    """Count a level in the first of ``units`` that can; where none can, its own is one more."""
    own = layer.channel.level_units
    found = next(((unit, change) for unit in units if (change := conversion(own, unit))), None)
    if found is None:
        units.append(own)
        return layer
    unit, change = found
    if unit == own:
        return layer
    if not change.trivial:
        notes.append(f"{layer.field.path}: levels of {layer.variable} are converted from {own} to {unit}.")
    level = _converted(layer.channel.level or 0.0, change)
    channel = replace(layer.channel, name=f"{layer.variable}{level:g}", level=level, level_units=unit)
    return replace(layer, channel=channel, variant=(*layer.variant[:-1], unit))


def _converted(level: float, change: Conversion) -> float:
    """Convert a level without the last digits of rounding, which would make it another one."""
    return float(f"{level * change.factor + change.offset:.10g}")


def values_in_one_unit(name: str, layers: Sequence[Layer], notes: list[str]) -> list[Layer]:
    """Read a channel's values in all files in the units of the first.

    Args:
        name: of the channel.
        layers: of all files.
        notes: what is converted is added.

    Raises:
        InputError: they are of other quantities, or their values are not what the attributes say.
    """
    usual = cache(partial(_usual, layers[0]))
    return [_read_in(name, layer, layers[0], usual, notes) for layer in layers]


def _usual(layer: Layer) -> float:
    field = layer.field
    unentered = replace(field, ledger=Ledger(field.name, field.steps))
    return usual_value(Series((unentered,), np.zeros(field.steps, int), np.arange(field.steps)))


def _read_in(name: str, layer: Layer, first: Layer, usual: Usual, notes: list[str]) -> Layer:
    units, wanted = layer.channel.units, first.channel.units
    if layer.channel.difference != first.channel.difference:
        raise _not_the_same(name, first, layer)
    if units == wanted:
        return layer
    where = f"{layer.field.path}: {name}, joined with {first.field.path},"
    change = settled(layer.channel, wanted, partial(_usual, layer), usual, where)
    if change is None:
        raise InputError(
            f"{name} is in {wanted!r} in {first.field.path} and in {units!r} in {layer.field.path}",
            wanted="a variable must have the same unit in all files",
            do="convert one of the files",
        )
    if change.trivial:
        return layer
    notes.append(
        f"{layer.field.path}: {name} is converted from {units} to {wanted}, as in {first.field.path}."
    )
    return replace(layer, field=replace(layer.field, factor=change.factor, offset=change.offset))


def _not_the_same(name: str, first: Layer, other: Layer) -> InputError:
    anomalies, whole = (first, other) if first.channel.difference else (other, first)
    return InputError(
        f"{name} holds anomalies or differences in {anomalies.field.path} and the quantity itself in "
        f"{whole.field.path}",
        wanted="a variable must be the same quantity in all files",
        do="leave out one of the files, or correct its standard_name or units_metadata",
    )
