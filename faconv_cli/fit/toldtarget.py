"""Targets in the space of their EOFs, predicted linearly at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faconv_cli.config import RunConfig
from faconv_cli.fit.eofs import Eofs, fit_eofs, regress, start_coordinates
from faconv_cli.fit.target import Target
from faconv_cli.network import build_target_domain
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import WindowReader
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.resolve import STEPS_PER_EOF


@dataclass(frozen=True, eq=False)
class ToldTarget:
    """A target in the space of its EOFs, and how the state predicts it linearly.

    Attributes:
        coordinates: its EOFs, whose mean is the prediction of the mean state.
        propagator: (K, K) of K EOFs of the field to the coordinates, zero beyond these.
        truth: (t, K) its coordinates for each step of the record, zero beyond them, NaN where unknown.
    """

    coordinates: EofCoordinates
    propagator: np.ndarray
    truth: Tensor


def tell_target(target: Target, field: Eofs, config: RunConfig) -> ToldTarget:
    """Fit the EOFs of a target, and the regression of their coordinates on those of the field.

    There are at most as many EOFs as the field has: a linear function of K numbers has at most K dimensions.

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
