"""The time of year as numbers, and attention of an embedding to its own past."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from faconv_cli.errors import UsageError


def seasonal_encoding(
    year_fraction: Tensor, day_fraction: Tensor | None = None, *, harmonics: int = 4
) -> Tensor:
    """Encode the season: sin and cos of 2π·k·year_fraction, k = 1..harmonics, and of 2π·day_fraction.

    Args:
        year_fraction: (b, t) in [0, 1), from the stamps and their calendar.
        day_fraction: (b, t) in [0, 1) for sub-daily data, else None.
        harmonics: n.

    Returns:
        (b, t, features): sines, then cosines, of the year; then sine and cosine of the day. 2n features, or
        2n + 2 with ``day_fraction``.
    """
    k = torch.arange(1, harmonics + 1, dtype=year_fraction.dtype, device=year_fraction.device)
    angles = [2 * math.pi * k * year_fraction[..., None]]
    if day_fraction is not None:
        angles.append(2 * math.pi * day_fraction[..., None])
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=-1)


class TemporalAttention(nn.Module):
    """z = e + O·attn(LN(e + W·PE)): multi-head self-attention over the last ``span`` steps.

    The band makes a row's answer the same wherever its window started, once it started ``span`` steps before.
    O starts at zero: untrained, z = e.

    Args:
        channels: d, the size of an embedding.
        features: size of the seasonal encoding PE.
        heads: number of heads; must divide the channels.
        span: the largest lag attended to, in steps.
        causal: attend to lags 0..span; False: −span..span, the future too.

    Raises:
        UsageError: heads that do not divide the channels, or a negative span.
    """

    def __init__(
        self, channels: int, features: int, *, heads: int = 2, span: int = 16, causal: bool = True
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise UsageError(
                f"{heads} attention heads do not divide an embedding of {channels}",
                wanted="the heads share the embedding equally",
                do="choose a number that divides it",
            )
        if span < 0:
            raise UsageError(
                f"the span is {span}", wanted="it is a number of time steps back", do="use 0 or more"
            )
        self.heads, self.span, self.causal = heads, span, causal
        self.season = nn.Linear(features, channels, bias=False)
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.out.weight)

    @property
    def lags(self) -> range:
        """The lags of the last axis of the weights, in steps; positive is the past."""
        return range(0 if self.causal else -self.span, self.span + 1)

    def forward(self, e: Tensor, season: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return z (b, t, d); arguments as for `attend`."""
        return self.attend(e, season, valid)[0]

    def attend(self, e: Tensor, season: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return z (b, t, d) and the weights (b, t, lag), mean over heads, NaN where a lag leaves the window.

        Args:
            e: embeddings (b, t, d); may be NaN where not valid.
            season: PE (b, t, features).
            valid: (b, t) bool, False at steps nobody may attend to; None: all valid.
        """
        b, t, _ = e.shape
        known = e if valid is None else torch.where(valid[..., None], e, 0)
        u = self.norm(known + self.season(season.to(e.dtype)))
        q, k, v = rearrange(self.qkv(u), "b t (s e d) -> s b t e d", s=3, e=self.heads)
        lags = torch.arange(self.lags.start, self.lags.stop, device=e.device)
        keys = torch.arange(t, device=e.device)[:, None] - lags
        inside = (keys >= 0) & (keys < t)
        keys = keys.clamp(0, t - 1)
        seen = inside.expand(b, -1, -1) if valid is None else inside & valid[:, keys]
        scores = torch.einsum("bted,btled->btel", q, k[:, keys]) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(~seen[:, :, None], torch.finfo(scores.dtype).min)
        # a row that sees nothing has equal scores: the second mask makes its weights zero
        shares = scores.softmax(-1) * seen[:, :, None]
        found = torch.einsum("btel,btled->bted", shares, v[:, keys]).flatten(2)
        return e + self.out(found), shares.mean(2).masked_fill(~inside, torch.nan)
