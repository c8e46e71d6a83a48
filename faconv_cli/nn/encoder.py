"""The whole encoder: stem, recurrent layer on each tile, subspace head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from faconv_cli.nn.domain import Domain, network_input, pool_sum
from faconv_cli.nn.head import SpatialPatterns
from faconv_cli.nn.layer import AttentionMaps, RecurrentLayer2d
from faconv_cli.nn.seasonal import TemporalAttention, seasonal_encoding


class Encoding(NamedTuple):
    """What the encoder makes of a window.

    Attributes:
        z: (b, t, d) the embedding.
        tiles: (b, t, n, d) what each tile adds to it, before the temporal attention.
        temporal: (b, t, lag) weights of the temporal attention, where asked for.
        received: (b, k, h, w) attention received at the k attended steps, where asked for.
        teleconnection: (b, k, q, h, w) where each query point attends, where asked for.
    """

    z: Tensor
    tiles: Tensor
    temporal: Tensor | None
    received: Tensor | None
    teleconnection: Tensor | None


class SubspaceEncoder(nn.Module):
    """Fields of a window to d numbers per step: z = TemporalAttention(SpatialPatterns([layer(x) ; x])).

    The recurrent layer sees x, the share of channels that are valid at each point, and the static channels;
    the patterns and whatever is decoded know x alone. With a patch above 1 a strided convolution comes before
    it, and the patterns on x keep full resolution.

    Args:
        layer: recurrent layer; its input has ``channels + 1 + statics`` channels, or ``stem`` behind a patch.
        channels: channels c of the fields.
        embedding: d.
        nodes: rows and columns of the nodes of the spatial patterns.
        temporal: the head's attention over time, or None to leave it out.
        season: give the temporal attention the place in the year (and the day).
        sub_daily: the season includes the place in the day.
        patch: points per side under one hidden point.
        stem: channels of the patch convolution; unused where patch is 1.
        statics: static channels.
    """

    def __init__(
        self,
        layer: RecurrentLayer2d,
        channels: int,
        embedding: int,
        nodes: tuple[int, int],
        temporal: TemporalAttention | None,
        *,
        season: bool = True,
        sub_daily: bool = False,
        patch: int = 1,
        stem: int = 16,
        statics: int = 0,
    ) -> None:
        super().__init__()
        self.season, self.sub_daily = float(season), sub_daily
        self.patch = patch
        self.stem = (
            nn.Conv2d(channels + 1 + statics, stem, patch, stride=patch) if patch > 1 else nn.Identity()
        )
        self.layer = layer
        self.patterns = SpatialPatterns(embedding, layer.hidden_channels, channels, nodes, patch)
        self.temporal = temporal

    def forward(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        year_fraction: Float[Tensor, "b t"],
        day_fraction: Float[Tensor, "b t"],
        domain: Domain,
        *,
        attention: bool = False,
        queries: Int[Tensor, "q 2"] | None = None,
    ) -> Encoding:
        """Encode a batch of windows; ``x`` holds 0 where it is not valid."""
        seen = network_input(x, valid, domain)
        collected = _MapCollector(domain, self.patch, queries) if attention else None
        tiles = []
        for tile in range(domain.tiles):
            area = pool_sum(domain.cut(domain.area, tile)[None], self.patch)[0]
            stemmed = self.stem(domain.cut(seen, tile).flatten(0, 1)).unflatten(0, x.shape[:2])
            local = collected.local_queries(tile) if collected else None
            output = self.layer.run(stemmed, None, area, attention=attention, queries=local)
            with torch.autocast(x.device.type, enabled=False):
                tiles.append(self.patterns(output.y.float(), domain.cut(x, tile), domain, tile))
            if collected and output.maps is not None:
                collected.add(output.maps, tile)
        e_tiles = torch.stack(tiles, dim=2)
        e = e_tiles.sum(2) + self.patterns.bias
        present = valid.flatten(2).any(2)
        z, temporal = self._attend(e, present, year_fraction, day_fraction, attention)
        received, teleconnection = collected.maps() if collected else (None, None)
        return Encoding(z, e_tiles, temporal, received, teleconnection)

    def _attend(
        self, e: Tensor, present: Tensor, year_fraction: Tensor, day_fraction: Tensor, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.temporal is None:
            return e, None
        with torch.autocast(e.device.type, enabled=False):
            season = self.season * seasonal_encoding(year_fraction, day_fraction if self.sub_daily else None)
            if weights:
                return self.temporal.attend(e, season, present)
            return self.temporal(e, season, present), None


class _MapCollector:
    """Puts the attention maps of the tiles together on the grid, as densities of mean 1 over the area."""

    def __init__(self, domain: Domain, patch: int, queries: Tensor | None) -> None:
        self._domain, self._patch = domain, patch
        self._queries = queries
        self._home = _home_tiles(domain, queries) if queries is not None else None
        self._received: Tensor | None = None
        self._teleconnection: Tensor | None = None

    def local_queries(self, tile: int) -> Tensor | None:
        """Give every query point's (y, x) in the tile's hidden grid; those of other tiles as (0, 0)."""
        if self._queries is None or self._home is None:
            return None
        local = torch.zeros_like(self._queries)
        for number, (y, x) in enumerate(self._queries):
            if self._home[number] == tile:
                local[number, 0] = (self._domain.tile_rows[tile] == y).nonzero()[0, 0] // self._patch
                local[number, 1] = (self._domain.tile_columns[tile] == x).nonzero()[0, 0] // self._patch
        return local

    def add(self, maps: AttentionMaps, tile: int) -> None:
        """Add the maps of one tile."""
        self._received = self._spread(self._received, maps.received, tile, self._domain.blend[tile])
        if maps.teleconnection is not None and self._home is not None:
            at_home = (self._home == tile)[:, None, None].to(maps.teleconnection.dtype)
            self._teleconnection = self._spread(self._teleconnection, maps.teleconnection, tile, at_home)

    def maps(self) -> tuple[Tensor | None, Tensor | None]:
        """Give both maps, normalised to an area-weighted mean of 1."""
        return self._normalised(self._received), self._normalised(self._teleconnection)

    def _spread(self, total: Tensor | None, part: Tensor, tile: int, weights: Tensor) -> Tensor:
        if total is None:
            total = part.new_zeros(*part.shape[:-2], *self._domain.shape)
        part = part.repeat_interleave(self._patch, -2).repeat_interleave(self._patch, -1)
        rows, columns = self._domain.tile_rows[tile], self._domain.tile_columns[tile]
        total[..., rows[:, None], columns] += part * weights
        return total

    def _normalised(self, total: Tensor | None) -> Tensor | None:
        if total is None:
            return None
        total = total * (self._domain.area > 0)
        return total / (total * self._domain.area).sum((-2, -1), keepdim=True).clamp_min(1e-30)


def _home_tiles(domain: Domain, queries: Tensor) -> Tensor:
    """Choose for each query point the tile in which it weighs most."""
    weight = domain.blend.new_zeros(domain.tiles, *domain.shape)
    for tile in range(domain.tiles):
        weight[tile, domain.tile_rows[tile][:, None], domain.tile_columns[tile]] = domain.blend[tile]
    return weight[:, queries[:, 0], queries[:, 1]].argmax(0)
