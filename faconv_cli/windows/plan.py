"""Which steps and which grid points are worked on together: pure integers, no data, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from faconv_cli.errors import InputError, UsageError

Segments = Sequence[tuple[int, int]]
One = TypeVar("One")

DEFAULT_TILE = 512
FULL_RESOLUTION_POINTS = 16_384
HALF_RESOLUTION_POINTS = 131_072
LONGEST_ATTENDED_SIDE = 64


@dataclass(frozen=True)
class Window:
    """A run of steps the encoder sees at once, and the rows of the output that come from it.

    Attributes:
        start: first step read.
        stop: step after the last one read; less than a whole window only at the end of a segment.
        first_row: rows [first_row, stop) of the output are this window's; those before are its warm-up.
        warm_from: rows before this step started cold: at the beginning of the record or after a gap.
        segment_stop: end of the segment, beyond which no target of a forecast may lie.
    """

    start: int
    stop: int
    first_row: int
    warm_from: int
    segment_stop: int


def plan_windows(segments: Segments, *, window: int, stride: int, burn_in: int) -> list[Window]:
    """Cover every step of every segment by the windows of an embedding, in order.

    Windows start at multiples of ``stride`` from the beginning of their segment, so a record that grows
    keeps its old windows. The first of a segment gives all its rows, the first ``burn_in`` of them cold;
    each other gives its last ``stride`` rows. A row is thus given by exactly one window.
    """
    windows = []
    for begin, end in segments:
        start, first_row = begin, begin
        while first_row < end:
            stop = min(start + window, end)
            windows.append(Window(start, stop, first_row, begin + burn_in, end))
            start += stride
            first_row = stop
    return windows


def training_windows(
    segments: Segments, *, window: int, stride: int, burn_in: int, offset: int = 0
) -> list[Window]:
    """List the whole windows that start ``offset`` steps into each segment and every ``stride`` from there.

    A segment whose room is too short for the offset gives its first window, so none is left out for good.

    Raises:
        InputError: no segment is as long as a window.
    """
    windows = []
    for begin, end in segments:
        if end - begin < window:
            continue
        first = begin + offset if begin + offset + window <= end else begin
        windows += [
            Window(start, start + window, start + burn_in, start + burn_in, end)
            for start in range(first, end - window + 1, stride)
        ]
    if not windows:
        longest = max((end - begin for begin, end in segments), default=0)
        raise InputError(
            f"the longest run without a gap has {longest} time steps",
            wanted=f"a window has {window} steps",
            do="give a longer record, or pass a smaller --window (and --burn-in)",
        )
    return windows


def evenly(all_of_them: Sequence[One], most: int) -> list[One]:
    """Take at most ``most`` of the windows or steps, evenly."""
    last = len(all_of_them) - 1
    return [all_of_them[i] for i in np.unique(np.linspace(0, last, min(most, last + 1)).round().astype(int))]


def clip_segments(segments: Segments, start: int, stop: int) -> list[tuple[int, int]]:
    """Keep what lies in [start, stop) of each segment."""
    clipped = [(max(begin, start), min(end, stop)) for begin, end in segments]
    return [(begin, end) for begin, end in clipped if begin < end]


def default_stride(window: int, burn_in: int, attention_every: int) -> int:
    """Return the longest stride that skips no row and starts every window on an attended step.

    Raises:
        UsageError: there is none.
    """
    stride = (window - burn_in) // attention_every * attention_every
    if stride < 1:
        raise UsageError(
            f"a window of {window} steps with a burn-in of {burn_in} leaves {window - burn_in} rows",
            wanted=f"windows must start at multiples of {attention_every} steps (--attention-every)",
            do="pass a larger --window, or a smaller --burn-in or --attention-every",
        )
    return stride


@dataclass(frozen=True)
class Tiles:
    """Overlapping tiles of one shape that cover a grid, blended where they overlap.

    Attributes:
        shape: (h, w) of the grid.
        rows: first row of each row of tiles.
        columns: first column of each column of tiles.
        tile_shape: (th, tw).
        halo: points over which a tile fades in and out.
        periodic: columns wrap around.
    """

    shape: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    tile_shape: tuple[int, int]
    halo: int
    periodic: bool

    @property
    def origins(self) -> list[tuple[int, int]]:
        """First (row, column) of each tile, row by row."""
        return [(y, x) for y in self.rows for x in self.columns]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def index(self, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows (th,) and columns (tw,) of the grid that make up a tile."""
        y, x = self.origins[tile]
        return y + np.arange(self.tile_shape[0]), (x + np.arange(self.tile_shape[1])) % self.shape[1]

    def cut(self, field: np.ndarray) -> np.ndarray:
        """Cut ``field`` (..., h, w) into tiles (n, ..., th, tw)."""
        return np.stack([field[..., y[:, None], x] for y, x in map(self.index, range(len(self)))])

    def blend(self) -> np.ndarray:
        """Weights (n, th, tw) that add up to 1 at every point of the grid."""
        ramp = np.outer(_ramp(self.tile_shape[0], self.halo), _ramp(self.tile_shape[1], self.halo))
        weights = np.broadcast_to(ramp, (len(self), *self.tile_shape))
        blend: np.ndarray = weights / self.cut(self._add(weights))
        return blend

    def stitch(self, tiles: np.ndarray) -> np.ndarray:
        """Blend ``tiles`` (n, ..., th, tw) into a field (..., h, w): the inverse of `cut`."""
        blend = self.blend().reshape(len(self), *(1,) * (tiles.ndim - 3), *self.tile_shape)
        return self._add(tiles * blend)

    def _add(self, tiles: np.ndarray) -> np.ndarray:
        field = np.zeros((*tiles.shape[1:-2], *self.shape), tiles.dtype)
        for number, tile in enumerate(tiles):
            y, x = self.index(number)
            field[..., y[:, None], x] += tile
        return field


