"""What training asks for: the field now and at the leads, from z alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faconv_cli.fit.points import draw_points
from faconv_cli.nn.decoder import PointDecoder
from faconv_cli.nn.domain import Domain
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.eofs import EofEncoder
from faconv_cli.windows.dataset import Batch


@dataclass(frozen=True)
class Objective:
    """Mean squared error of the decoded field, in variances of each channel.

    It is taken at points drawn for each window (`draw_points`), weighted by the area they stand for, so that
    its cost does not grow with the grid. Missing values carry no weight; channels and targets carry the same.

    Attributes:
        targets: leads in steps, 0 for the field now.
        points: grid points drawn for each window; all where the grid has no more.
        window: steps of a window; a batch holds the steps of the longest lead beside them.
    """

    targets: tuple[int, ...]
    points: int
    window: int

    def __call__(
        self,
        encoder: SubspaceEncoder | EofEncoder,
        decoder: PointDecoder,
        batch: Batch,
        domain: Domain,
        generator: torch.Generator,
    ) -> Tensor:
        """Give the loss of each target (s,); their mean is what is minimised."""
        seen = slice(0, self.window)
        z = encoder(
            batch.x[:, seen],
            batch.valid[:, seen],
            batch.year_fraction[:, seen],
            batch.day_fraction[:, seen],
            domain,
        ).z
        sample = draw_points(domain, self.points, z.shape[0], generator)
        points = sample.points[:, None].expand(z.shape[0], self.window, -1)
        decoded = decoder(z, sample.points, domain)
        counted = _counted_rows(batch, self.window).to(z.device)[..., None] * sample.weights[:, None]
        losses = []
        for number, lead in enumerate(self.targets):
            truth = _gather(batch.x[:, lead : lead + self.window], points)
            weight = _gather(batch.valid[:, lead : lead + self.window], points) * counted[:, :, None]
            squares = ((decoded[:, :, number] - truth) ** 2 * weight).sum((0, 1, 3))
            losses.append((squares / weight.sum((0, 1, 3)).clamp_min(1e-12)).mean())
        return torch.stack(losses)


def _gather(field: Tensor, points: Tensor) -> Tensor:
    """Take ``points`` (b, t, p) of ``field`` (b, t, c, h, w): (b, t, c, p)."""
    index = points[:, :, None].expand(-1, -1, field.shape[2], -1)
    return field.flatten(-2).gather(-1, index)


def _counted_rows(batch: Batch, window: int) -> Tensor:
    """Mark the rows (b, t) that belong to their window: past its warm-up, before its end."""
    counted = torch.zeros(batch.x.shape[0], window)
    for row, span in enumerate(batch.windows):
        counted[row, span.first_row - span.start : span.stop - span.start] = 1
    return counted
