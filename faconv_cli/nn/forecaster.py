"""Next frames of a field: teacher-forced in parallel, then in closed loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.nn.layer import RecurrentLayer2d
from faconv_cli.nn.mechanisms.domain import Domain, network_input, pool_sum


class FieldNorm(nn.Module):
    """Mean 0 and variance 1 over the channels and the whole grid of each frame, with a gain for each channel.

    Points count by their area, so the norm is free of the grid's size and blind to points that are never
    valid; tiles share the moments, which add up over them. Horuz et al. 2025 (arXiv 2508.03614) have a norm
    over channels and grid as well, with a gain for each point, which ties the weights to the grid.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, tiles: Sequence[Tensor], shares: Sequence[Tensor]) -> list[Tensor]:
        """Normalise tiles (b, t, f, h, w) of frames; their shares (h, w) of the area add up to 1."""
        mean = _total(tiles, shares)
        centred = [tile - mean for tile in tiles]
        variance = _total([tile.square() for tile in centred], shares)
        scale = (variance + self.eps).rsqrt() * self.gain
        return [torch.addcmul(self.offset, tile, scale) for tile in centred]


def _total(tiles: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    """Mean over channels and grid (b, t, 1, 1, 1) of tiles (b, t, f, h, w)."""
    sums = [
        (tile.to(share.dtype).flatten(-2) @ share.flatten()).mean(-1)
        for tile, share in zip(tiles, shares, strict=True)
    ]
    return torch.stack(sums).sum(0)[..., None, None, None]


class FrameEncoder(nn.Module):
    """Frames to features: a 1×1 convolution, then L times y ← norm(y + layer(y)), the norm a `FieldNorm`.

    Under patches of p points a side the first convolution is p×p with stride p.

    Args:
        layers: recurrences from F to F channels.
        in_channels: channels of a frame with its mask.
        patch: points per side under one hidden point.
    """

    def __init__(self, layers: Sequence[RecurrentLayer2d], in_channels: int, patch: int = 1) -> None:
        super().__init__()
        hidden = layers[0].hidden_channels
        self.patch = patch
        self.inlet = nn.Conv2d(in_channels, hidden, patch, stride=patch)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(FieldNorm(hidden) for _ in layers)

    def forward(
        self, tiles: Sequence[Tensor], states: Sequence[Sequence[Any]] | None, domain: Domain
    ) -> tuple[list[Tensor], list[list[Any]]]:
        """Run over the tiles (b, t, c, h, w) of frames from the ``states`` of each layer (None: zero).

        Returns:
            Features (b, t, f, h / p, w / p) of each tile, and the states of each layer to go on from.
        """
        areas = [domain.cut(domain.area, tile) for tile in range(domain.tiles)]
        weights = [pool_sum(area[None], self.patch)[0] for area in areas]
        shares = [
            pool_sum((area * blend)[None], self.patch)[0]
            for area, blend in zip(areas, domain.blend, strict=True)
        ]
        features = [self.inlet(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]) for frames in tiles]
        after = []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            before = states[number] if states else [None] * len(features)
            outputs = [
                cast("RecurrentLayer2d", layer).run(y, state, weight)
                for y, state, weight in zip(features, before, weights, strict=True)
            ]
            added = [y + output.y for y, output in zip(features, outputs, strict=True)]
            features = norm(added, shares)
            after.append([output.state for output in outputs])
        return features, after


class Forecaster(nn.Module):
    """The forecasting network of Horuz et al. 2025 (arXiv 2508.03614), around any recurrence.

    frames with their mask and static channels → `FrameEncoder` → 1×1 convolution → the next frame, or with
    ``skip`` the change from the last one. Tiles share nothing but the moments of the norm, and are blended
    into one frame before it is fed back. The last convolution starts at zero: the untrained forecast is
    persistence with ``skip``, else the climatology.

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
        frames, states = self._next(x, valid, None, domain)
        forecasts, there = [frames], valid[:, -1:]
        for _ in range(closed_steps):
            frames, states = self._next(frames[:, -1:] * there, there, states, domain)
            forecasts.append(frames)
        return torch.cat(forecasts, dim=1)

    def forecast(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        year_fraction: Tensor,
        day_fraction: Tensor,
        steps: int,
        domain: Domain,
    ) -> Float[Tensor, "b steps c h w"]:
        """Forecast ``steps`` frames after the last of ``x``, as `LeadForecaster` does, in any season."""
        frames: Tensor = self(x, valid, steps - 1, domain)
        return frames[:, x.shape[1] - 1 :]

    def _next(
        self, x: Tensor, valid: Tensor, states: list[list[Any]] | None, domain: Domain
    ) -> tuple[Tensor, list[list[Any]]]:
        """Return the frame after each of ``x``, and the states to go on from."""
        frames = network_input(x, valid, domain)
        tiles = [domain.cut(frames, tile) for tile in range(domain.tiles)]
        features, states = self.encoder(tiles, states, domain)
        parts = []
        for y in features:
            part: Tensor = F.pixel_shuffle(self.decoder(y.flatten(0, 1)), self.patch)
            parts.append(part.view(*x.shape[:3], *part.shape[-2:]).to(x.dtype))
        change = _blend(parts, domain, x)
        return (x + change if self.skip else change), states


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
