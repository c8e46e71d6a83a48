"""Convert channels to the units used in training, and check that they hold the same kind of quantity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.readers import Scaled
from faconv_cli.cube.units.byvalue import settled, usual_value
from faconv_cli.errors import CheckpointError


def same_kind(cube: Cube, differences: Collection[str] | None, among: Collection[str]) -> None:
    """Refuse anomalies where training used the quantity itself, and vice versa.

    Args:
        cube: the channels.
        differences: names of the channels that held differences in training; ``None`` if not known.
        among: names of the channels to check.

    Raises:
        CheckpointError: a channel holds another kind of quantity.
    """
    if differences is None:
        return
    for channel in cube.channels:
        if channel.name in among and channel.difference != (channel.name in differences):
            kinds = ("anomalies or differences", "the quantity itself")
            ours, theirs = kinds if channel.difference else kinds[::-1]
            raise CheckpointError(
                f"{channel.name} holds {ours}",
                wanted=f"the checkpoint was trained on {theirs}",
                do="give data of that kind, or set their standard_name or units_metadata accordingly",
            )


def in_units(cube: Cube, wanted: Mapping[str, str], trained: Mapping[str, float] | None = None) -> Cube:
    """Convert channels to the units of a checkpoint, on each read.

    Args:
        cube: the channels.
        wanted: target units, by channel name.
        trained: typical values in training in those units, by channel name, as far as known.

    Raises:
        CheckpointError: the units cannot be converted; the message names both.
        InputError: values that contradict the units attribute, see `byvalue.settled`.
    """
    channels, readers, notes = list(cube.channels), list(cube.readers), list[str]()
    for number, channel in enumerate(channels):
        units = wanted.get(channel.name, channel.units)
        if channel.units == units:
            continue
        theirs = (trained or {}).get(channel.name, np.nan)
        ours = partial(usual_value, readers[number])
        change = settled(channel, units, ours, partial(float, theirs), channel.name)
        if change is None:
            raise CheckpointError(
                f"{channel.name} is in {channel.units or 'no units'}",
                wanted=f"the checkpoint was trained in {units or 'no units'}, and these units cannot be "
                "converted into each other",
                do="convert the data, or fix their units attribute",
            )
        channels[number] = replace(channel, units=units)
        if not change.trivial:
            readers[number] = Scaled(readers[number], change.factor, change.offset)
            notes.append(f"{channel.name} is converted from {channel.units} to {units}.")
    if not notes:
        return replace(cube, channels=tuple(channels))
    return cube.through(readers, channels=tuple(channels)).noted(*notes)
