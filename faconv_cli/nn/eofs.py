"""Empirical orthogonal functions as networks: what every learned one is compared with."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faconv_cli.nn.domain import Domain, interpolate
from faconv_cli.nn.encoder import Encoding
from faconv_cli.nn.head import project


class LaggedPatterns(nn.Module):
    """e_t = sum over lags l and points of area(p) P_l(p)·(x_{t-l}(p) - mean_l(p)).

    These are extended EOFs (Weare and Nasstrom 1982, Mon. Wea. Rev. 110); one lag is the plain EOF analysis.
    Steps before the first of a sequence count as the mean field.

    Args:
        lags: L, the step itself counting as one.
        embedding: d.
        channels: channels of x.
        nodes: rows and columns of nodes.
    """

    def __init__(self, lags: int, embedding: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.on_x = nn.Parameter(torch.zeros(lags, embedding, channels, *nodes))
        self.mean = nn.Parameter(torch.zeros(lags, embedding))

    @torch.no_grad()
    def start_from(self, patterns: Tensor, mean: Tensor) -> None:
        """Set the patterns (L, d, c, gh, gw) and what they give for the mean field (L, d)."""
        self.on_x.copy_(patterns)
        self.mean.copy_(mean)

    def forward(
        self, x: Float[Tensor, "b t c th tw"], domain: Domain, tile: int = 0
    ) -> Float[Tensor, "b t d"]:
        """Sum over the points of one tile; the first tile bears what the mean field gives."""
        area = domain.cut(domain.area, tile) * domain.blend[tile]
        patterns = domain.cut(interpolate(self.on_x, domain), tile) * area
        by_lag = project(x, patterns.flatten(0, 1)).view(*x.shape[:2], *self.mean.shape)
        if tile == 0:
            by_lag = by_lag - self.mean
        e: Tensor = by_lag[:, :, 0].clone()
        for lag in range(1, min(by_lag.shape[2], x.shape[1])):
            e[:, lag:] += by_lag[:, :-lag, lag]
        return e


class EofEncoder(nn.Module):
    """Extended EOFs in the place of a `SubspaceEncoder`; arguments as for `LaggedPatterns`."""

    temporal = None

    def __init__(self, lags: int, embedding: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.patterns = LaggedPatterns(lags, embedding, channels, nodes)

    def forward(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        year_fraction: Float[Tensor, "b t"],
        day_fraction: Float[Tensor, "b t"],
        domain: Domain,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> Encoding:
        """Encode a batch of windows; ``x`` holds 0 where it is not valid, and nothing else is looked at."""
        tiles = torch.stack(
            [self.patterns(domain.cut(x, tile), domain, tile) for tile in range(domain.tiles)], dim=2
        )
        return Encoding(tiles.sum(2), tiles, None, None, None)


class LinearInverseModel(nn.Module):
    """Forecasts z_{t+1} = z_t A in the space of EOFs (Penland and Sardeshmukh 1995, J. Climate 8).

    It stands in the place of a `Forecaster`.

    Args:
        lags, embedding, channels, nodes: as for `LaggedPatterns`.
    """

    def __init__(self, lags: int, embedding: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = EofEncoder(lags, embedding, channels, nodes)
        self.decoder = EofDecoder(embedding, channels, nodes)

    def forward(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        closed_steps: int,
        domain: Domain,
    ) -> Float[Tensor, "b t2 c h w"]:
        """Forecast the frame after each of ``x``, and ``closed_steps`` more; as `Forecaster.forward`."""
        phase = x.new_zeros(x.shape[:2])
        z = self.encoder(x, valid, phase, phase, domain).z @ self.decoder.propagator
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
