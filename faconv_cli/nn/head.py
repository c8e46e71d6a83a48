"""The subspace head: learned spatial patterns, started from the EOFs, and attention over the season."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faconv_cli.nn.domain import Domain, interpolate, pool_sum


class SpatialPatterns(nn.Module):
    """e = sum over points of area(p) P(p)·[h(p) ; x(p)] + bias: d numbers of a whole field.

    The patterns P are values on ``nodes`` (rows, columns), interpolated bilinearly to the grid, so they hold
    for any resolution of the same domain, and the sum adds up exactly over tiles. Patterns on h start at
    zero; those on x are to be started from the EOFs (`start_from`): the untrained e is then the EOF analysis.

    Args:
        embedding: d.
        hidden_channels: channels F of h, on patches of the grid.
        channels: channels of x, on the grid.
        nodes: rows and columns of nodes.
        patch: points of x per side under one point of h.
    """

    def __init__(
        self, embedding: int, hidden_channels: int, channels: int, nodes: tuple[int, int], patch: int = 1
    ) -> None:
        super().__init__()
        self.patch = patch
        self.on_h = nn.Parameter(torch.zeros(embedding, hidden_channels, *nodes))
        self.on_x = nn.Parameter(torch.randn(embedding, channels, *nodes) * channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(embedding))

    @torch.no_grad()
    def start_from(self, patterns: Tensor, mean: Tensor) -> None:
        """Set the patterns on x (d, c, gh, gw) and what they give for the mean field (d,)."""
        self.on_x.copy_(patterns)
        self.bias.copy_(-mean)

    def forward(
        self, h: Float[Tensor, "b t f hp wp"], x: Float[Tensor, "b t c th tw"], domain: Domain, tile: int = 0
    ) -> Float[Tensor, "b t d"]:
        """Sum over the points of one tile, without the bias, which belongs to the sum over tiles."""
        area = domain.cut(domain.area, tile) * domain.blend[tile]
        on_x = domain.cut(interpolate(self.on_x, domain), tile) * area
        on_h = domain.cut(interpolate(self.on_h, domain, self.patch), tile, self.patch)
        on_h = on_h * pool_sum(area[None], self.patch)
        return project(x, on_x) + project(h, on_h)


def project(field: Tensor, patterns: Tensor) -> Tensor:
    """Sum over channels and points: (b, t, c, h, w) and (d, c, h, w) to (b, t, d)."""
    # the recurrent layers keep their features last in memory: no copy is made of such a field
    field, patterns = field.movedim(-3, -1).flatten(2), patterns.movedim(-3, -1).flatten(1)
    return field.to(patterns.dtype) @ patterns.T
