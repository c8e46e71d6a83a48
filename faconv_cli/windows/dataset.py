"""Windows of a cube as tensors: read, made anomalies, normalised, and fetched one batch ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faconv_cli.cube.climatology import Climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.windows.normalize import Normalizer
from faconv_cli.windows.plan import Window

STEPS_AT_ONCE = 8

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of equal length; steps past the end of a window's segment are empty.

    Attributes:
        x: (b, t, c, h, w) normalised anomalies, 0 where missing.
        valid: (b, t, c, h, w) where x holds a value.
        year_fraction: (b, t) place in the year, in [0, 1).
        day_fraction: (b, t) place in the day, in [0, 1).
        windows: what the rows of the batch are; shorter than b where the batch is filled up.
    """

    x: Float[Tensor, "b t c h w"]
    valid: Bool[Tensor, "b t c h w"]
    year_fraction: Float[Tensor, "b t"]
    day_fraction: Float[Tensor, "b t"]
    windows: tuple[Window, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All but the windows."""
        return self.x, self.valid, self.year_fraction, self.day_fraction

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Change each tensor."""
        x, valid, year, day = map(change, self.tensors)
        return Batch(x, valid, year, day, self.windows)

    def to(self, device: torch.device) -> Batch:
        """Copy the tensors to a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True, eq=False)
class WindowReader:
    """Reads windows of ``steps`` time steps of a cube, as anomalies in units of their standard deviation.

    Grids are filled up with missing points to ``shape``, a whole number of patches. Every batch has
    ``batch`` windows of ``steps`` steps, filled up by empty ones: kernels choose their order of summation
    by shape, and a row must not change with the company it is computed in. ``pinned`` batches lie in memory
    that a GPU copies from by itself, while the processor goes on.
    """

    cube: Cube
    climatology: Climatology
    normalizer: Normalizer
    shape: tuple[int, int]
    steps: int
    batch: int
    pinned: bool = False

    def anomalies(self, start: int, stop: int) -> np.ndarray:
        """Read steps [start, stop) as normalised anomalies (t, c, h, w), NaN where missing."""
        fields = self.cube.read(start, stop)
        # a few steps at a time: the float64 in between would otherwise be the largest array of all
        for begin in range(0, len(fields), STEPS_AT_ONCE):
            part = slice(begin, begin + STEPS_AT_ONCE)
            time = self.cube.time.slice(start + begin, min(start + begin + STEPS_AT_ONCE, stop))
            fields[part] = self.normalizer.apply(self.climatology.subtract(fields[part], time))
        below, right = (self.shape[axis] - fields.shape[2 + axis] for axis in range(2))
        if below or right:
            fields = np.pad(fields, [(0, 0), (0, 0), (0, below), (0, right)], constant_values=np.nan)
        return fields

    def fields(self, start: int, stop: int) -> np.ndarray:
        """Read steps [start, stop) as normalised anomalies (t, c, h, w), 0 where missing."""
        fields = self.anomalies(start, stop)
        np.copyto(fields, 0.0, where=np.isnan(fields))
        return fields

    def read(self, windows: Sequence[Window]) -> Batch:
        """Read at most ``batch`` windows."""
        frames = (self.batch, self.steps)
        x = self._tensor((*frames, self.cube.shape[1], *self.shape), torch.float32).fill_(np.nan).numpy()
        phases = np.zeros((2, *frames), np.float32)
        spans = [(w.start, min(w.start + self.steps, w.segment_stop)) for w in windows]
        for begin, end in _joined(spans):
            fields, time = self.anomalies(begin, end), self.cube.time.slice(begin, end)
            for row, (start, stop) in enumerate(spans):
                if begin <= start and stop <= end:
                    inside, steps = slice(start - begin, stop - begin), slice(0, stop - start)
                    x[row, steps] = fields[inside]
                    phases[0, row, steps] = time.year_fraction[inside]
                    phases[1, row, steps] = time.day_fraction[inside]
        valid = self._tensor(x.shape, torch.bool)
        np.isfinite(x, out=valid.numpy())
        np.copyto(x, 0.0, where=~valid.numpy())
        year, day = torch.from_numpy(phases)
        return Batch(torch.from_numpy(x), valid, year, day, tuple(windows))

    def _tensor(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self.pinned)

    def batches(self, windows: Sequence[Window]) -> Iterator[Batch]:
        """Read ``windows`` in order, each batch while the one before it is being worked on."""
        return self.grouped([windows[i : i + self.batch] for i in range(0, len(windows), self.batch)])

    def grouped(self, groups: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read groups of at most ``batch`` windows, each while the one before it is being worked on."""
        return prefetched(self.read, groups)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that overlap, so that no step is read twice."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def prefetched(make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """Yield ``make(item)`` for each item, making the next in one thread while the last is in use."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="faconv-read") as pool:
        ahead = None
        for item in items:
            current, ahead = ahead, pool.submit(make, item)
            if current is not None:
                yield current.result()
        if ahead is not None:
            yield ahead.result()
