"""Read runs of steps from the lazy fields of files, in canonical order, with NaN for missing data."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.read.masking import Found, Ledger, Screen, first_valid, mask_beyond
from faconv_cli.errors import InputError, first_line
from faconv_cli.guard import reading

Fields = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FileField:
    """One channel in one file: (t, h, w) of a lazily indexed variable.

    Attributes:
        path: the file, for messages.
        name: the variable in the file.
        variable: the variable, decoded but not loaded.
        dims: its dimensions of time (``None`` for a single step without one), y and x.
        fixed: index along every other dimension.
        grid: how the order of points differs from the canonical one.
        steps: number of time steps.
        screen: which of its decoded values mean missing data.
        ledger: counts the masked values in the steps that are read.
        merged: dimension along which the first valid value is used, if any (expver of ERA5).
        close: closes the file until it is read again; ``None`` if nothing stays open.
        picked: rows and columns of the file to read, in this order; ``None`` for all.
        accumulated: (t,) hours over which each step is accumulated; ``None`` if the file does not say.
        repeated: the variable including the columns that repeat a meridian; ``None`` if it has none.
        factor, offset: conversion of its values to the units of the record.
    """

    path: str
    name: str
    variable: xr.Variable
    dims: tuple[str | None, str, str]
    fixed: Mapping[str, int]
    grid: Grid
    steps: int
    screen: Screen
    ledger: Ledger
    merged: str | None = None
    close: Callable[[], None] | None = None
    picked: tuple[Indices, Indices] | None = None
    repeated: xr.Variable | None = None
    factor: float = 1.0
    offset: float = 0.0
    accumulated: npt.NDArray[np.float64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points along y and x."""
        return self.grid.shape if self.picked is None else (len(self.picked[0]), len(self.picked[1]))

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` (t, h, w) with steps [start, stop) in canonical order, NaN where missing.

        Raises:
            InputError: if the file is damaged.
        """
        steps, found = slice(start, stop), Found()
        if self.picked is None:
            pieces = [(out, self.grid.to_canonical(self._read(steps, slice(None), slice(None), found)))]
        else:
            pieces = [
                (out[:, y.at, x.at], self._read(steps, y.read, x.read, found)[:, y.turned, x.turned])
                for y, x in product(*map(_file_runs, self.picked))
            ]
        for place, raw in pieces:
            with np.errstate(over="ignore"):
                np.copyto(place, raw, casting="unsafe")
        mask_beyond(out, found)
        self.ledger.enter(start, out, found)
        scale(out, self.factor, self.offset)

    def _read(self, steps: slice, rows: slice, columns: slice, found: Found) -> npt.NDArray[Any]:
        """Read part of the file (t, h, w) in its own order of points; count masked values in ``found``."""
        time, y, x = self.dims
        index: dict[str, Any] = {**self.fixed, y: rows, x: columns}
        if time is not None:
            index[time] = steps
        order = (dim for dim in (self.merged, time, y, x) if dim is not None)
        raw = load(self.variable.isel(index).transpose(*order), self.path, self.name)
        self._used()
        raw = self.screen.masked(raw if time is not None else raw[..., None, :, :], found)
        if self.merged is not None:
            raw = first_valid(raw)
        return raw

    def repeats_differ(self, step: int) -> bool:
        """Return whether columns that repeat a meridian differ in a step from those they repeat."""
        if self.repeated is None:
            return False
        time, _, x = self.dims
        index = {**self.fixed} if time is None else {**self.fixed, time: step}
        once = self.grid.shape[1]
        again = self.repeated.sizes[x] - once
        ends = ({**index, x: slice(first, first + again)} for first in (0, once))
        one, other = (load(self.repeated.isel(end), self.path, self.name).astype(np.float64) for end in ends)
        self._used()
        return not np.allclose(one, other, rtol=1e-5, atol=self.screen.tolerance, equal_nan=True)

    def _used(self) -> None:
        _RECENT.used(self.close)

    @cached_property
    def chunk_steps(self) -> int:
        """Time steps per chunk of the file; 1 if it is not chunked."""
        time = self.dims[0]
        chunks = self.variable.encoding.get("preferred_chunks") or {}
        return min(int(chunks.get(time, 1)), self.steps) if time is not None else 1


class _Run(NamedTuple):
    """Neighbouring points along an axis of a file: where they go, what to read, whether to reverse it."""

    at: slice
    read: slice
    turned: slice


def _file_runs(picked: Indices) -> list[_Run]:
    """Split indices into runs of neighbours, ascending or descending (two across an end of the file)."""
    edges = [0, *(np.flatnonzero(np.abs(np.diff(picked)) != 1) + 1).tolist(), len(picked)]
    runs = []
    for begin, end in pairwise(edges):
        first, last = int(picked[begin]), int(picked[end - 1])
        read = slice(min(first, last), max(first, last) + 1)
        runs.append(_Run(slice(begin, end), read, slice(None, None, 1 if last >= first else -1)))
    return runs


class _RecentFiles:
    """Closes the least recently read files, so that their chunk caches do not add up over a long record."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._closers: OrderedDict[object, weakref.WeakMethod[Callable[[], None]]] = OrderedDict()

    def used(self, close: Callable[[], None] | None) -> None:
        """Note that a file was read; the file is identified by the method that closes it."""
        if close is None:
            return
        reference = weakref.WeakMethod(close)  # weak, so that dropping a cube frees its files
        with self._lock:
            self._closers[reference] = reference
            self._closers.move_to_end(reference)
            stale = [self._closers.popitem(last=False)[1] for _ in range(len(self._closers) - self._most)]
        for one in stale:
            closer = one()
            if closer is not None:
                closer()


_RECENT = _RecentFiles(most=8)


@dataclass(frozen=True, eq=False)
class Series:
    """One channel over the whole record, made of steps of one or several files.

    Attributes:
        parts: the channel in each file.
        part: (t,) index of the part that each step comes from.
        step: (t,) index of the step in that part.
    """

    parts: tuple[FileField, ...]
    part: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of steps, and of points along y and x."""
        return len(self.step), *self.parts[0].shape

    @property
    def file(self) -> FileField:
        """The channel in the first file."""
        return self.parts[int(self.part[0])] if len(self.part) else self.parts[0]

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """Runs [start, stop) of steps that are consecutive in one file."""
        breaks = (np.diff(self.part) != 0) | (np.diff(self.step) != 1)
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self.step)]
        return list(pairwise(edges))

    @property
    def steps_into_chunk(self) -> int:
        """Offset of the first step in its file chunk."""
        return int(self.step[0]) % self.parts[int(self.part[0])].chunk_steps if len(self.step) else 0

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` (t, h, w) with steps [start, stop)."""
        for begin, end in self.runs:
            first, last = max(begin, start), min(end, stop)
            if first < last:
                field, step = self.parts[int(self.part[first])], int(self.step[first])
                field.read_into(out[first - start : last - start], step, step + last - first)

    def pick(self, rows: Indices, columns: Indices) -> Series:
        """Return the series on selected points of the canonical grid."""

        def picked(part: FileField) -> FileField:
            index = part.picked or part.grid.file_index
            return replace(part, picked=(index[0][rows], index[1][columns]))

        return replace(self, parts=tuple(map(picked, self.parts)))

    def take(self, steps: npt.NDArray[np.int64]) -> Series:
        """Return the steps at the given indices."""
        return replace(self, part=self.part[steps], step=self.step[steps])


def scale(fields: Fields, factor: float, offset: float) -> None:
    """Multiply fields (t, h, w) by ``factor`` and add ``offset``, in place and in float64."""
    if (factor, offset) == (1.0, 0.0):
        return
    for field in fields:
        np.copyto(field, field.astype(np.float64) * factor + offset, casting="same_kind")


def load(variable: xr.Variable, path: str, name: str) -> npt.NDArray[Any]:
    """Read a lazy variable.

    Raises:
        InputError: if the file is damaged.
    """
    try:
        with reading(path):
            return variable.to_numpy()
    except Exception as error:  # libraries raise many kinds of error on a damaged file
        raise InputError(
            f"{path}: {name} cannot be read ({first_line(error)})",
            wanted="the file seems to be damaged",
            do="download or write it again",
        ) from error
