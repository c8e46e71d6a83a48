"""Convert channels accumulated since the start of a forecast to amounts per time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.constants import NEVER, Cycle
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.readers import Fields, Reader, Transformed
from faconv_cli.cube.shape.sawtooth import Sawtooth, contradicts, find_sawtooth, known_lengths, of_cycle
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Differences(Transformed):
    """Differences from one step to the next; the value itself where an accumulation starts.

    Differences are taken in float64 and are not clipped, so that they add up to the accumulation. Some may be
    slightly negative where values were packed.

    Attributes:
        continues: (t,) steps that continue the accumulation of the previous step.
        unknown: (t,) steps whose amount is not known; set to missing.
    """

    continues: Mask
    unknown: Mask

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        begin = start - 1 if start < stop and self.continues[start] else start
        last: Fields | None = None
        for at, block in self.pieces(begin, stop):
            for number, field in enumerate(block, begin + at.start):
                if number >= start:
                    self._one_into(out[number - start], number, field, last)
                last = field

    def _one_into(self, out: Fields, number: int, field: Fields, before: Fields | None) -> None:
        if self.unknown[number]:
            out[:] = np.nan
        elif self.continues[number] and before is not None:
            np.subtract(field, before, out=out, dtype=np.float64, casting="same_kind")
        else:
            out[:] = field


def find_all(cube: Cube, known: Mapping[str, Cycle | None] | None = None) -> dict[str, Sawtooth]:
    """Find the channels that are accumulated since the start of a forecast, by name.

    Args:
        cube: the record, before any steps are dropped.
        known: channels that were accumulated in training, with their cycles, if a checkpoint is replayed.

    Raises:
        InputError: a channel that was accumulated in training but does not appear to be here.
    """
    found = {}
    for number, channel in enumerate(cube.channels):
        sawtooth = find_sawtooth(cube, number)
        reader = cube.readers[number]
        if sawtooth is None and channel.name in (known or {}) and known_lengths(reader) is None:
            sawtooth = _as_in_training(cube.time, reader, channel.name, (known or {})[channel.name])
        if sawtooth is not None:
            found[channel.name] = sawtooth
    return found


def _as_in_training(time: TimeAxis, reader: Reader, name: str, cycle: Cycle | None) -> Sawtooth:
    """Use the cycle of the training for data that are too short or too dry to show it."""
    if cycle is None or not (time.sub_daily or cycle == NEVER) or contradicts(time, reader, cycle):
        raise InputError(
            f"{name} was accumulated since the start of forecasts in training, but is not here",
            wanted="the checkpoint applies --deaccumulate and needs accumulated data",
            do="give accumulated data, or train on data like these",
        )
    return of_cycle(time, cycle)


def deaccumulate(cube: Cube, found: Mapping[str, Sawtooth]) -> Cube:
    """Convert accumulated channels to amounts per step, with a note for each."""
    readers: list[Reader] = []
    notes = []
    for channel, reader in zip(cube.channels, cube.readers, strict=True):
        sawtooth = found.get(channel.name)
        if sawtooth is None or not sawtooth.amount:
            readers.append(reader)
            continue
        unknown = _unknown(cube.time, sawtooth)
        readers.append(Differences(reader, sawtooth.continues, unknown))
        more = f" {unknown.sum()} steps at the start or after a gap are missing." if unknown.any() else ""
        over = (
            f"over up to {sawtooth.longest:g} hours"
            if sawtooth.cycle != NEVER
            else "since the start of the run"
        )
        notes.append(
            f"{channel.name} was accumulated {over} and is converted to amounts per time step "
            f"(--deaccumulate).{more}"
        )
    return cube.through(readers).noted(*notes) if notes else cube


def _unknown(time: TimeAxis, sawtooth: Sawtooth) -> Mask:
    """Mark (t,) steps that neither continue the previous step nor cover one step only."""
    mask: Mask = ~sawtooth.continues & (sawtooth.lengths > 1.1 * time.step_days * 24)
    return mask


def warnings_of(found: Mapping[str, Sawtooth]) -> list[str]:
    """Return warnings about accumulated channels."""
    told = []
    for name, one in found.items():
        if one.cycle == NEVER:
            told.append(
                f"{name} is accumulated since the start of the run and never restarts, so the series "
                "only grows. Use --deaccumulate to convert it to amounts per time step."
            )
            continue
        anew = f", and restarts every {one.cycle.hours:g} hours" if one.cycle else ""
        if one.amount:
            told.append(
                f"{name} is accumulated since the start of each forecast, over up to {one.longest:g} hours"
                f"{anew}. As a time series it is a sawtooth. Use --deaccumulate to convert it to amounts "
                "per time step."
            )
        else:
            told.append(
                f"{name} is a mean or an extreme since the start of each forecast, over up to "
                f"{one.longest:g} hours, so its time steps cover different lengths of time."
            )
    return told
