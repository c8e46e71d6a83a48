"""Which grid points a loss is taken at: drawn by area, none twice, or all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faconv_cli.nn.domain import Domain


@dataclass(frozen=True, eq=False)
class PointSample:
    """Points of a grid and what each stands for.

    Attributes:
        points: (w, p) flat indices, one row for each window, or one for all windows.
        weights: (w, p) area that a point stands for; of mean 1 over the sample, about.
    """

    points: Tensor
    weights: Tensor


def draw_points(domain: Domain, count: int, windows: int, generator: torch.Generator) -> PointSample:
    """Draw ``count`` points for each window without repeating one, or take all where there are no more.

    A point is drawn with a probability in proportion to its area. One so large that it would be drawn for
    certain is always there and weighs more instead (Horvitz and Thompson 1952), so that the weighted mean
    over the sample estimates the area mean without bias. Points that are never valid are not drawn.
    """
    area = domain.area.flatten().double().cpu()
    candidates = area.nonzero()[:, 0]
    chance = _chances(area[candidates], count)
    if len(candidates) <= count:
        drawn = torch.arange(len(candidates))[None]
    else:
        drawn = torch.stack([_systematic(chance, count, generator) for _ in range(windows)])
    points = candidates[drawn]
    weights = area[points] / chance[drawn] * count
    device = domain.area.device
    return PointSample(points.to(device), weights.to(domain.area.dtype).to(device))


def _chances(area: Tensor, count: int) -> Tensor:
    """Probabilities (n,) of being drawn, by ``area`` (n,) but at most 1; they add up to ``count``."""
    certain = torch.full((len(area),), count >= len(area))
    while not certain.all():
        chance = area * (count - certain.sum()) / area[~certain].sum()
        found = ~certain & (chance >= 1)
        if not found.any():
            return torch.where(certain, 1.0, chance)
        certain |= found
    return torch.ones_like(area)


def _systematic(chance: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw by marks at equal distances along the probabilities in random order (Madow 1949)."""
    order = torch.randperm(len(chance), generator=generator)
    ends = chance[order].cumsum(0)
    marks = torch.arange(count) + torch.rand((), generator=generator, dtype=ends.dtype)
    return order[torch.searchsorted(ends, marks, right=True).clamp(max=len(order) - 1)]
