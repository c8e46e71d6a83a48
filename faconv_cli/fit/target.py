"""Targets: what an embedding should predict beside the fields, aligned in time and as anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faconv_cli.config import RunConfig
from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind
from faconv_cli.cube.target import known_steps, open_target, steps_of_target, target_cycle
from faconv_cli.errors import InputError
from faconv_cli.windows.normalize import Normalizer, fit_normalizer
from faconv_cli.windows.plan import Segments
from faconv_cli.windows.resolve import FEWEST_PAIRS


@dataclass(frozen=True, eq=False)
class Target:
    """A target on the time axis of a record.

    Attributes:
        name: of its channel; numbered where another target has the same.
        text: FILE[:VARIABLE] as given.
        lead: steps of the record by which it is later.
        cube: its own steps, which may be others than those of the record.
        rows: (t,) its step for each of the record, -1 where there is none or too little of the field.
        training: runs of steps of the record to fit on: within the training period with the lead.
        climatology, normalizer: of its values in the training period.
    """

    name: str
    text: str
    lead: int
    cube: Cube
    rows: np.ndarray
    training: Segments
    climatology: Climatology
    normalizer: Normalizer

    @property
    def training_steps(self) -> np.ndarray:
        """Steps of the record to fit on, at which the target is known."""
        steps = np.concatenate([np.arange(begin, end) for begin, end in self.training])
        return np.asarray(steps[self.rows[steps] >= 0])

    def known(self, spans: Sequence[tuple[int, int]]) -> int:
        """Count the steps of the record in some spans at which the target is known."""
        return sum(int((self.rows[begin:end] >= 0).sum()) for begin, end in spans)


def prepare_targets(cube: Cube, training: Segments, config: RunConfig, kind: Kind) -> tuple[Target, ...]:
    """Open the targets of a run, and fit their climatology and scaling to the training period.

    Args:
        cube: the record.
        training: runs of steps to train on.
        config: the targets and their settings.
        kind: seasonal cycle that is subtracted from the record, and so from the targets.

    Raises:
        InputError: a target that cannot be read or shares too few steps, or is constant there.
    """
    targets = list[Target]()
    for text, lead in zip(config.fit.target, config.target_leads, strict=True):
        opened = open_target(text, config.data).cached()
        channel = opened.channels[0].name
        namesakes = sum(one.cube.channels[0].name == channel for one in targets)
        name = f"{channel}_{namesakes + 1}" if namesakes else channel
        one = _prepare(text, lead, opened, cube, training, kind, detrend=config.data.detrend)
        targets.append(replace(one, name=name))
    return tuple(targets)


def _prepare(
    text: str, lead: int, target: Cube, cube: Cube, training: Segments, kind: Kind, *, detrend: bool
) -> Target:
    rows = steps_of_target(cube.time, target, lead)
    inside = [(begin, end - lead) for begin, end in training if end - lead > begin]
    wanted = np.concatenate([rows[begin:end] for begin, end in inside]) if inside else rows[:0]
    own = target.take(wanted[wanted >= 0])
    if len(own.time) < FEWEST_PAIRS:
        raise _too_few(text, len(own.time), target, cube)
    climatology = fit_climatology(own, target_cycle(kind, target), detrend)
    normalizer, flaws = fit_normalizer(own, climatology)
    if flaws:
        raise InputError(
            flaws[0].found, wanted="a target must vary in the training period", do="give another --target"
        )
    known = np.append(known_steps(target, normalizer.valid[0]), False)
    rows = np.where(known[rows], rows, -1)
    found = Target(target.channels[0].name, text, lead, target, rows, inside, climatology, normalizer)
    if len(found.training_steps) < FEWEST_PAIRS:
        raise _too_few(text, len(found.training_steps), target, cube)
    return found


def _too_few(text: str, count: int, target: Cube, cube: Cube) -> InputError:
    return InputError(
        f"{text} has a value at {count} of the training steps (it has {target.time.labels[0]} to "
        f"{target.time.labels[-1]}, the record {cube.time.labels[0]} to {cube.time.labels[-1]})",
        wanted=f"a target needs values at {FEWEST_PAIRS} training steps or more",
        do="give one that covers the training period",
    )
