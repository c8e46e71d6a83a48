"""How a prepared record is chunked, and in which pieces it is made: plain integers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.size import wasted

CHUNK_BYTES = 2**23
MOST_STEPS = 64  # in a chunk, of which a window of 24 steps needs one or two; unless it is tiny then
LEAST_BYTES = 2**18
_COPIES = 6  # of a piece, while it is read, made anomalies in float64 and written


@dataclass(frozen=True)
class Piece:
    """Steps [start, stop) of the file's rows [top, bottom), of all channels and columns."""

    start: int
    stop: int
    top: int
    bottom: int


@dataclass(frozen=True)
class Layout:
    """Chunks and pieces; a piece is made of whole chunks and fits into memory.

    Attributes:
        chunk_steps, chunk_rows: of a chunk, which has one variable and all columns.
        pieces: cover the record in order.
    """

    chunk_steps: int
    chunk_rows: int
    pieces: tuple[Piece, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the layout as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> Self:
        """Read what `as_json` gave."""
        pieces = tuple(Piece(**piece) for piece in text["pieces"])
        return cls(text["chunk_steps"], text["chunk_rows"], pieces)


def plan_layout(cube: Cube, memory_bytes: int) -> Layout:
    """Plan pieces that read each chunk of the files once, or as seldom as memory allows.

    Runs of steps with all rows, in chunks of about 8 MiB; or, where the files' chunks are longer than such a
    run or no step fits into memory, bands of rows with all steps.
    """
    steps, channels, height, width = cube.shape
    piece_values = max(memory_bytes // (4 * _COPIES * channels), 1)
    run, band = piece_values // (height * width), piece_values // (steps * width)
    fits = band >= 1 or (run < 1 and steps < height)  # else a row of all steps is larger than a step
    if _steps_at_once(cube) > run and fits and _reads_bands(cube):
        rows = min(max(band, 1), height)
        chunk = _chunk_steps(steps, rows * width)
        edges = range(0, height, rows)
        return Layout(chunk, rows, tuple(Piece(0, steps, top, min(top + rows, height)) for top in edges))
    chunk = min(_chunk_steps(steps, height * width), max(run, 1))
    length = max(run // chunk, 1) * chunk
    starts = range(0, steps, length)
    return Layout(chunk, height, tuple(Piece(at, min(at + length, steps), 0, height) for at in starts))


def _chunk_steps(steps: int, points: int) -> int:
    a_step = 4 * points
    return max(1, min(CHUNK_BYTES // a_step, max(MOST_STEPS, LEAST_BYTES // a_step), steps))


def _steps_at_once(cube: Cube) -> int:
    """Time steps that a read of the files returns at once, needed or not."""
    return max((wasted(reader.file) for reader in cube.readers if reader.file is not None), default=1)


def _reads_bands(cube: Cube) -> bool:
    """Whether rows can be read without the others; not if something is computed from whole fields first."""
    return cube.grid.regular and all(isinstance(reader, Series) for reader in cube.readers)
