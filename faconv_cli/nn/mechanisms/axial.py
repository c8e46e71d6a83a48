"""Axial attention over longitude, then latitude, and the maps of where it looks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.errors import UsageError
from faconv_cli.nn.layer import AttentionMaps

_MAP_ELEMENTS = 2**22  # attention weights held at a time while maps are made
_SHORT_WEIGHTS = 2**18  # attention weights of a sample made at once, 1 MiB in float32; also kept for backward


class LineAttention(nn.Module):
    """Multi-head self-attention within each line of a grid; each key counts by the weight of its point.

    The share of a key is w·exp(q·k/√d) / Σ w·exp(q·k/√d): a point of twice the area counts twice, a masked
    one (w = 0) not at all. A line without any valid key gives zeros.

    Args:
        channels: R.
        heads: number of heads; they share the channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(self, u: Tensor, weights: Tensor | None = None) -> Tensor:
        """Attend within ``u`` (b, lines, n, R), with ``weights`` (b or 1, lines, n)."""
        q, k, v = rearrange(self.qkv(u), "b l n (s e d) -> s b l e n d", s=3, e=self.heads)
        bias = None if weights is None else _key_bias(weights, q.dtype)
        found = rearrange(_attend(q, k, v, bias), "b l e n d -> b l n (e d)")
        if weights is not None:
            found = found * weights.any(-1)[..., None, None]
        answer: Tensor = self.out(found)
        return answer

    def shares(self, asking: Tensor, u: Tensor, weights: Tensor | None = None) -> Tensor:
        """What ``asking`` (b, lines, m, R) attends to in ``u``: (b, lines, m, n), a mean over heads."""
        R = u.shape[-1]
        q: Tensor = rearrange(F.linear(asking, self.qkv.weight[:R]), "b l m (e d) -> b l e m d", e=self.heads)
        k: Tensor = rearrange(
            F.linear(u, self.qkv.weight[R : 2 * R]), "b l n (e d) -> b l e d n", e=self.heads
        )
        scores: Tensor = q @ k / q.shape[-1] ** 0.5
        if weights is None:
            return scores.softmax(-1).mean(2)
        shares = (scores + _key_bias(weights, scores.dtype)).softmax(-1).mean(2)
        return shares * weights.any(-1)[..., None, None]


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attend within lines (b, lines, heads, n, d): a few short ones at once, else in pieces."""
    n, d = q.shape[-2:]
    if q[0, ..., 0].numel() * n < _SHORT_WEIGHTS:
        scores: Tensor = (q / d**0.5) @ k.mT
        found: Tensor = (scores if bias is None else scores + bias).softmax(-1) @ v
        return found
    if bias is not None:
        bias = bias.expand(*q.shape[:2], 1, n, n).flatten(0, 1)
    q_lines, k_lines, v_lines = (part.flatten(0, 1) for part in (q, k, v))
    return F.scaled_dot_product_attention(q_lines, k_lines, v_lines, attn_mask=bias).view_as(q)


def _key_bias(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return log w (b or 1, lines, 1, 1, n); 0 in a line without a valid key, where softmax has no answer."""
    bias = torch.where(weights.any(-1, keepdim=True), weights.log(), 0)
    return bias.to(dtype)[:, :, None, None]


