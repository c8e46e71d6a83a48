"""Forecasts in the space of EOFs: what every learned one is compared with."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faconv_cli.nn.domain import Domain, interpolate
from faconv_cli.nn.head import EofCoordinates


class LinearInverseModel(nn.Module):
    """Forecasts z_{t+1} = z_t A in the space of EOFs (Penland and Sardeshmukh 1995, J. Climate 8).

    It stands in the place of a `Forecaster`.

    Args:
        lags, embedding, channels, nodes: as for `EofCoordinates`.
    """

    def __init__(self, lags: int, embedding: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = EofCoordinates(lags, embedding, channels, nodes)
        self.decoder = EofDecoder(embedding, channels, nodes)

    def forward(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        closed_steps: int,
        domain: Domain,
    ) -> Float[Tensor, "b t2 c h w"]:
        """Forecast the frame after each of ``x``, and ``closed_steps`` more; as `Forecaster.forward`."""
        z = self.encoder.whole(x, domain) @ self.decoder.propagator
        ahead = [z]
        for _ in range(closed_steps):
            ahead.append(ahead[-1][:, -1:] @ self.decoder.propagator)
        fields: Tensor = self.decoder(torch.cat(ahead, dim=1), domain)
        return fields


class EofDecoder(nn.Module):
    """Fields from principal components, sum of z_d Q_d + Q0, and how the components move on.

    Args:
        embedding: d.
        channels: channels of the fields.
        nodes: rows and columns of nodes.
    """

    def __init__(self, embedding: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.propagator = nn.Parameter(torch.zeros(embedding, embedding))
        self.patterns = nn.Parameter(torch.zeros(channels, embedding + 1, *nodes))

    @torch.no_grad()
    def start_from(self, patterns: Tensor, propagator: Tensor) -> None:
        """Set Q and, as the last of its modes, Q0 (c, d + 1, gh, gw), and A (d, d)."""
        self.patterns.copy_(patterns)
        self.propagator.copy_(propagator)

    def forward(self, z: Float[Tensor, "b t d"], domain: Domain) -> Float[Tensor, "b t c h w"]:
        """Give the fields of ``z`` on the grid."""
        one = torch.cat([z, z.new_ones(*z.shape[:2], 1)], dim=-1)
        return torch.einsum("btm,cmhw->btchw", one, interpolate(self.patterns, domain))
