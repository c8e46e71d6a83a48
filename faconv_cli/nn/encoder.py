"""The whole encoder: stem, recurrent layer on each tile, subspace head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.nn.head import Advection, EofCoordinates, LeadCorrection, Subspace, Tendencies
from faconv_cli.nn.layer import AttentionMaps, RecurrentLayer2d
from faconv_cli.nn.mechanisms.axial import AxialAttention
from faconv_cli.nn.mechanisms.domain import Domain, network_input, pool_sum
from faconv_cli.nn.mechanisms.seasonal import TemporalAttention, seasonal_encoding

COORDINATES = 5  # features of a point, as in `Domain`
FAINT = 0.1
IN_COMMON = 0.5  # of the area of a step that the one before must hold as well, to be compared with it

Phases = tuple[Tensor, Tensor | None]  # place in the year and, below a day, in the day


class Encoding(NamedTuple):
    """What the encoder makes of a window.

    Attributes:
        z: (b, t, d) the embedding.
        tiles: (b, t, n, d) what each tile adds to it, before the temporal attention.
        now: (b, t, k) EOF coordinates of the field.
        linear: (b, t, l, k) their forecasts at the leads by the linear inverse model, then those of the
            targets.
        tendency: (b, t, l, k) what the last changes and the products of coordinates add to these.
        correction: (b, t, l, k) what the network adds.
        temporal: (b, t, lag) weights of the temporal attention, where asked for.
        received: (b, k, h, w) attention received at the k attended steps, where asked for.
        teleconnection: (b, k, q, h, w) where each query point attends, where asked for.
    """

    z: Tensor
    tiles: Tensor
    now: Tensor
    linear: Tensor
    tendency: Tensor
    correction: Tensor
    temporal: Tensor | None = None
    received: Tensor | None = None
    teleconnection: Tensor | None = None


class SubspaceEncoder(nn.Module):
    """Fields of a window to d numbers per step: the principal subspace of the field now and what comes.

    p_t are EOF coordinates of the field. Each lead l is forecast in them as A_l p_t + m_l(t) + r_l c_l(t):
    the linear inverse model (Penland and Sardeshmukh 1995, J. Climate 8); what the last changes of p
    (`Tendencies`) and products of coordinates (`Advection`) add; and what the recurrent layer adds
    (`LeadCorrection`), which starts at zero, as far as validation trusts it (the confidence r_l, 0 to 1). z_t
    are canonical coordinates of F = [p_t, forecasts] (`Subspace`). The temporal attention looks at p and its
    past and acts on the state that the linear model forecasts from.

    A target is told as a lead is, by its own first K EOF coordinates at most, the rest being zero: as
    A (p_t + r c(t)), so that the correction too is of the state, seen as the linear model sees it. It is no
    input.

    The recurrent layer sees x, the share of channels that are valid at each point, the static channels, and
    where and when it is: `Domain.coordinates`, sine and cosine of the year, and of the day below a day. With
    a patch above 1 a strided convolution comes before it.

    Args:
        layer: recurrent layer; its input has `seen_channels` channels, or ``stem`` behind a patch. None:
            nothing is added to the linear forecasts.
        channels: channels c of the fields.
        embedding: d.
        eofs: K.
        nodes: rows and columns of the nodes of the EOFs.
        leads: number of leads; 0, without targets, makes the EOF analysis.
        targets: number of targets, parts of F after the leads.
        now: the field now is a part of F.
        temporal: the head's attention over time, or None to leave it out.
        lags: steps that the EOFs are of, 1 but for extended EOFs.
        changes: last changes of p that forecasts see (`Tendencies`), with products of the coordinates
            (`Advection`); 0 leaves both out.
        season: give the network the place in the year (and the day).
        sub_daily: the season includes the place in the day.
        patch: points per side under one hidden point.
        stem: channels of the patch convolution; unused where patch is 1.
        statics: static channels.
        dropout: share of the hidden channels that a training step does without.
    """

    propagators: Tensor
    confidence: Tensor

    def __init__(
        self,
        layer: RecurrentLayer2d | None,
        channels: int,
        embedding: int,
        eofs: int,
        nodes: tuple[int, int],
        leads: int,
        temporal: TemporalAttention | None = None,
        *,
        targets: int = 0,
        now: bool = True,
        lags: int = 1,
        changes: int = 0,
        season: bool = True,
        sub_daily: bool = False,
        patch: int = 1,
        stem: int = 16,
        statics: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.season, self.sub_daily, self.now = float(season), sub_daily, now
        self.patch, self.leads, ahead = patch, leads, leads + targets
        self.eofs = EofCoordinates(lags, eofs, channels, nodes)
        self.register_buffer("propagators", torch.zeros(ahead, eofs, eofs))
        self.tendencies = Tendencies(leads, eofs, changes) if changes else None
        self.advection = Advection(leads, eofs) if changes else None
        self.register_buffer("confidence", torch.ones(ahead))
        self.subspace = Subspace(embedding, ahead + now, eofs)
        self.layer = layer
        self.temporal = temporal
        if layer is not None:
            seen = seen_channels(channels, statics, sub_daily=sub_daily)
            self.stem = nn.Conv2d(seen, stem, patch, stride=patch) if patch > 1 else nn.Identity()
            self.drop = nn.Dropout3d(dropout)
            self.correction = LeadCorrection(ahead, eofs, layer.hidden_channels, channels, patch)

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
        collected = _MapCollector(domain, self.patch, queries) if attention else None
        by_tile = torch.stack(
            [self.eofs(domain.cut(x, tile), domain, tile) for tile in range(domain.tiles)], dim=2
        )
        phases = year_fraction, day_fraction if self.sub_daily else None
        added = self._corrections(x, valid, phases, domain, collected)
        now, linear, correction = by_tile.sum(2), self._linear(by_tile), added.sum(2)
        tendency = torch.zeros_like(linear)
        if self.tendencies is not None and self.advection is not None:
            change, known = self._changes(by_tile, x, valid, domain), comparable(valid, domain)
            products = self.advection.by_tile(by_tile, change.sum(2), known)
            tendency = self._of_leads(self.tendencies(by_tile, change, known) + products)
        tiles = self.canonical(by_tile, linear + tendency + self._trusted(added))
        linear, tendency = linear.sum(2), tendency.sum(2)
        present = valid.flatten(2).any(2)
        turned, temporal = self._attend(now, present, phases, attention)
        if turned is not None:
            correction = correction + self._linear(turned)
        z = self.canonical(now, linear + tendency + self._trusted(correction)) - self.subspace.centre()
        received, teleconnection = collected.maps() if collected else (None, None)
        return Encoding(z, tiles, now, linear, tendency, correction, temporal, received, teleconnection)

    def canonical(self, now: Tensor, ahead: Tensor) -> Tensor:
        """The z (..., d) of coordinates now (..., k) and at the leads (..., l, k), the mean still in it."""
        z: Tensor = self.subspace(self.parts(now, ahead))
        return z

    @property
    def uses_axial_attention(self) -> bool:
        """Whether z depends on the axial attention: some lead trusts a correction by a layer that attends."""
        if self.layer is None:
            return False
        told = (self.confidence[:, None, None] * self.correction.weight).any()
        attends = (one.gamma != 0 for one in self.layer.modules() if isinstance(one, AxialAttention))
        return bool(told) and any(map(bool, attends))

    @property
    def uses_temporal_attention(self) -> bool:
        """Whether z depends on the temporal attention: some lead trusts the change of the state by it."""
        return self.temporal is not None and bool(self.confidence.any() and self.temporal.out.weight.any())

    def parts(self, now: Tensor, ahead: Tensor) -> Tensor:
        """Put F (..., parts, k) together."""
        return torch.cat([now[..., None, :], ahead], dim=-2) if self.now else ahead

    def forecasts(self, encoding: Encoding) -> Tensor:
        """Return the forecasts (b, t, l, k), each lead corrected as far as it is trusted."""
        return encoding.linear + encoding.tendency + self._trusted(encoding.correction)

    def untrained(
        self,
        now: Float[Tensor, "b t k"],
        change: Float[Tensor, "b t k"],
        known: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t l k"]:
        """Return the forecasts without the network.

        Args:
            now: EOF coordinates.
            change: of these since the step before.
            known: where that is known.
        """
        linear = self._linear(now)
        if self.tendencies is None or self.advection is None:
            return linear
        added = self.tendencies(now, change, known) + self.advection(now, change, known)
        return linear + self._of_leads(added)

    def _linear(self, now: Tensor) -> Tensor:
        return torch.einsum("...i,lij->...lj", now, self.propagators)

    def _of_leads(self, added: Tensor) -> Tensor:
        """Add nothing (..., l, k) to the targets, which come after the leads."""
        return F.pad(added, (0, 0, 0, len(self.propagators) - self.leads))

    def _changes(self, by_tile: Tensor, x: Tensor, valid: Tensor, domain: Domain) -> Tensor:
        """Changes of the coordinates (b, t, n, k) of each tile since the step before."""
        found = [
            self.eofs.changes(by_tile[:, :, tile], domain.cut(x, tile), domain.cut(valid, tile), domain, tile)
            for tile in range(domain.tiles)
        ]
        return torch.stack(found, dim=2)

    def _trusted(self, correction: Tensor) -> Tensor:
        return correction * self.confidence[:, None]

    def _seen(self, x: Tensor, valid: Tensor, phases: Phases, domain: Domain) -> Tensor:
        """Put beside the fields where and when they are, faintly: else they hide the weather at first."""
        when = self.season * seasonal_encoding(*phases, harmonics=1).to(x.dtype)
        where = domain.coordinates.to(x.dtype).movedim(-1, 0).expand(*x.shape[:2], -1, -1, -1)
        spread = when[..., None, None].expand(-1, -1, -1, *x.shape[-2:])
        return torch.cat([network_input(x, valid, domain), FAINT * where, FAINT * spread], dim=2)

    def _corrections(
        self, x: Tensor, valid: Tensor, phases: Phases, domain: Domain, collected: _MapCollector | None
    ) -> Tensor:
        """What each tile adds to the linear forecasts (b, t, n, l, k)."""
        frames, tiles = x.shape[:2], []
        if self.layer is None:
            return x.new_zeros(*frames, domain.tiles, *self.propagators.shape[:2])
        seen = self._seen(x, valid, phases, domain)
        for tile in range(domain.tiles):
            area = pool_sum(domain.cut(domain.area, tile)[None], self.patch)[0]
            stemmed = self.stem(domain.cut(seen, tile).flatten(0, 1)).unflatten(0, frames)
            local = collected.local_queries(tile) if collected else None
            output = self.layer.run(stemmed, None, area, attention=collected is not None, queries=local)
            with torch.autocast(seen.device.type, enabled=False):
                h = self._dropped(output.y)
                tiles.append(self._told(self.correction(h, self.eofs.on_x[0], domain, tile)))
            if collected and output.maps is not None:
                collected.add(output.maps, tile)
        return torch.stack(tiles, dim=2)

    def _told(self, added: Tensor) -> Tensor:
        """Turn changes of the state (..., l, k) that targets are told from into changes of the targets."""
        targets = torch.einsum(
            "...lj,ljk->...lk", added[..., self.leads :, :], self.propagators[self.leads :]
        )
        return torch.cat([added[..., : self.leads, :], targets], dim=-2)

    def _dropped(self, h: Tensor) -> Tensor:
        """Leave hidden channels out of a whole window, in training."""
        return self.drop(h.transpose(1, 2)).transpose(1, 2) if self.training else h

    def _attend(
        self, now: Tensor, present: Tensor, phases: Phases, weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what the temporal attention changes of the state, and its weights where asked for."""
        if self.temporal is None:
            return None, None
        with torch.autocast(now.device.type, enabled=False):
            attended, shares = self.temporal.attend(now, self.season * seasonal_encoding(*phases), present)
        return attended - now, shares if weights else None


