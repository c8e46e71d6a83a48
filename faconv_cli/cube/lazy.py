"""Lazy fields of files: read a run of steps, in canonical order, with one value for missing."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.errors import InputError

LARGEST = 1e30  # what lies beyond is a fill value nobody declared, such as NetCDF's 9.97e36
_DASK_BLOCK_BYTES = 2**24

Fields = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FileField:
    """One channel in one file: (t, h, w) of a lazily indexed variable.

    Attributes:
        path: the file, for messages.
        name: the variable in the file.
        variable: the variable, decoded but not loaded.
        dims: its dimensions of time (``None`` where it has none: one step), y and x.
        fixed: index along every other dimension.
        grid: how the order of points differs from the canonical one.
        steps: number of time steps.
        merged: dimension along which the first value that is not missing counts, if any (ERA5's expver).
        close: closes the file until it is read again; ``None`` where nothing stays open.
    """

    path: str
    name: str
    variable: xr.Variable
    dims: tuple[str | None, str, str]
    fixed: Mapping[str, int]
    grid: Grid
    steps: int
    merged: str | None = None
    close: Callable[[], None] | None = None

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` (t, h, w) with steps [start, stop) in canonical order, NaN where missing.

        Raises:
            InputError: the file is damaged.
        """
        time, y, x = self.dims
        index: dict[str, Any] = dict(self.fixed)
        if time is not None:
            index[time] = slice(start, stop)
        try:
            part = self.variable.isel(index)
            raw = part.transpose(*(dim for dim in (self.merged, time, y, x) if dim is not None)).to_numpy()
        except Exception as error:  # whatever a library meets in a damaged file
            raise InputError(
                f"{self.path}: {self.name} cannot be read ({first_line(error)})",
                wanted="the file seems damaged",
                do="fetch or write it again",
            ) from error
        _RECENT.used(self.close)
        if self.merged is not None:
            raw = reduce(lambda kept, more: np.where(np.isnan(kept), more, kept), raw)
        raw = raw if time is not None else raw[None]
        with np.errstate(over="ignore"):
            np.copyto(out, self.grid.to_canonical(raw), casting="unsafe")
        _mask_beyond(out)

    @cached_property
    def chunk_steps(self) -> int:
        """Time steps in one chunk of the file; 1 where it is not chunked."""
        time = self.dims[0]
        chunks = self.variable.encoding.get("preferred_chunks") or {}
        return min(int(chunks.get(time, 1)), self.steps) if time is not None else 1


class _RecentFiles:
    """Closes the files read longest ago, so that their caches of chunks do not add up over a long record."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._closers: OrderedDict[object, weakref.WeakMethod[Callable[[], None]]] = OrderedDict()

    def used(self, close: Callable[[], None] | None) -> None:
        """Note that a file was read, known by the method that closes it."""
        if close is None:
            return
        reference = weakref.WeakMethod(close)  # whoever drops a cube closes its files
        with self._lock:
            self._closers[reference] = reference
            self._closers.move_to_end(reference)
            stale = [self._closers.popitem(last=False)[1] for _ in range(len(self._closers) - self._most)]
        for one in stale:
            closer = one()
            if closer is not None:
                closer()


_RECENT = _RecentFiles(most=8)


def _mask_beyond(fields: Fields) -> None:
    """Make NaN, in place, what is infinite or beyond `LARGEST`."""
    for field in fields:  # one step at a time stays in the processor's cache
        with np.errstate(invalid="ignore"):
            beyond = np.abs(field) > LARGEST
        if beyond.any():
            field[beyond] = np.nan


@dataclass(frozen=True, eq=False)
class Series:
    """One channel over the whole record, made of steps of one or several files.

    An array in the sense of dask: shape, dtype, and an index of time that reads.

    Attributes:
        parts: the channel in each file.
        part: (t,) which of them each step comes from.
        step: (t,) which step of it.
    """

    parts: tuple[FileField, ...]
    part: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]

    dtype = np.dtype(np.float32)
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, points along y and x."""
        return len(self.step), *self.parts[0].grid.shape

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """Runs [start, stop) that follow each other in one file."""
        breaks = (np.diff(self.part) != 0) | (np.diff(self.step) != 1)
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self.step)]
        return list(pairwise(edges))

    @property
    def steps_into_chunk(self) -> int:
        """How far into a chunk of its file the first step lies."""
        return int(self.step[0]) % self.parts[int(self.part[0])].chunk_steps if len(self.step) else 0

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` (t, h, w) with steps [start, stop)."""
        for begin, end in self.runs:
            first, last = max(begin, start), min(end, stop)
            if first < last:
                field, step = self.parts[int(self.part[first])], int(self.step[first])
                field.read_into(out[first - start : last - start], step, step + last - first)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> Fields:
        time, y, x = key
        start, stop, stride = time.indices(len(self.step))
        out = np.empty((max(stop - start, 0), *self.shape[1:]), np.float32)
        self.read_into(out, start, stop)
        return out[::stride, y, x]

    def slice(self, start: int, stop: int) -> Series:
        """Return steps [start, stop)."""
        return replace(self, part=self.part[start:stop], step=self.step[start:stop])

    def to_dask(self, chunk_steps: int) -> da.Array:
        """Return a dask array (t, h, w) whose chunks are whole file chunks of about 16 MiB."""
        steps, *shape = self.shape
        bytes_per_step = 4 * int(np.prod(shape))
        whole = max(1, _DASK_BLOCK_BYTES // (bytes_per_step * chunk_steps)) * chunk_steps
        array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
            self,
            chunks=(min(whole, steps), *shape),
            name=False,
            asarray=False,
            inline_array=True,
            meta=np.empty((0, 0, 0), np.float32),
        )
        return array


def first_line(error: BaseException) -> str:
    """First line of a library's message, or its kind where it has none."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
