"""How much memory a batch takes, told before anything is read.

Counted in float32 numbers; what is proportional to the network was measured by torch's own account of its
allocations (`tests/windows/test_memory.py` holds the estimate to it), so it needs no torch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from faconv_cli.config import EOF, RunConfig, mechanisms_of
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.size import GIBIBYTE
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.plan import Tiles

MOST_WINDOWS = 8
MOST_EOFS = 64  # that leads are forecast with
TRAINING_BYTES = 4 * GIBIBYTE
EMBEDDING_BYTES = GIBIBYTE
EXACT_NUMBERS = 64_000_000  # a matrix up to this size is decomposed exactly, by copies of it
_FLOAT_BYTES = 4


class _Kept(NamedTuple):
    """Numbers kept for each time step and hidden point: per hidden channel, per channel of the bottleneck."""

    hidden: float
    bottleneck: float
    further_layer: float


_OF_LEADS = {
    "faconvlstm": _Kept(4.1, 7.5, 7.0),
    "minfaconvlstm": _Kept(5.5, 5.5, 8.8),
    "convlstm": _Kept(9.1, 0, 7.8),
    "convgru": _Kept(6.8, 0, 5.8),
    "minconvlstm": _Kept(5.8, 0, 6.5),
    "minconvgru": _Kept(4.7, 0, 5.5),
    "minconvexplstm": _Kept(4.7, 0, 5.5),
}
_IN_CLOSED_LOOP = {
    "faconvlstm": _Kept(9.3, 5.0, 12.5),
    "minfaconvlstm": _Kept(6.8, 3.0, 9.6),
    "convlstm": _Kept(12.5, 0, 9.3),
    "convgru": _Kept(9.3, 0, 6.8),
    "minconvlstm": _Kept(7.2, 0, 4.9),
    "minconvgru": _Kept(5.9, 0, 4.4),
    "minconvexplstm": _Kept(6.3, 0, 4.7),
}
_INFERENCE = _Kept(1.7, 1.4, 3.7)  # of any encoder; the last only once, however many layers there are
_FIELD, _FIELD_IN_CLOSED_LOOP = 2.0, 6.0  # copies of a field that a network makes
_ATTENDED = 14  # numbers per channel of the bottleneck, at an attended step
_SCORES = 2**18  # weights of all lines of a grid that are made at once, and kept (nn/mechanisms/axial.py)
_BATCHES = 3.5  # copies of a batch: in use, made ahead, and what that is made from; with masks
_UNTRAINED = 0.3  # of the work of a network, where nothing is kept for a way back
_PATTERNS = 1  # copies of the patterns on the whole grid
_COPIES = 9  # of the parameters: gradient, two of Adam, average, checkpoints being written
_STATISTICS, _BLOCK_BYTES = 8, 64 * 2**20  # copies of a block of a record, in float64
_DECOMPOSED = 3.5  # copies of the matrix that EOFs are made of
_PROGRAM_BYTES = 96 * 2**20  # of kernels and libraries that come with the first batch
_UNUSED_TRAINING, _UNUSED_BYTES = 0.4, 320 * 2**20  # that the allocator holds between what is in use


def training_bytes(config: RunConfig, channels: int, tiles: Tiles) -> int:
    """Estimate what training takes beside the program and the record, for a resolved configuration.

    Args:
        config: with a batch.
        channels: channels c of the fields.
        tiles: of the grid.
    """
    batch = config.fit.batch or 1
    points = math.prod(tiles.shape)
    fields = _BATCHES * batch * config.steps_read * channels * points
    work = batch * _network(config, channels, tiles) * (1 if config.fit.updates else _UNTRAINED)
    patterns = _PATTERNS * _pattern_numbers(config, channels, points)
    numbers = fields + work + patterns + _COPIES * _parameters(config, channels, tiles)
    return _bytes(numbers, _UNUSED_TRAINING)


def starting_bytes(config: RunConfig, cube: Cube) -> int:
    """Estimate what comes before the first step: statistics block by block, and the EOFs of the record."""
    encoder, (steps, channels, *_) = config.encoder.encoder, cube.shape
    rows = 0 if config.closed_loop else steps
    numbers = rows * channels * math.prod(nodes_of(config, cube.grid.shape))
    numbers *= config.lags if encoder == EOF else 1
    statistics = _STATISTICS * min(cube.nbytes, _BLOCK_BYTES)
    return _PROGRAM_BYTES + int(max(statistics, _DECOMPOSED * _FLOAT_BYTES * min(numbers, EXACT_NUMBERS)))


def embedding_bytes(
    config: RunConfig, channels: int, tiles: Tiles, batch: int, steps: int, maps: int = 0
) -> int:
    """Estimate what `embed` or `forecast` take beside the program.

    Args:
        config: of the checkpoint.
        channels: channels c of the fields.
        tiles: of the grid.
        batch: windows at a time.
        steps: steps of each, with those that are forecast.
        maps: attention maps of each attended step.
    """
    encoder, points = config.encoder, math.prod(tiles.shape)
    fields = (_fields(config) + _BATCHES) * channels + maps / encoder.attention_every
    hidden = _tiled(tiles) * _run(config) / (encoder.patch or 1) ** 2
    patterns = _PATTERNS * _pattern_numbers(config, channels, points) + _parameters(config, channels, tiles)
    return _bytes(batch * steps * (fields * points + hidden) + patterns, _UNUSED_TRAINING / 2)


def _fields(config: RunConfig) -> float:
    return _FIELD_IN_CLOSED_LOOP if config.closed_loop else _FIELD


def _run(config: RunConfig) -> float:
    """Numbers for each step and hidden point that a network makes where it is not trained."""
    encoder = config.encoder
    if encoder.encoder == EOF:
        return 0.0
    bottleneck = encoder.bottleneck if "axial" in mechanisms_of(encoder.encoder) else 0
    further = _INFERENCE.further_layer * (encoder.layers > 1)
    return (_INFERENCE.hidden + further) * encoder.hidden + _INFERENCE.bottleneck * bottleneck


def affordable(config: RunConfig, channels: int, tiles: Tiles) -> RunConfig:
    """Choose the windows of a batch, at most 8, to keep to the limit; what was asked for is kept."""
    if config.fit.batch:
        return config
    for batch in range(MOST_WINDOWS, 0, -1):
        config = config.model_copy(update={"fit": config.fit.model_copy(update={"batch": batch})})
        if training_bytes(config, channels, tiles) <= TRAINING_BYTES:
            break
    return config


def embedding_batch(config: RunConfig, channels: int, tiles: Tiles, steps: int, maps: int = 0) -> int:
    """Return the windows that `embed` takes at a time; the same for the same data, so that rows agree."""
    for batch in range(MOST_WINDOWS, 1, -1):
        if embedding_bytes(config, channels, tiles, batch, steps, maps) <= EMBEDDING_BYTES:
            return batch
    return 1


def _network(config: RunConfig, channels: int, tiles: Tiles) -> float:
    """Numbers that a network keeps of one window for its way back."""
    encoder, points, patch = config.encoder, _tiled(tiles), config.encoder.patch or 1
    field = _fields(config) * channels
    if encoder.encoder == EOF:
        return config.tiling.window * points * field
    kept = (_IN_CLOSED_LOOP if config.closed_loop else _OF_LEADS)[encoder.encoder]
    hidden = kept.hidden * encoder.hidden + kept.bottleneck * encoder.bottleneck
    hidden += (encoder.layers - 1) * kept.further_layer * encoder.hidden
    hidden += _axial(config, tiles) + encoder.bottleneck * (patch > 1)
    return config.steps_seen * points * (hidden / patch**2 + field)


def _axial(config: RunConfig, tiles: Tiles) -> float:
    """Numbers that axial attention keeps for each step and hidden point, on average."""
    encoder = config.encoder
    if "axial" not in mechanisms_of(encoder.encoder) or "axial" in encoder.without:
        return 0.0
    pool = encoder.attention_pool or 1
    rows, columns = (math.ceil(side / (encoder.patch or 1) / pool) for side in tiles.tile_shape)
    lines = (encoder.attention_heads * side for side in (rows, columns))
    scores = sum(line for line in lines if line * rows * columns < _SCORES)
    pooled = _ATTENDED * encoder.bottleneck + scores
    spread = encoder.hidden if encoder.encoder == "faconvlstm" else encoder.bottleneck
    return (2 * spread + pooled / pool**2) / encoder.attention_every


def _parameters(config: RunConfig, channels: int, tiles: Tiles) -> int:
    """Numbers of a network, nearly all of them EOFs on their nodes, which are kept thrice."""
    if config.closed_loop:
        return 0  # some 100,000
    return _eofs(config) * channels * math.prod(nodes_of(config, tiles.shape))


def _pattern_numbers(config: RunConfig, channels: int, points: int) -> float:
    """Numbers of the EOFs where they have been brought to the grid, and to its patches."""
    encoder = config.encoder
    if config.closed_loop:
        return 0
    return _eofs(config) * points * channels * (1 + 1 / (encoder.patch or 1) ** 2)


def _eofs(config: RunConfig) -> int:
    encoder = config.encoder
    fitted = encoder.encoder == EOF
    return max(encoder.embedding, MOST_EOFS if config.predicts else 0) * (config.lags if fitted else 1)


def _bytes(numbers: float, unused_share: float) -> int:
    used = int(_FLOAT_BYTES * numbers)
    return _PROGRAM_BYTES + used + min(int(unused_share * used), _UNUSED_BYTES)


def _tiled(tiles: Tiles) -> int:
    """Points of all tiles, those that tiles share counted in each."""
    return len(tiles) * math.prod(tiles.tile_shape)
