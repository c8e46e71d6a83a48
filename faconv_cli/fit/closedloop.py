"""The task of forecasting frame by frame: part of a window teacher-forced, the rest in closed loop."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from faconv_cli.fit.prepare import Prepared
from faconv_cli.network import build_forecaster
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch
from faconv_cli.windows.plan import Window


class ClosedLoopTask:
    """A `Task`: mean squared error of every frame of a window but the first, area-weighted.

    The first ``teacher_forced`` frames are given; each predicts the next one in parallel. The network then
    continues from its own frames to the end of the window (Horuz et al. 2025, arXiv 2508.03614).
    """

    def __init__(self, prepared: Prepared) -> None:
        config, cube = prepared.config, prepared.cube
        self._prepared = prepared
        self._given = config.teacher_forced
        self._closed = config.tiling.window - 1 - self._given
        self._model = build_forecaster(
            config,
            cube.shape[1],
            cube.grid.shape,
            periodic=cube.grid.periodic,
            statics=len(cube.constants.static_names),
        )
        self.capturable = True
        self.notes: tuple[str, ...] = ()
        self.start = "persistence" if config.encoder.skip else "the climatology"
        frames = {"teacher-forced": self._given, "closed loop": self._closed}
        self.targets = tuple(name for name, count in frames.items() if count)
        self.shares = torch.tensor([count for count in frames.values() if count]) / sum(frames.values())

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self._model

    def losses(self, model: nn.Module, batch: Batch, domain: Domain, *, checked: bool = False) -> Tensor:
        """Return the loss of teacher-forced and of closed-loop frames (s,), in variances of the fields."""
        given = self._given
        forecast = model(batch.x[:, :given], batch.valid[:, :given], self._closed, domain)
        weight = domain.area * batch.valid[:, 1:]
        squares = ((forecast.float() - batch.x[:, 1:]) ** 2 * weight).sum((0, 3, 4))
        # (frames, channels): missing values carry no weight, channels carry the same
        errors = (squares / weight.sum((0, 3, 4)).clamp_min(1e-12)).mean(1)
        return torch.stack([part.mean() for part in (errors[:given], errors[given:]) if len(part)])

    def validate(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> Tensor:
        """Return the mean of both losses over the rows of all batches."""
        losses = [(len(batch.windows), self.losses(model, batch, domain)) for batch in batches]
        return torch.stack([count * loss for count, loss in losses]).sum(0) / sum(
            count for count, _ in losses
        )

    def finish(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> None:
        """Do nothing: everything is in the weights."""

    def validation_windows(self) -> list[Window]:
        """List the whole windows within the validation period."""
        return self._prepared.whole_validation_windows()
