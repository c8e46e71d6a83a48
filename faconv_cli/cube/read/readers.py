"""Readers of a channel, block by block: a series of files, or a transformation of other readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import dask.array as da
import numpy as np
import numpy.typing as npt

from faconv_cli.cube.read.lazy import FileField, Series, scale

Fields = npt.NDArray[np.float32]
Steps = npt.NDArray[np.int64]

_DASK_BLOCK_BYTES = 2**24
_PIECE_BYTES = 2**23  # read at once by a transformation, which needs about ten times as much memory


class Reader(Protocol):
    """One channel (t, h, w); the values of a step do not depend on which other steps are read with it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""

    @property
    def file(self) -> FileField | None:
        """The channel in the first file behind the reader, or None."""

    @property
    def steps_into_chunk(self) -> int:
        """Offset of the first step in its file chunk."""

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` (t, h, w) with steps [start, stop), NaN where missing."""


def take(reader: Reader, steps: Steps) -> Reader:
    """Return a reader of the steps at some indices, which must increase."""
    if isinstance(reader, Series):
        return reader.take(steps)
    if isinstance(reader, Taken):
        return Taken(reader.inner, reader.steps[steps])
    return Taken(reader, steps)


@dataclass(frozen=True, eq=False)
class Held:
    """Fields (t, h, w) in memory, or in a lazy dask array."""

    fields: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""
        t, h, w = self.fields.shape
        return t, h, w

    file = None
    steps_into_chunk = 0

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        part: Any = self.fields[start:stop]
        np.copyto(out, part.compute(scheduler="synchronous") if isinstance(self.fields, da.Array) else part)


@dataclass(frozen=True, eq=False)
class Transformed:
    """A reader based on another; subclasses define how a block of steps is filled."""

    inner: Reader

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""
        return self.inner.shape

    @property
    def file(self) -> FileField | None:
        """The channel in the first file behind the reader."""
        return self.inner.file

    @property
    def steps_into_chunk(self) -> int:
        """Offset of the first step in its file chunk."""
        return self.inner.steps_into_chunk

    def pieces(self, start: int, stop: int) -> Iterator[tuple[slice, Fields]]:
        """Read steps [start, stop) of the inner reader in small pieces, with places relative to ``start``."""
        per_step = 4 * int(np.prod(self.inner.shape[1:]))
        length = max(1, _PIECE_BYTES // per_step)
        for begin in range(start, stop, length):
            end = min(begin + length, stop)
            block = np.empty((end - begin, *self.inner.shape[1:]), np.float32)
            self.inner.read_into(block, begin, end)
            yield slice(begin - start, end - start), block


@dataclass(frozen=True, eq=False)
class Taken(Transformed):
    """A reader of the steps at increasing indices ``steps`` (t,)."""

    steps: Steps

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""
        return len(self.steps), *self.inner.shape[1:]

    @property
    def steps_into_chunk(self) -> int:
        """Offset of the first step in its file chunk."""
        file, first = self.inner.file, int(self.steps[0]) if len(self.steps) else 0
        return (self.inner.steps_into_chunk + first) % (file.chunk_steps if file else 1)

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop), one run of consecutive steps at a time."""
        steps = self.steps[start:stop]
        edges = [0, *(np.flatnonzero(np.diff(steps) != 1) + 1).tolist(), len(steps)]
        for begin, end in pairwise(edges):
            if begin < end:
                self.inner.read_into(out[begin:end], int(steps[begin]), int(steps[end - 1]) + 1)


@dataclass(frozen=True, eq=False)
class Masked(Transformed):
    """A reader with missing values where ``keep`` (h, w) is False."""

    keep: npt.NDArray[np.bool_]

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        self.inner.read_into(out, start, stop)
        out[:, ~self.keep] = np.nan


@dataclass(frozen=True, eq=False)
class Picked(Transformed):
    """A reader on selected rows (h,) and columns (w,) of another."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""
        return self.inner.shape[0], len(self.rows), len(self.columns)

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        for at, block in self.pieces(start, stop):
            out[at] = block[:, self.rows[:, None], self.columns]


@dataclass(frozen=True, eq=False)
class Scaled(Transformed):
    """A reader times ``factor`` plus ``offset``, computed in float64: a conversion of units."""

    factor: float
    offset: float

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        self.inner.read_into(out, start, stop)
        scale(out, self.factor, self.offset)


@dataclass(frozen=True, eq=False)
class _Indexable:
    """A reader as dask expects it: with shape, dtype, and indexing that reads."""

    reader: Reader

    dtype = np.dtype(np.float32)
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.reader.shape

    def __getitem__(self, key: tuple[slice, slice, slice]) -> Fields:
        time, y, x = key
        start, stop, stride = time.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), *self.shape[1:]), np.float32)
        self.reader.read_into(out, start, stop)
        return out[::stride, y, x]


def to_dask(reader: Reader, chunk_steps: int) -> da.Array:
    """Return a dask array (t, h, w) whose chunks are whole file chunks of about 16 MiB."""
    steps, *shape = reader.shape
    bytes_per_step = 4 * int(np.prod(shape))
    whole = max(1, _DASK_BLOCK_BYTES // max(bytes_per_step * chunk_steps, 1)) * chunk_steps
    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        _Indexable(reader),
        chunks=(max(min(whole, steps), 1), *shape),
        name=False,
        asarray=False,
        inline_array=True,
        meta=np.empty((0, 0, 0), np.float32),
    )
    return array
