"""A configuration on a grid: its defaults resolved, and the plan told before anything is read."""

from __future__ import annotations

import math

from faconv_cli.config import EOF, RunConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.size import GIBIBYTE, told
from faconv_cli.errors import UsageError
from faconv_cli.windows.plan import (
    Tiles,
    default_patch,
    default_pool,
    default_stride,
    plan_tiles,
    plan_windows,
)

MOST_WINDOWS = 8
EOF_ROWS = 64
TRAINING_BYTES = 4 * GIBIBYTE
EMBEDDING_BYTES = GIBIBYTE


def resolve(config: RunConfig, channels: int, shape: tuple[int, int], *, periodic: bool) -> RunConfig:
    """Replace the defaults that depend on the data by what they stand for.

    Raises:
        UsageError: a patch that does not divide the longitudes of a grid that closes the circle; a window
            without room for a stride; padding that wraps, with tiles.
    """
    if config.encoder.encoder == EOF:
        config = _resolve_eofs(config)
    tiling, encoder = config.tiling, config.encoder
    patch = encoder.patch or default_patch(shape, periodic=periodic)
    if periodic and shape[1] % patch:
        raise UsageError(
            f"--patch {patch} does not divide {shape[1]} longitudes",
            wanted="on a grid that closes the circle it must",
            do="choose another --patch",
        )
    stride = tiling.stride or default_stride(tiling.window, tiling.burn_in, encoder.attention_every)
    tiles = plan_tiles(
        padded(shape, patch), tile=tiling.tile, halo=tiling.halo, periodic=periodic, multiple=patch
    )
    if encoder.padding not in (None, "zeros") and len(tiles) > 1:
        raise UsageError(
            f"--padding {encoder.padding} with {len(tiles)} tiles",
            wanted="a part of the grid has nothing to wrap around to",
            do="leave it out, or pass a larger --tile",
        )
    hidden = (tiles.tile_shape[0] // patch, tiles.tile_shape[1] // patch)
    pool = encoder.attention_pool or default_pool(hidden)
    resolved = config.model_copy(
        update={
            "tiling": tiling.model_copy(update={"stride": stride}),
            "encoder": encoder.model_copy(update={"patch": patch, "attention_pool": pool}),
        }
    )
    batch = config.fit.batch or affordable_batch(window_bytes(resolved, channels, tiles), TRAINING_BYTES)
    return resolved.model_copy(update={"fit": config.fit.model_copy(update={"batch": batch})})


def _resolve_eofs(config: RunConfig) -> RunConfig:
    """Give EOFs many rows per window, as the rows do not depend on it; nothing is trained."""
    tiling = config.tiling
    if config.fit.task == "embed" and tiling.stride is None:
        tiling = tiling.model_copy(update={"window": tiling.window + EOF_ROWS - 1, "stride": EOF_ROWS})
    return config.model_copy(
        update={
            "tiling": tiling,
            "encoder": config.encoder.model_copy(update={"attention_every": 1, "patch": 1}),
            "fit": config.fit.model_copy(update={"epochs": 0}),
        }
    )


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


def plan_summary(cube: Cube, config: RunConfig) -> dict[str, object]:
    """Tell how a cube would be worked on, label by label.

    Raises:
        UsageError: settings that do not suit the grid.
    """
    config = resolve(config, cube.shape[1], cube.grid.shape, periodic=cube.grid.periodic)
    tiling, encoder = config.tiling, config.encoder
    tiles = tiles_of(config, cube.grid.shape, periodic=cube.grid.periodic)
    windows = plan_windows(
        cube.time.segments,
        window=tiling.window,
        stride=tiling.stride or tiling.window,
        burn_in=tiling.burn_in,
    )
    read = sum(window.stop - window.start for window in windows)
    batch = config.fit.batch or 1
    step_bytes = cube.nbytes // max(len(cube.time), 1)
    return {
        "windows": f"{len(windows)} of {tiling.window} steps every {tiling.stride}, burn-in {tiling.burn_in}",
        "tiles": f"{len(tiles)} of {tiles.tile_shape[0]} x {tiles.tile_shape[1]} points",
        "patch": f"{encoder.patch} (one hidden point for {encoder.patch} x {encoder.patch})",
        "memory per batch": f"about {told(batch * window_bytes(config, cube.shape[1], tiles))} in training "
        f"({batch} windows)",
        "bytes to read": f"{told(read * step_bytes)} a pass (the record has {told(cube.nbytes)} as float32)",
    }


def window_bytes(config: RunConfig, channels: int, tiles: Tiles) -> int:
    """Estimate what one window takes in training: fields, masks, and what the recurrence saves per step."""
    encoder = config.encoder
    patch = encoder.patch or 1
    points = len(tiles) * tiles.tile_shape[0] * tiles.tile_shape[1]
    saved = 6 * encoder.hidden + 4 * encoder.bottleneck
    return int(4 * config.tiling.window * points * (3 * channels + saved / patch**2))


def affordable_batch(bytes_per_window: int, limit_bytes: int) -> int:
    """Give the number of windows, at most 8 and at least 1, that fit into a limit."""
    return max(1, min(MOST_WINDOWS, limit_bytes // bytes_per_window))


def embedding_batch(config: RunConfig, channels: int, shape: tuple[int, int], *, periodic: bool) -> int:
    """Give the windows that `embed` takes at a time; the same for the same data, so that rows agree."""
    tiles = tiles_of(config, shape, periodic=periodic)
    return affordable_batch(window_bytes(config, channels, tiles), EMBEDDING_BYTES)
