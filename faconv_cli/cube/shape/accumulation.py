"""What is accumulated since the start of a forecast, taken apart into what each step adds."""

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
    """What each step adds to the one before it; the step itself where an accumulation begins.

    Differences are taken in float64 and are not clipped: their sum is the accumulation, and where values were
    packed some are below zero by its rounding.

    Attributes:
        continues: (t,) steps that go on with the accumulation of the step before.
        unknown: (t,) steps of which it is not known what they add; missing.
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
        cube: whose steps nothing was left out of yet.
        known: of the training that is replayed: what was accumulated there, and its cycle.

    Raises:
        InputError: a channel that was accumulated in training and whose start cannot be told here.
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
    """Make the sawtooth of data that are too short or too dry to show it."""
    if cycle is None or not (time.sub_daily or cycle == NEVER) or contradicts(time, reader, cycle):
        raise InputError(
            f"{name} was accumulated since the start of each forecast in the training data, but is not here",
            wanted="the checkpoint applies --deaccumulate, so it needs data of the same kind",
            do="give such data, or train on data like these",
        )
    return of_cycle(time, cycle)


def deaccumulate(cube: Cube, found: Mapping[str, Sawtooth]) -> Cube:
    """Take the differences of accumulated channels, and say so."""
    readers: list[Reader] = []
    notes = []
    for channel, reader in zip(cube.channels, cube.readers, strict=True):
        sawtooth = found.get(channel.name)
        if sawtooth is None or not sawtooth.amount:
            readers.append(reader)
            continue
        unknown = _unknown(cube.time, sawtooth)
        readers.append(Differences(reader, sawtooth.continues, unknown))
        more = f"; {unknown.sum()} steps at the start or after a gap are missing" if unknown.any() else ""
        over = (
            f"over up to {sawtooth.longest:g} hours"
            if sawtooth.cycle != NEVER
            else "since the start of the run"
        )
        notes.append(
            f"{channel.name} was accumulated {over}, and holds now what each "
            f"step adds (--deaccumulate){more}."
        )
    return cube.through(readers).noted(*notes) if notes else cube


def _unknown(time: TimeAxis, sawtooth: Sawtooth) -> Mask:
    """(t,) steps that neither follow the one before nor reach back one step only."""
    mask: Mask = ~sawtooth.continues & (sawtooth.lengths > 1.1 * time.step_days * 24)
    return mask


def warnings_of(found: Mapping[str, Sawtooth]) -> list[str]:
    """Describe a series of accumulated values in sentences."""
    told = []
    for name, one in found.items():
        if one.cycle == NEVER:
            told.append(
                f"{name} is accumulated since the start of the run and never starts again: as a series it "
                "only grows. --deaccumulate computes what each step adds."
            )
            continue
        anew = f"; it starts again every {one.cycle.hours:g} hours" if one.cycle else ""
        if one.amount:
            told.append(
                f"{name} is accumulated since the start of each forecast, over up to {one.longest:g} hours"
                f"{anew}: as a series it is a sawtooth. --deaccumulate computes what each step adds."
            )
        else:
            told.append(
                f"{name} is a mean or an extreme since the start of each forecast, over up to "
                f"{one.longest:g} hours: its steps are over different lengths of time."
            )
    return told
