"""Channels computed from other channels, on each read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faconv_cli.cube.channel import Channel, check_channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.masking import LARGEST
from faconv_cli.cube.read.readers import Fields, Reader, Transformed
from faconv_cli.cube.shape.expression import FUNCTIONS, Expression
from faconv_cli.errors import InputError, UsageError


@dataclass(frozen=True, eq=False)
class Derived(Transformed):
    """A formula over readers, in float64; missing where an input is missing or the result is not finite.

    Attributes:
        expression: the formula.
        inputs: a reader for each of its inputs; ``inner`` is the first.
    """

    expression: Expression
    inputs: tuple[Reader, ...]

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        names = self.expression.inputs
        for at, first in self.pieces(start, stop):
            fields = {names[0]: first.astype(np.float64)}
            for name, reader in zip(names[1:], self.inputs[1:], strict=True):
                block = np.empty_like(first)
                reader.read_into(block, start + at.start, start + at.stop)
                fields[name] = block.astype(np.float64)
            values = self.expression.evaluate(fields)
            with np.errstate(invalid="ignore"):
                out[at] = np.where(np.abs(values) <= LARGEST, values, np.nan)


def parse_all(items: Sequence[str]) -> list[Expression]:
    """Parse formulas; later ones may use the results of earlier ones.

    Raises:
        UsageError: a formula is not valid, or two have the same name.
    """
    expressions = [Expression.parse(item) for item in items]
    names = [expression.name for expression in expressions]
    for name in names:
        check_channel(name, "--derive")
        if names.count(name) > 1 or name in FUNCTIONS:
            raise UsageError(
                f"--derive defines {name} " + ("although it is a function" if name in FUNCTIONS else "twice"),
                wanted="each result needs a unique name",
                do="choose another name",
            )
    return expressions


def inputs_of(expressions: Sequence[Expression]) -> tuple[str, ...]:
    """List the channels that formulas read from files."""
    derived: set[str] = set()
    inputs: dict[str, None] = {}
    for expression in expressions:
        inputs |= dict.fromkeys(name for name in expression.inputs if name not in derived)
        derived.add(expression.name)
    return tuple(inputs)


def derive(cube: Cube, inputs: Cube, expressions: Sequence[Expression]) -> Cube:
    """Add a channel for each formula after those of ``cube``.

    Args:
        cube: the channels to keep; may be empty.
        inputs: the input channels of the formulas, on the same steps and points.
        expressions: formulas, in order.

    Raises:
        InputError: an input is not in the data, or a result has the name of an existing channel.
    """
    channels = {channel.name: channel for channel in inputs.channels}
    readers = dict(zip(channels, inputs.readers, strict=True))
    kept = [channel.name for channel in cube.channels]
    notes = []
    for expression in expressions:
        missing = [name for name in expression.inputs if name not in channels]
        if missing or expression.name in kept or expression.name in channels:
            raise _unfit(cube, expression, missing, tuple(channels))
        parts = tuple(readers[name] for name in expression.inputs)
        units = expression.units({name: channels[name].units for name in expression.inputs})
        difference = expression.is_difference([channels[name].difference for name in expression.inputs])
        channels[expression.name] = Channel(expression.name, units, expression.text, difference=difference)
        readers[expression.name] = Derived(parts[0], expression, parts)
        notes.append(f"{expression.name} is {expression.text}, in {units or 'unknown units'}.")
    new = [expression.name for expression in expressions]
    return cube.through(
        [*cube.readers, *(readers[name] for name in new)],
        channels=(*cube.channels, *(channels[name] for name in new)),
    ).noted(*notes)


def _unfit(cube: Cube, expression: Expression, missing: list[str], there: tuple[str, ...]) -> InputError:
    where = ", ".join(cube.sources)
    if missing:
        return InputError(
            f"{where} has no channel {missing[0]}, which --derive {expression.name} needs",
            wanted=f"available channels are {', '.join(there)}",
            do="use one of these in the formula; for a variable with levels, name one level, as in z500",
        )
    return InputError(
        f"{where} already has a channel {expression.name}",
        wanted="the result of --derive needs a new name",
        do="choose another name",
    )
