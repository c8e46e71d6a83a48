"""The domain a network works on: areas, tiles, and where its grid points lie between the pattern nodes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from einops import reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Domain:
    """Constants of a grid of h x w points, both multiples of the patch; tensors only.

    Attributes:
        area: share of the domain each point stands for; 0 where a point is never valid; sums to 1.
        node_y: place of each row between the rows of pattern nodes, in nodes (0 is the first).
        node_x: the same for columns; where the grid closes the circle the last node is the first again.
        coordinates: features of latitude and longitude of each point, free of the grid's size.
        tile_rows: rows of the grid in each tile.
        tile_columns: columns of the grid in each tile.
        blend: weights of each tile's points that add up to 1 at every point of the grid.
        statics: channels that do not change in time, which a network sees beside the fields.
    """

    area: Float[Tensor, "h w"]
    node_y: Float[Tensor, " h"]
    node_x: Float[Tensor, " w"]
    coordinates: Float[Tensor, "h w k"]
    tile_rows: Int[Tensor, "n th"]
    tile_columns: Int[Tensor, "n tw"]
    blend: Float[Tensor, "n th tw"]
    statics: Float[Tensor, "s h w"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.area.shape[0], self.area.shape[1]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.blend.shape[0]

    def to(self, device: torch.device) -> Domain:
        """Copy the tensors to a device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def cut(self, x: Tensor, tile: int, patch: int = 1) -> Tensor:
        """Take a tile out of ``x`` (..., h / patch, w / patch)."""
        if self.tiles == 1:
            return x
        rows, columns = (side[tile, ::patch] // patch for side in (self.tile_rows, self.tile_columns))
        return x.index_select(-2, rows).index_select(-1, columns)


def network_input(
    x: Float[Tensor, "b t c h w"], valid: Bool[Tensor, "b t c h w"], domain: Domain
) -> Float[Tensor, "b t i h w"]:
    """Put beside the fields what a network sees with them: share of valid channels, static channels."""
    statics = domain.statics.to(x.dtype).expand(*x.shape[:2], -1, -1, -1)
    return torch.cat([x, valid.to(x.dtype).mean(2, keepdim=True), statics], dim=2)


def pool_sum(x: Tensor, patch: int) -> Tensor:
    """Add ``x`` (n, h, w) up over patches: (n, h / patch, w / patch)."""
    return x if patch == 1 else F.avg_pool2d(x, patch) * patch**2


def node_basis(place: Float[Tensor, " n"], nodes: int) -> Float[Tensor, "n m"]:
    """Weights that interpolate linearly from ``nodes`` nodes to points at ``place`` (in nodes).

    A place beyond the last node lies between it and the first again: the nodes of a closed circle.
    """
    below = place.floor().clamp(0, nodes - 1)
    above_weight = (place - below).to(place.dtype)
    basis = torch.zeros(len(place), nodes, dtype=place.dtype, device=place.device)
    rows = torch.arange(len(place), device=place.device)
    basis[rows, below.long()] = 1 - above_weight
    basis[rows, (below.long() + 1) % nodes] += above_weight
    return basis


def interpolate(patterns: Tensor, domain: Domain, patch: int = 1) -> Tensor:
    """Interpolate ``patterns`` (..., gh, gw) from their nodes to the grid, or to its patches."""
    if patch == 1 and patterns.shape[-2:] == domain.shape:
        return patterns  # the nodes are the grid's points
    basis_y, basis_x = patch_bases(domain, (patterns.shape[-2], patterns.shape[-1]), patch)
    return basis_y @ patterns @ basis_x.T


def patch_bases(domain: Domain, nodes: tuple[int, int], patch: int = 1) -> tuple[Tensor, Tensor]:
    """Return the interpolation matrices (h / patch, gh) and (w / patch, gw); a patch is its points' mean."""
    bases = [
        node_basis(place, count) for place, count in zip((domain.node_y, domain.node_x), nodes, strict=True)
    ]
    if patch > 1:
        bases = [reduce(basis, "(h p) g -> h g", "mean", p=patch) for basis in bases]
    return bases[0], bases[1]
