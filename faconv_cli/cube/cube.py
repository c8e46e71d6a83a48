"""The cube: canonical fields, lazily, with their channels, time axis and grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.constants import Constants
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.read.masking import Ledger, sentences
from faconv_cli.cube.read.readers import Held, Reader, take, to_dask
from faconv_cli.cube.time.timeaxis import TimeAxis

MEBIBYTE = 2**20
HELD_BYTES = 512 * MEBIBYTE  # a record up to this size is held in memory


@dataclass(frozen=True, eq=False)
class Cube:
    """Fields of a record, canonical and lazy.

    Attributes:
        fields: float32 (time, channel, y, x), canonical order, NaN where missing; dask unless `cached`.
        channels: (c,) what each holds.
        time: (t,) the time axis.
        grid: (h, w) the points.
        sources: the files, as given.
        notes: what was chosen, merged, dropped or masked, in sentences.
        left_out: why each other variable of the files is not a channel.
        file_chunk_steps: time steps in one chunk of the file.
        series: (c,) readers behind ``fields``, for reads without dask's overhead.
        ledgers: what was no value in the steps of the files that have been read.
        constants: what the pipeline took from elsewhere than the record.
    """

    fields: xr.DataArray
    channels: tuple[Channel, ...]
    time: TimeAxis
    grid: Grid
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] | None = None
    file_chunk_steps: int = 1
    series: tuple[Reader, ...] | None = None
    ledgers: tuple[Ledger, ...] = ()
    constants: Constants = field(default_factory=Constants)

    @property
    def masked(self) -> list[str]:
        """What was taken as missing in what has been read so far, in sentences."""
        return sentences(self.ledgers)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Steps, channels, points along y and x."""
        t, c, h, w = self.fields.shape
        return t, c, h, w

    @property
    def nbytes(self) -> int:
        """Size of all values as float32, in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * 4

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read steps [start, stop) as a new array (t, c, h, w), NaN where missing.

        Reads hold xarray's lock of the file's library, so that any thread may call this.

        Raises:
            InputError: the file is damaged.
        """
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        if self.series is None:
            block = self.fields[start:stop].compute(scheduler="synchronous").to_numpy()
            return np.array(block, np.float32)
        out = np.empty((max(stop - start, 0), *self.shape[1:]), np.float32)
        for number, series in enumerate(self.series):
            series.read_into(out[:, number], start, stop)
        return out

    def slice(self, start: int, stop: int) -> Cube:
        """Return steps [start, stop)."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        steps = np.arange(start, stop)
        series = None if self.series is None else tuple(take(one, steps) for one in self.series)
        fields, time = self.fields[start:stop], self.time.slice(start, stop)
        return replace(self, fields=fields, time=time, series=series)

    def take(self, steps: npt.NDArray[np.int64]) -> Cube:
        """Return the given steps, in increasing order; those that were not neighbours have a gap between."""
        if len(steps) and steps[-1] - steps[0] + 1 == len(steps):
            return self.slice(int(steps[0]), int(steps[-1]) + 1)
        series = None if self.series is None else tuple(take(one, steps) for one in self.series)
        time = self.time.take(steps)
        return replace(self, fields=self.fields.isel(time=steps), time=time, series=series)

    def pick(self, channels: Sequence[int]) -> Cube:
        """Return the given channels, in the given order."""
        series = None if self.series is None else tuple(self.series[number] for number in channels)
        picked = tuple(self.channels[number] for number in channels)
        return replace(self, fields=self.fields.isel(channel=list(channels)), channels=picked, series=series)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """Return (c,) readers of the channels."""
        if self.series is not None:
            return self.series
        return tuple(Held(self.fields[:, number].data) for number in range(self.shape[1]))

    def through(self, readers: Sequence[Reader], **changes: Any) -> Cube:
        """Return the cube that is read through ``readers``, one a channel, with other changes."""
        changed = replace(self, series=tuple(readers), **changes)
        parts = [to_dask(reader, self.file_chunk_steps) for reader in readers]
        fields: Any = np.empty((len(changed.time), 0, *changed.grid.shape), np.float32)
        if parts:
            fields = da.stack(parts, axis=1)  # type: ignore[no-untyped-call]
        return replace(changed, fields=xr.DataArray(fields, dims=("time", "channel", "y", "x")))

    def noted(self, *notes: str) -> Cube:
        """Return the cube with more to say about it."""
        return replace(self, notes=(*self.notes, *notes))

    def blocks(
        self, max_bytes: int = 64 * MEBIBYTE, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield runs of steps that cover [start, stop), each of whole file chunks and at most ``max_bytes``.

        A chunk that is larger alone is cut, as memory matters more than reading it twice.
        """
        stop = self.shape[0] if stop is None else min(stop, self.shape[0])
        most = max(1, max_bytes * self.shape[0] // max(self.nbytes, 1))
        chunk = self.file_chunk_steps
        edges = self._chunk_edges() if chunk <= most else np.arange(0)
        while start < stop:
            end = min(start + most, stop)
            inside = edges[(edges > start) & (edges <= end)]
            end = int(inside[-1]) if len(inside) and end < stop else end
            yield start, end
            start = end

    def _chunk_edges(self) -> npt.NDArray[np.int64]:
        offset = 0 if self.series is None else self.series[0].steps_into_chunk
        return np.arange(-offset, self.shape[0] + 1, self.file_chunk_steps)

    def cached(self, limit_bytes: int = HELD_BYTES) -> Cube:
        """Return the same cube held in memory where it fits into ``limit_bytes``, else itself."""
        if self.nbytes > limit_bytes:
            return self
        fields = self.fields.copy(data=self.read(0, self.shape[0]))
        return replace(self, fields=fields, series=None)
