"""From z_t alone back to fields, at the grid points asked for."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from faconv_cli.nn.domain import Domain, at_points


class PointDecoder(nn.Module):
    """x(p, t + lead) = sum over modes of z_t Q_lead(p) + Q0_lead(p) + mlp([z_t ; coordinates of p]).

    The linear part starts from the EOFs (`start_from`); the last layer of the perceptron starts at zero.

    Args:
        embedding: numbers d of z.
        channels: channels c of the field.
        targets: number of leads, the field now counting as one.
        nodes: rows and columns of the nodes Q is given on.
        features: features of a point's coordinates, as in `Domain`.
        width: hidden units of the perceptron.
    """

    def __init__(
        self,
        embedding: int,
        channels: int,
        targets: int,
        nodes: tuple[int, int],
        features: int,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.zeros(targets, channels, embedding + 1, *nodes))
        self.from_z = nn.Linear(embedding, width)
        self.from_point = nn.Linear(features, width, bias=False)
        self.out = nn.Linear(width, targets * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @torch.no_grad()
    def start_from(self, patterns: Tensor) -> None:
        """Set Q and, as the last of its modes, Q0: (targets, c, d + 1, gh, gw)."""
        self.patterns.copy_(patterns)

    def forward(
        self, z: Float[Tensor, "b t d"], points: Int[Tensor, "w p"], domain: Domain
    ) -> Float[Tensor, "b t s c p"]:
        """Decode all frames of a window at the same points (flat indices into the grid).

        Args:
            z: embeddings.
            points: those of each window, or one row for all of them (w is b or 1).
            domain: constants of the grid.
        """
        targets = self.patterns.shape[0]
        # (w, m, p s c): patterns are brought to the points once for a window, not for each of its frames
        q = rearrange(at_points(self.patterns, domain, points), "w p s c m -> w m (p s c)")
        linear = torch.cat([z, z.new_ones(*z.shape[:2], 1)], dim=-1) @ q
        place = self.from_point(domain.coordinates.flatten(0, 1)[points])
        correction = self.out(torch.relu(self.from_z(z)[:, :, None] + place[:, None]))
        decoded: Tensor = linear.view(*correction.shape) + correction
        return rearrange(decoded, "b t p (s c) -> b t s c p", s=targets)
