"""Next frames of a field: teacher-forced in parallel, then in closed loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.nn.domain import Domain, network_input, pool_sum
from faconv_cli.nn.layer import ChannelNorm, RecurrentLayer2d


class FrameEncoder(nn.Module):
    """Frames to features: a 1×1 convolution, then L times y ← norm(y + layer(y)).

    Under patches of p points a side the first convolution is p×p with stride p.

    Args:
        layers: recurrences from F to F channels.
        in_channels: channels of a frame with its mask.
        patch: points per side under one hidden point.
    """

    def __init__(self, layers: Sequence[RecurrentLayer2d], in_channels: int, patch: int = 1) -> None:
        super().__init__()
        hidden = layers[0].hidden_channels
        self.inlet = nn.Conv2d(in_channels, hidden, patch, stride=patch)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(ChannelNorm(hidden) for _ in layers)

    def forward(
        self, frames: Tensor, states: Sequence[Any] | None, weights: Tensor
    ) -> tuple[Tensor, list[Any]]:
        """Run over ``frames`` (b, t, c, h, w) from ``states`` (None: zero).

        Returns:
            Features (b, t, f, h / p, w / p), and the states to go on from.
        """
        y = self.inlet(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        after = []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            output = cast("RecurrentLayer2d", layer).run(y, states[number] if states else None, weights)
            y = norm(y + output.y)
            after.append(output.state)
        return y, after


class Forecaster(nn.Module):
    """The forecasting network of Horuz et al. 2025 (arXiv 2508.03614), around any recurrence.

    frames with their mask and static channels → `FrameEncoder` → 1×1 convolution → the next frame, or with
    ``skip`` the change from the last one. Each tile is worked on alone, and tiles are blended into one frame
    before it is fed back. The last convolution starts at zero: the untrained forecast is persistence with
    ``skip``, else the climatology.

    Args:
        layers: recurrences, one for each tile-wise block; all map F to F channels.
        channels: channels c of the fields.
        patch: points per side under one hidden point.
        skip: forecast the change from the last frame.
        statics: static channels.
    """

    def __init__(
        self,
        layers: Sequence[RecurrentLayer2d],
        channels: int,
        *,
        patch: int = 1,
        skip: bool = True,
        statics: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.skip = patch, skip
        self.encoder = FrameEncoder(layers, channels + 1 + statics, patch)
        self.decoder = nn.Conv2d(layers[0].hidden_channels, channels * patch**2, 1)
        for parameter in self.decoder.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        closed_steps: int,
        domain: Domain,
    ) -> Float[Tensor, "b t2 c h w"]:
        """Forecast the frame after each of ``x``, and ``closed_steps`` more from the network's own frames.

        Args:
            x: frames, 0 where they are not valid.
            valid: where they hold a value; in closed loop, what the last frame has.
            closed_steps: frames to forecast beyond the one after the last of ``x``.
            domain: constants of the grid.

        Returns:
            t + closed_steps frames, 0 where the last of ``x`` is not valid in closed loop.
        """
        states: list[Any] = [None] * domain.tiles
        forecasts = [self._next(x, valid, states, domain)]
        there = valid[:, -1:]
        for _ in range(closed_steps):
            forecasts.append(self._next(forecasts[-1][:, -1:] * there, there, states, domain))
        return torch.cat(forecasts, dim=1)

    def _next(self, x: Tensor, valid: Tensor, states: list[Any], domain: Domain) -> Tensor:
        """Give the frame after each of ``x``; ``states`` of the tiles move on in place."""
        frames = network_input(x, valid, domain)
        parts = []
        for tile in range(domain.tiles):
            area = pool_sum(domain.cut(domain.area, tile)[None], self.patch)[0]
            y, states[tile] = self.encoder(domain.cut(frames, tile), states[tile], area)
            part: Tensor = F.pixel_shuffle(self.decoder(y.flatten(0, 1)), self.patch)
            parts.append(part.view(*x.shape[:3], *part.shape[-2:]).to(x.dtype))
        change = _blend(parts, domain, x)
        return x + change if self.skip else change


def _blend(tiles: Sequence[Tensor], domain: Domain, like: Tensor) -> Tensor:
    """Put ``tiles`` (b, t, c, th, tw) together to fields (b, t, c, h, w)."""
    if domain.tiles == 1:
        return tiles[0]
    whole = torch.zeros_like(like)
    for number, tile in enumerate(tiles):
        rows, columns = domain.tile_rows[number], domain.tile_columns[number]
        placed = torch.zeros_like(like)
        placed[..., rows[:, None], columns] = tile * domain.blend[number]
        whole = whole + placed
    return whole
