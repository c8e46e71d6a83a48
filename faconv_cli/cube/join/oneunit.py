"""Convert values and levels that files give in different units to one unit."""

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
    """Express the levels of each variable in one unit: 50000 Pa is 500 hPa.

    Args:
        layers: layers of all files.
        wanted: units for levels of the same quantity; other levels keep the unit of the first file.
        notes: list to which conversions are added.
    """
    units: dict[str, list[str]] = {}
    return [
        layer
        if layer.channel.level is None
        else _counted_in(layer, units.setdefault(layer.variable, list(wanted)), notes)
        for layer in layers
    ]


def _counted_in(layer: Layer, units: list[str], notes: list[str]) -> Layer:
    """Convert a level to the first of ``units`` that is possible; if none is, append its own unit to them."""
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
    """Convert a level and drop the last digits, whose rounding would make it a different level."""
    return float(f"{level * change.factor + change.offset:.10g}")


def values_in_one_unit(name: str, layers: Sequence[Layer], notes: list[str]) -> list[Layer]:
    """Read the values of a channel in the units of its first file.

    Args:
        name: name of the channel.
        layers: layers of all files.
        notes: list to which conversions are added.

    Raises:
        InputError: if quantities differ, or values contradict the attributes.
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
            f"{name} has units {wanted!r} in {first.field.path} but {units!r} in {layer.field.path}",
            wanted="the units of a variable must be convertible between its files",
            do="convert one of the files, or set its units attribute if it is wrong (ncatted)",
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
        f"{name} holds anomalies or differences in {anomalies.field.path} but full values in "
        f"{whole.field.path}",
        wanted="a variable must hold the same quantity in all files",
        do="drop one of the files, or set its standard_name or units_metadata to what it holds",
    )