class AxialAttention(nn.Module):
    """h + γ·Up(Col(Row(Down(h)))): longitude, then latitude, in a bottleneck and on a pooled grid if asked.

    Down is a 1×1 convolution F → R and an area-weighted mean over pool × pool cells (the last block of a side
    may be smaller); Up is a 1×1 convolution R → F and the block's value in each of its cells. γ starts at 0.
    Neither Row nor Col knows where on its line a point lies: a shift in longitude shifts the answer.

    Args:
        channels: F.
        bottleneck: R.
        heads: number of heads; must divide the bottleneck.
        pool: cells of a block's side.

    Raises:
        UsageError: heads that do not divide the bottleneck, or a pool below 1.
    """

    def __init__(self, channels: int, bottleneck: int = 16, *, heads: int = 2, pool: int = 1) -> None:
        super().__init__()
        if heads < 1 or bottleneck % heads:
            raise UsageError(
                f"{heads} attention heads do not divide a bottleneck of {bottleneck}",
                wanted="the heads share the bottleneck equally",
                do="choose a number that divides it",
            )
        if pool < 1:
            raise UsageError(
                f"the attention pool is {pool}", wanted="a block needs at least one cell", do="use 1 or more"
            )
        self.pool = pool
        self.down = nn.Linear(channels, bottleneck, bias=False)
        self.row, self.col = LineAttention(bottleneck, heads), LineAttention(bottleneck, heads)
        self.up = nn.Linear(bottleneck, channels, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor, weights: Tensor | None = None) -> Tensor:
        """Attend within ``h`` (b, F, h, w); ``weights`` (h, w) or (b, h, w), area times validity, 0 masks."""
        return h + self.change(h.movedim(1, -1), weights).movedim(-1, 1)

    def change(self, h: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return γ·Up(Col(Row(Down(h)))) for features-last ``h`` (b, h, w, F)."""
        u, area = self._down(h, weights)
        column_area = None if area is None else area.mT
        mixed = self.col(self.row(u, area).transpose(1, 2), column_area).transpose(1, 2)
        return self._spread(F.linear(mixed, self.gamma * self.up.weight), h.shape[1:3])

    @torch.no_grad()
    def maps(self, h: Tensor, weights: Tensor | None = None, queries: Tensor | None = None) -> AttentionMaps:
        """Map where `forward` looks for ``h``: the weights of Col and Row composed, mean over heads.

        Args:
            h: (b, F, h, w).
            weights: as for `forward`.
            queries: (q, 2) points (y, x) whose own maps are wanted.

        Returns:
            received (b, 1, h, w), the mean over all valid points by area, and teleconnection
            (b, 1, q, h, w) or None; both are densities as `AttentionMaps` says.
        """
        b, _, *grid = h.shape
        if weights is None:
            weights = h.new_ones(grid)
        weights = weights.to(h.dtype).expand(b, *grid)
        u, area = self._down(h.movedim(1, -1), weights)
        assert area is not None  # weights were given
        area = area / area.sum((1, 2), keepdim=True).clamp(min=torch.finfo(h.dtype).tiny)
        between = self.row(u, area).transpose(1, 2)
        masses = [self._received(u, between, area)[:, None]]
        if queries is not None:
            masses.append(self._teleconnection(u, between, area, queries.to(h.device) // self.pool))
        densities = [self._density(mass, area, weights)[:, None] for mass in masses]
        return AttentionMaps(densities[0][:, :, 0], densities[1] if queries is not None else None)

    def _received(self, u: Tensor, between: Tensor, area: Tensor) -> Tensor:
        """Follow the weights back from all points at once: where their attention (b, h, w) ends."""
        passed = torch.empty_like(area)  # what each point passes on from its column to its row
        for part in _chunks(between):
            shares = self.col.shares(between[:, part], between[:, part], area.mT[:, part])
            passed[:, :, part] = torch.einsum("byx,bxyk->bkx", area[:, :, part], shares)
        received = torch.empty_like(area)
        for part in _chunks(u):
            shares = self.row.shares(u[:, part], u[:, part], area[:, part])
            received[:, part] = torch.einsum("byx,byxk->byk", passed[:, part], shares)
        return received

    def _teleconnection(self, u: Tensor, between: Tensor, area: Tensor, queries: Tensor) -> Tensor:
        """Follow the weights back from each query (q, 2) alone: (b, q, h, w)."""
        y, x = queries.unbind(-1)
        columns = between[:, x]
        asking = columns[:, torch.arange(len(x), device=x.device), y][:, :, None]
        along_column = self.col.shares(asking, columns, area.mT[:, x])[:, :, 0]
        along_rows = self.row.shares(u[:, :, x], u, area)
        return torch.einsum("bqy,byqk->bqyk", along_column, along_rows)

    def _density(self, mass: Tensor, area: Tensor, weights: Tensor) -> Tensor:
        """Divide ``mass`` (b, n, h', w') by area and spread it over the valid points of the full grid."""
        density = torch.where(area > 0, mass.transpose(0, 1) / area, 0)
        full = self._spread(density.permute(1, 2, 3, 0), weights.shape[-2:]).movedim(-1, 1)
        return full * (weights > 0)[:, None]

    def _down(self, h: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Project and pool ``h`` (b, h, w, F) to (b, h', w', R), ``weights`` to (b or 1, h', w')."""
        u = self.down(h)
        if weights is not None:
            weights = weights.to(h.dtype).reshape(-1, *h.shape[1:3])
        if self.pool == 1:
            return u, weights
        if weights is None:
            weights = h.new_ones(1, *h.shape[1:3])
        area = self._block_sums(weights[..., None])
        means = self._block_sums(weights[..., None] * u) / area.clamp(min=torch.finfo(h.dtype).tiny)
        return means.to(u.dtype), area[..., 0]

    def _block_sums(self, x: Tensor) -> Tensor:
        down, right = (-size % self.pool for size in x.shape[1:3])
        padded = F.pad(x, (0, 0, 0, right, 0, down))
        return reduce(padded, "b (h p) (w q) r -> b h w r", "sum", p=self.pool, q=self.pool)

    def _spread(self, x: Tensor, grid: torch.Size) -> Tensor:
        """Spread the values of blocks ``x`` (b, h', w', r) over the cells of the full ``grid``."""
        if self.pool == 1:
            return x
        full = x.repeat_interleave(self.pool, 1).repeat_interleave(self.pool, 2)
        return full[:, : grid[0], : grid[1]]


def _chunks(lines: Tensor) -> Iterator[slice]:
    """Cut the lines of (b, lines, n, R) so that the weights of a cut, (b, cut, n, n), stay small."""
    b, count, n, _ = lines.shape
    size = max(1, _MAP_ELEMENTS // (b * n * n))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
