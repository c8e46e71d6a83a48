"""Channels brought to the units of a training, and checked to hold what they held there."""

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
    """Refuse anomalies where a training had the quantity itself, and the other way round.

    Args:
        cube: the channels.
        differences: names of those that held differences in training; ``None`` where that is not known.
        among: names of those that count.

    Raises:
        CheckpointError: a channel is of another kind.
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
                do="give data of that kind, or correct their standard_name or units_metadata",
            )


def in_units(cube: Cube, wanted: Mapping[str, str], trained: Mapping[str, float] | None = None) -> Cube:
    """Convert channels to the units of a checkpoint as they are read.

    Args:
        cube: the channels.
        wanted: units by name.
        trained: usual values of the training in those units, by name, as far as they are known.

    Raises:
        CheckpointError: a channel's units and those wanted are not of one quantity; names both.
        InputError: values that cannot be converted as the attributes say, see `byvalue.settled`.
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
                wanted=f"the checkpoint was trained on {units or 'no units'}, and they cannot be converted",
                do="convert the data, or correct the units attribute",
            )
        channels[number] = replace(channel, units=units)
        if not change.trivial:
            readers[number] = Scaled(readers[number], change.factor, change.offset)
            notes.append(f"{channel.name} is converted from {channel.units} to {units}.")
    if not notes:
        return replace(cube, channels=tuple(channels))
    return cube.through(readers, channels=tuple(channels)).noted(*notes)