def plan_tiles(
    shape: tuple[int, int], *, tile: int | None, halo: int, periodic: bool, multiple: int = 1
) -> Tiles:
    """Cover a grid by the fewest tiles of at most ``tile`` points a side that share ``halo`` points.

    Sides and origins are multiples of ``multiple`` (the patch), as the grid's own sides must be.
    A grid no larger than a tile is one tile, without blending.
    """
    side = (tile or DEFAULT_TILE) // multiple * multiple
    tall, wide = min(shape[0], max(side, multiple)), min(shape[1], max(side, multiple))
    rows = _cuts(shape[0], tall, halo, multiple, wrap=False)
    columns = _cuts(shape[1], wide, halo, multiple, wrap=periodic and wide < shape[1])
    return Tiles(shape, rows, columns, (tall, wide), halo, periodic)


def _cuts(size: int, side: int, halo: int, multiple: int, *, wrap: bool) -> tuple[int, ...]:
    if side == size:
        return (0,)
    step = max(side - halo, multiple)
    span = size if wrap else size - side
    count = math.ceil(span / step) + (not wrap)
    last = span * (count - 1) / count if wrap else span
    return tuple(round(i * last / max(count - 1, 1) / multiple) * multiple for i in range(count))


def _ramp(side: int, halo: int) -> np.ndarray:
    inside = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1
    return np.minimum(inside / (halo + 1), 1.0)


def default_patch(shape: tuple[int, int], *, periodic: bool) -> int:
    """Choose how many points per side one hidden point covers, from the size of the grid.

    On a grid that closes the circle the patch must divide the number of longitudes.
    """
    points = shape[0] * shape[1]
    wanted = 1 if points <= FULL_RESOLUTION_POINTS else 2 if points <= HALF_RESOLUTION_POINTS else 4
    while periodic and shape[1] % wanted:
        wanted //= 2
    return wanted


def default_pool(shape: tuple[int, int]) -> int:
    """Choose how much coarser axial attention sees a hidden grid of ``shape``."""
    return math.ceil(max(shape) / LONGEST_ATTENDED_SIDE)