def seen_channels(channels: int, statics: int, *, sub_daily: bool) -> int:
    """Count what a `SubspaceEncoder` sees of ``channels`` fields."""
    return channels + 1 + statics + COORDINATES + (4 if sub_daily else 2)


def comparable(valid: Bool[Tensor, "b t c h w"], domain: Domain) -> Bool[Tensor, "b t"]:
    """Mark the steps of which the step before holds enough, so that the change is known."""
    both, own = valid[:, 1:] & valid[:, :-1], valid[:, 1:]
    shared, there = ((one * domain.area).sum((-3, -2, -1)) for one in (both, own))
    return F.pad(shared > IN_COMMON * there, (1, 0))


class _MapCollector:
    """Puts the attention maps of the tiles together on the grid, as densities of mean 1 over the area."""

    def __init__(self, domain: Domain, patch: int, queries: Tensor | None) -> None:
        self._domain, self._patch = domain, patch
        self._queries = queries
        self._home = _home_tiles(domain, queries) if queries is not None else None
        self._received: Tensor | None = None
        self._teleconnection: Tensor | None = None

    def local_queries(self, tile: int) -> Tensor | None:
        """Return every query point's (y, x) in the tile's hidden grid; those of other tiles as (0, 0)."""
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
        """Return both maps, normalised to an area-weighted mean of 1."""
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
