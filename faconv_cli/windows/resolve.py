"""A configuration on a grid: its defaults resolved, and the plan told before anything is read."""

from __future__ import annotations

from faconv_cli.config import EOF, RunConfig
from faconv_cli.cube.cube import HELD_BYTES, Cube
from faconv_cli.cube.size import told
from faconv_cli.errors import UsageError
from faconv_cli.windows.layout import padded, tiles_of
from faconv_cli.windows.memory import MOST_EOFS, TRAINING_BYTES, affordable, starting_bytes, training_bytes
from faconv_cli.windows.plan import (
    Tiles,
    default_patch,
    default_pool,
    default_stride,
    plan_tiles,
    plan_windows,
)

FEWEST_UPDATES, MOST_UPDATES, UPDATES_PER_STEP = 30, 600, 0.3
LEARNING_RATE, CLOSED_LOOP_LEARNING_RATE = 0.01, 0.003
EOF_ROWS = 64
STEPS_PER_EOF = 10
FEWEST_PAIRS = 20  # of time steps, below which nothing is regressed on another: components persist, damped


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
            f"--patch {patch} does not divide the {shape[1]} longitudes of the grid",
            wanted="on a grid that goes around the globe, the patch must divide their number",
            do=f"pass a --patch that divides {shape[1]}",
        )
    stride = tiling.stride or default_stride(tiling.window, tiling.burn_in, encoder.attention_every)
    tiles = plan_tiles(
        padded(shape, patch), tile=tiling.tile, halo=tiling.halo, periodic=periodic, multiple=patch
    )
    if encoder.padding not in (None, "zeros") and len(tiles) > 1:
        raise UsageError(
            f"--padding {encoder.padding} cannot be used with {len(tiles)} tiles",
            wanted="a tile covers part of the globe and cannot wrap around",
            do="leave it out, or pass a larger --tile",
        )
    hidden = (tiles.tile_shape[0] // patch, tiles.tile_shape[1] // patch)
    pool = encoder.attention_pool or default_pool(hidden)
    rate = CLOSED_LOOP_LEARNING_RATE if config.closed_loop else LEARNING_RATE
    resolved = config.model_copy(
        update={
            "tiling": tiling.model_copy(update={"stride": stride}),
            "encoder": encoder.model_copy(update={"patch": patch, "attention_pool": pool}),
            "fit": config.fit.model_copy(update={"lr": config.fit.lr or rate}),
        }
    )
    return affordable(resolved, channels, tiles)


def _resolve_eofs(config: RunConfig) -> RunConfig:
    """Use many rows per window for EOFs: rows do not depend on it, and nothing is trained."""
    tiling = config.tiling
    if config.fit.task == "embed" and tiling.stride is None:
        tiling = tiling.model_copy(update={"window": tiling.window + EOF_ROWS - 1, "stride": EOF_ROWS})
    return config.model_copy(
        update={
            "tiling": tiling,
            "encoder": config.encoder.model_copy(update={"attention_every": 1, "patch": 1}),
            "fit": config.fit.model_copy(update={"updates": 0}),
        }
    )


def default_updates(steps: int) -> int:
    """Return the updates of a training on ``steps`` time steps; more on few steps would overfit."""
    return min(max(round(UPDATES_PER_STEP * steps), FEWEST_UPDATES), MOST_UPDATES)


def most_eofs(config: RunConfig, steps: int, values: int) -> int:
    """Return the EOFs that leads are forecast with at most: from ``steps`` fields of ``values`` numbers."""
    wanted = max(config.encoder.embedding, min(MOST_EOFS, steps // STEPS_PER_EOF))
    return min(wanted, steps, values)


def plan_summary(cube: Cube, config: RunConfig) -> dict[str, object]:
    """Describe how a resolved configuration would process a cube, label by label.

    Args:
        cube: the record.
        config: resolved.
    """
    tiling, encoder = config.tiling, config.encoder
    tiles = tiles_of(config, cube.grid.shape, periodic=cube.grid.periodic)
    windows = plan_windows(
        cube.time.segments,
        window=tiling.window,
        stride=tiling.stride or tiling.window,
        burn_in=tiling.burn_in,
    )
    read = sum(window.stop - window.start for window in windows)
    step_bytes = cube.nbytes // max(len(cube.time), 1)
    return {
        "windows": f"{len(windows)} of {tiling.window} steps every {tiling.stride}, burn-in {tiling.burn_in}",
        "tiles": f"{len(tiles)} of {tiles.tile_shape[0]} x {tiles.tile_shape[1]} points",
        "patch": f"{encoder.patch} (one hidden point for {encoder.patch} x {encoder.patch})",
        **_embedding_summary(config),
        "memory": _memory_summary(cube, config, tiles),
        "bytes to read": f"{told(read * step_bytes)} a pass (the record has {told(cube.nbytes)} as float32)",
    }


def _embedding_summary(config: RunConfig) -> dict[str, object]:
    if config.fit.task == "forecast":
        return {}
    leads = ", ".join(map(str, config.leads))
    told = [] if config.fit.objective == "forecast" else ["the field now"]
    told += [f"leads of {leads} time steps"] if leads else []
    told += [f"the target {name}" for name in config.fit.target]
    return {
        "embedding": f"{config.encoder.embedding} numbers per time step, of {' and '.join(told)}",
        "training": f"{config.fit.updates} updates by {config.fit.batch} windows",
    }


def _memory_summary(cube: Cube, config: RunConfig, tiles: Tiles) -> str:
    batch = config.fit.batch or 1
    taken = training_bytes(config, cube.shape[1], tiles)
    most = max(taken, starting_bytes(config, cube))
    held = cube.nbytes if cube.nbytes <= HELD_BYTES else 0
    over = f"; more than {told(TRAINING_BYTES)}" if taken > TRAINING_BYTES else ""
    record = f" and {told(held)} for the record" if held else ""
    return f"about {told(most)}{record} in training ({batch} windows a batch{over})"
