"""How a resolved configuration lies on a grid: patches, tiles, the nodes of spatial patterns."""

from __future__ import annotations

import math

from faconv_cli.config import EOF, RunConfig
from faconv_cli.windows.plan import Tiles, plan_tiles

MOST_NODES = (64, 128)


def padded(shape: tuple[int, int], patch: int) -> tuple[int, int]:
    """Round a grid up to whole patches."""
    return math.ceil(shape[0] / patch) * patch, math.ceil(shape[1] / patch) * patch


def tiles_of(config: RunConfig, shape: tuple[int, int], *, periodic: bool) -> Tiles:
    """Plan the tiles of a resolved configuration on a grid."""
    patch = config.encoder.patch or 1
    return plan_tiles(
        padded(shape, patch),
        tile=config.tiling.tile,
        halo=config.tiling.halo,
        periodic=periodic,
        multiple=patch,
    )


def nodes_of(config: RunConfig, shape: tuple[int, int]) -> tuple[int, int]:
    """Nodes of the spatial patterns: the grid itself for EOFs, or where it is small enough."""
    if config.encoder.encoder == EOF:
        return shape
    return min(shape[0], MOST_NODES[0]), min(shape[1], MOST_NODES[1])
