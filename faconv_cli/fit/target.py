"""Targets: what an embedding must tell beside the fields; aligned, made anomalies, told linearly at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from faconv_cli.checkpoint import TargetGrid
from faconv_cli.config import RunConfig
from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind
from faconv_cli.cube.target import known_steps, open_target, steps_of_target, target_cycle
from faconv_cli.errors import InputError
from faconv_cli.fit.eofs import FEWEST_PAIRS, Eofs, fit_eofs, regress, start_coordinates
from faconv_cli.network import build_target_domain
from faconv_cli.nn.domain import Domain
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.windows.dataset import WindowReader
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.normalize import Normalizer, fit_normalizer
from faconv_cli.windows.plan import Segments
from faconv_cli.windows.resolve import STEPS_PER_EOF


@dataclass(frozen=True, eq=False)
class Target:
    """A target on the time axis of a record.

    Attributes:
        name: of its channel; numbered where another target has the same.
        text: FILE[:VARIABLE] as asked for.
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
        """Steps of the record to fit on, of which the target is known."""
        steps = np.concatenate([np.arange(begin, end) for begin, end in self.training])
        return np.asarray(steps[self.rows[steps] >= 0])

    @property
    def grid(self) -> TargetGrid:
        """What a checkpoint keeps of it beside its EOFs."""
        return TargetGrid(self.name, self.cube.channels[0], self.cube.grid, self.normalizer)

    def known(self, spans: Sequence[tuple[int, int]]) -> int:
        """Count the steps of the record in some spans at which the target is known."""
        return sum(int((self.rows[begin:end] >= 0).sum()) for begin, end in spans)


def prepare_targets(cube: Cube, training: Segments, config: RunConfig, kind: Kind) -> tuple[Target, ...]:
    """Open the targets of a run, and fit their climatology and scaling to the training period.

    Args:
        cube: the record.
        training: runs of steps to train on.
        config: which targets, and what is asked for of them.
        kind: seasonal cycle that is taken off the record, and so off the targets.

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
        wanted=f"a target is learned from at least {FEWEST_PAIRS}",
        do="give one that covers the training period",
    )


@dataclass(frozen=True, eq=False)
class ToldTarget:
    """A target in the space of its EOFs, and how the state tells it linearly.

    Attributes:
        coordinates: its EOFs, whose mean is what the mean state tells.
        propagator: (K, K) of K EOFs of the field to the coordinates, zero beyond these.
        truth: (t, K) its coordinates for each step of the record, zero beyond them, NaN where unknown.
    """

    coordinates: EofCoordinates
    propagator: np.ndarray
    truth: Tensor


def tell_target(target: Target, field: Eofs, config: RunConfig) -> ToldTarget:
    """Fit the EOFs of a target, and the regression of their coordinates on those of the field.

    There are no more EOFs than the field has: what is told linearly of K numbers has K dimensions at most.

    Args:
        target: as prepared.
        field: EOFs of the field in the training period.
        config: resolved.
    """
    domain = build_target_domain(config, target.cube.grid, target.normalizer.valid)
    reader = WindowReader(target.cube, target.climatology, target.normalizer, domain.shape, 1, 1)
    fitted = np.intersect1d(field.steps, target.training_steps)
    own = target.rows[fitted]
    most = field.components.shape[1]
    eofs = fit_eofs(
        reader,
        domain,
        nodes_of(config, target.cube.grid.shape),
        _runs(own),
        count=min(most, max(1, len(own) // STEPS_PER_EOF), int(np.count_nonzero(target.normalizer.valid))),
        seed=config.fit.seed,
        share=config.encoder.eof_share,
    )
    _, count, channels, *nodes = eofs.patterns.shape
    coordinates = EofCoordinates(1, count, channels, (nodes[0], nodes[1]))
    start_coordinates(coordinates, eofs)
    truth = np.full((len(target.rows), most), np.nan, np.float32)
    there = target.rows >= 0
    truth[there] = 0
    truth[there, :count] = _coordinates(target.rows[there], reader, coordinates, domain)
    x = field.components[np.searchsorted(field.steps, fitted)] * field.scale
    y = truth[fitted].astype(np.float64)
    propagator = regress(x - x.mean(axis=0), y - y.mean(axis=0), persist=False)
    offset = y.mean(axis=0) - x.mean(axis=0) @ propagator  # 0 where the target is known throughout
    coordinates.shift(torch.from_numpy(offset[:count]))
    return ToldTarget(coordinates, propagator, torch.from_numpy(truth - offset.astype(np.float32)))


def _coordinates(
    rows: np.ndarray, reader: WindowReader, coordinates: EofCoordinates, domain: Domain
) -> np.ndarray:
    """(n, k) coordinates of some steps of a target."""
    used = np.unique(rows)
    parts = []
    for begin, end in _runs(used):
        for start, stop in reader.cube.blocks(start=begin, stop=end):
            fields = torch.from_numpy(reader.fields(start, stop))
            parts.append(coordinates.whole(fields[None], domain)[0].numpy())
    return np.concatenate(parts)[np.searchsorted(used, rows)]


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Runs [start, stop) of rows that follow each other."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, cuts)]
