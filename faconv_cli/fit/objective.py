"""The objective of training: leading EOF coordinates at the lead times, from the field so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from faconv_cli.nn.encoder import Encoding, SubspaceEncoder
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch

FEWEST_ROWS = 30  # of half a period, to say something of its own
LEAST_VALID_SHARE = 0.5  # of the area that has values in training, in each channel; else it is no target


class Products(NamedTuple):
    """Mean products of errors over the counted rows, (l,) each, in variances of the field.

    Attributes:
        linear: mean square of r, the residual of the forecasts without the network.
        cross: mean product of r and the correction c.
        correction: mean square of c.
        climatology: mean square of the truth, the error of forecasting no anomaly.
        rows: number of rows averaged.
    """

    linear: Tensor
    cross: Tensor
    correction: Tensor
    climatology: Tensor
    rows: Tensor

    def errors(self, confidence: Tensor) -> Tensor:
        """Mean square of r - g c (l,), for a confidence g (l,)."""
        return self.linear - 2 * confidence * self.cross + confidence**2 * self.correction

    def confidence(self) -> Tensor:
        """The g (l,) from 0 to 1 with the smallest error; 0 if the correction does not help."""
        return (self.cross / self.correction.clamp_min(1e-30)).clamp(0, 1)


def pooled(parts: Sequence[Products]) -> Products:
    """Combine the products of several batches."""
    count = torch.stack([part.rows for part in parts])
    total = count.sum(0)
    share = count / total.clamp_min(1e-12)
    linear, cross, correction, climatology = (
        (torch.stack(own) * share).sum(0) for own in list(zip(*parts, strict=True))[:-1]
    )
    return Products(linear, cross, correction, climatology, total)


def trusted(parts: Sequence[Products]) -> tuple[Products, Tensor]:
    """Combine the products of a period, and return how far to trust each correction (l,).

    It is trusted as far as it helps in both halves of the period: what helps in only one may be chance.
    A half with few values is ignored.
    """
    whole, middle = pooled(parts), (len(parts) + 1) // 2
    halves = [pooled(half) for half in (parts[:middle], parts[middle:]) if half]
    found = [torch.where(half.rows >= FEWEST_ROWS, half.confidence(), whole.confidence()) for half in halves]
    return whole, torch.stack(found).amin(0)


def expected_area(valid: np.ndarray, domain: Domain) -> Tensor:
    """Share of the area (c,) that has values in training, from the share of steps (c, h, w) that have."""
    height, width = valid.shape[-2:]
    return (torch.from_numpy(valid) * domain.area[:height, :width]).sum((-2, -1))


@dataclass(frozen=True)
class Objective:
    """Squared error of the forecasts in the space of the EOFs, in units of the field's variance.

    The cost does not depend on the grid. Steps with too little of the field do not count as targets.

    Attributes:
        leads: in steps.
        window: steps of a window; a batch also holds the steps up to the longest lead time.
        expected: (c,) share of the area that has values in training.
        targets: (steps, k) coordinates of each target at the steps of the record, NaN where unknown.
    """

    leads: tuple[int, ...]
    window: int
    expected: Tensor
    targets: tuple[Tensor, ...] = ()

    def __call__(
        self, encoder: SubspaceEncoder, batch: Batch, domain: Domain, *, beside: bool = False
    ) -> Products:
        """Compare the forecasts from the counted rows with the truth.

        A correction predicts the residual of all forecasts without the network or, if it is ``beside`` the
        terms of changes and products, the residual of the linear inverse model. The latter is the better
        objective when validation decides how much of it to add: the residual of all terms is small, and a
        network only overfits it.
        """
        encoding = encode(encoder, batch, domain, self.window)
        with torch.no_grad():
            truth = encoder.eofs.whole(batch.x, domain)
            least = LEAST_VALID_SHARE * self.expected.to(truth.device)
            known = ((batch.valid * domain.area).sum((-2, -1)) >= least).all(-1)
        counted, found = counted_rows(batch, self.window).to(truth.device), []
        for number, lead in enumerate(self.leads):
            ahead = slice(lead, lead + self.window)
            came, weight = truth[:, ahead], counted * known[:, ahead]
            found.append(_products(encoding, number, came, weight, beside=beside))
        for number, target in enumerate(self.targets, len(self.leads)):
            came = target[_steps(batch, self.window, len(target))].to(truth.device)
            known = came.isfinite().all(-1)
            found.append(_products(encoding, number, came.nan_to_num(), counted * known, beside=beside))
        return Products(*torch.stack(found, dim=1))


def encode(encoder: SubspaceEncoder, batch: Batch, domain: Domain, window: int) -> Encoding:
    """Run an encoder over the first ``window`` steps of a batch."""
    seen = slice(0, window)
    encoding: Encoding = encoder(
        batch.x[:, seen],
        batch.valid[:, seen],
        batch.year_fraction[:, seen],
        batch.day_fraction[:, seen],
        domain,
    )
    return encoding


def counted_rows(batch: Batch, window: int) -> Tensor:
    """Mark the rows (b, t) that count in their window: after its warm-up, before its end."""
    counted = torch.zeros(batch.x.shape[0], window)
    for row, span in enumerate(batch.windows):
        counted[row, span.first_row - span.start : span.stop - span.start] = 1
    return counted


def _steps(batch: Batch, window: int, steps: int) -> Tensor:
    """Steps (b, t) of the record that the rows of windows are; any for a row that does not count."""
    starts = torch.zeros(batch.x.shape[0], dtype=torch.long)
    starts[: len(batch.windows)] = torch.tensor([span.start for span in batch.windows])
    return (starts[:, None] + torch.arange(window)).clamp_max(steps - 1)


def _products(encoding: Encoding, number: int, truth: Tensor, weight: Tensor, *, beside: bool) -> Tensor:
    """The five numbers of `Products` for one forecast of ``truth`` (b, t, k), weighted (b, t)."""
    rest, added = truth - encoding.linear[:, :, number], encoding.correction[:, :, number]
    if not beside:
        rest = rest - encoding.tendency[:, :, number]
    total = weight.sum()
    pairs = (rest, rest), (rest, added), (added, added), (truth, truth)
    sums = [(weight * (one * other).sum(-1)).sum() / total.clamp_min(1e-12) for one, other in pairs]
    return torch.stack([*sums, total])
