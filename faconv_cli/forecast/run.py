"""Apply a forecasting network to a cube: forecasts from many initial times, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.errors import InputError
from faconv_cli.network import build_domain, load_forecaster
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.memory import embedding_batch
from faconv_cli.windows.plan import Window

LEAST_VALID_SHARE = 0.5  # of the area that was valid in training, in each channel, at the start


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts from some starts.

    Attributes:
        starts: (n,) steps of the record they start from; the first forecast is for the step after.
        anomalies: (n, lead, c, h, w) normalised anomalies, NaN where the grid is never valid, and everywhere
            where the start has too little input.
        seen: (n, c, h, w) the anomalies at the start, NaN where missing.
        truth: (n, lead, c, h, w) the observed anomalies, NaN where missing or beyond the segment.
    """

    starts: np.ndarray
    anomalies: np.ndarray
    seen: np.ndarray
    truth: np.ndarray


class ForecastRun:
    """Forecasts from steps of a cube that fits a checkpoint; memory is bounded by one batch.

    The network is warmed up on as many steps as it was given in training, up to and including the start.

    Args:
        checkpoint: trained to forecast.
        cube: what to start from.
        steps: lead times.
        device: where to compute.
        batch: initial times at a time, None to choose.
        truth: also read the observed fields.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cube: Cube,
        steps: int,
        device: torch.device,
        *,
        batch: int | None = None,
        truth: bool = False,
    ) -> None:
        config, grid = checkpoint.config, cube.grid
        self.checkpoint, self.cube, self.steps = checkpoint, cube, steps
        self.warm_up = config.teacher_forced
        self._device = device
        self._network = load_forecaster(checkpoint).to(device)
        valid = checkpoint.normalizer.valid
        self._domain = build_domain(config, grid, valid, checkpoint.constants.statics).to(device)
        tiles = tiles_of(config, grid.shape, periodic=grid.periodic)
        steps_read = self.warm_up + (steps if truth else 0)
        self._reader = WindowReader(
            cube,
            checkpoint.climatology,
            checkpoint.normalizer,
            tiles.shape,
            steps_read,
            batch or embedding_batch(config, len(cube.channels), tiles, self.warm_up + steps),
        )
        self._never = valid == 0
        self._expected = (valid * grid.area).sum((-2, -1))

    def starts(self, begin: int, end: int, every: int = 1) -> np.ndarray:
        """List each ``every``-th step in [begin, end) that has enough steps before it without a gap.

        Raises:
            InputError: there is none.
        """
        first = {step: start for start, stop in self.cube.time.segments for step in range(start, stop)}
        warm = [s for s in range(begin, end, every) if s - first[s] + 1 >= self.warm_up]
        if not warm:
            raise InputError(
                f"no step from {self.cube.time.labels[begin]} to {self.cube.time.labels[end - 1]} has "
                f"{self.warm_up - 1} steps before it without a gap",
                wanted="the network needs as many steps to warm up as in training",
                do="choose a later --from, or give the files before it too",
            )
        return np.array(warm)

    @torch.inference_mode()
    def run(self, starts: Sequence[int] | np.ndarray) -> Iterator[Forecasts]:
        """Yield the forecasts from ``starts``, a batch at a time, in order."""
        stop_of = {step: stop for start, stop in self.cube.time.segments for step in range(start, stop)}
        windows = [
            Window(s - self.warm_up + 1, s + 1, s, s - self.warm_up + 1, stop_of[int(s)])
            for s in map(int, starts)
        ]
        for batch in self._reader.batches(windows):
            x, valid = (t[:, : self.warm_up].to(self._device) for t in (batch.x, batch.valid))
            forecast = self._network.forecast(x, valid, *self._phases(batch), self.steps, self._domain)
            yield self._forecasts(batch, forecast.float().cpu().numpy())

    def _phases(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Places in the year and in the day (b, t) of the frames given and forecast."""
        ahead = [self.cube.time.after(window.stop - 1, self.steps) for window in batch.windows]
        phases = []
        for given, name in ((batch.year_fraction, "year_fraction"), (batch.day_fraction, "day_fraction")):
            later = torch.zeros(len(given), self.steps)
            later[: len(ahead)] = torch.from_numpy(np.stack([getattr(time, name) for time in ahead]))
            phases.append(torch.cat([given[:, : self.warm_up], later], dim=1).to(self._device))
        return phases[0], phases[1]

    def _forecasts(self, batch: Batch, forecast: np.ndarray) -> Forecasts:
        count, (h, w) = len(batch.windows), self.cube.grid.shape
        fields = np.where(batch.valid, batch.x, np.nan)[:count, ..., :h, :w]
        seen, truth = fields[:, self.warm_up - 1], fields[:, self.warm_up :]
        anomalies = forecast[:count, ..., :h, :w].copy()
        share = (np.isfinite(seen) * self.cube.grid.area).sum((-2, -1))
        short = (share < LEAST_VALID_SHARE * self._expected).any(-1)
        starts = np.array([window.stop - 1 for window in batch.windows])
        finite = (np.isfinite(anomalies) | self._never).all((1, 2, 3, 4)) | short
        if not finite.all():
            raise self._not_finite(starts[~finite][0], anomalies[~finite][0])
        anomalies[:, :, self._never] = np.nan
        anomalies[short] = np.nan
        return Forecasts(starts, anomalies, seen, truth)

    def _not_finite(self, start: int, anomalies: np.ndarray) -> InputError:
        lead = int(np.flatnonzero(~np.isfinite(anomalies).all((1, 2, 3)))[0]) + 1
        return InputError(
            f"the forecast from {self.cube.time.labels[start]} is not finite from lead {lead} on",
            wanted="fields must have the magnitude of the training data",
            do="look at the values before it with faconv inspect --time-range, or pass fewer --steps",
        )

    def physical(self, start: int, anomalies: np.ndarray) -> np.ndarray:
        """The fields (lead, c, h, w) of normalised anomalies forecast from ``start``, in their units."""
        times = self.cube.time.after(start, self.steps)
        fields = self.checkpoint.normalizer.invert(anomalies.astype(np.float64))
        return self.checkpoint.climatology.add(fields.astype(np.float32), times)
