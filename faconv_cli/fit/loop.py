"""The training loop: a generator of reports that neither prints nor parses."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

import faconv_cli
from faconv_cli.checkpoint import Checkpoint, write_checkpoint
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.files import last_path
from faconv_cli.fit.embedding import EmbeddingTask
from faconv_cli.fit.forecasting import ForecastTask
from faconv_cli.fit.optimizer import average_weights, learning_rate_share, make_optimizer
from faconv_cli.fit.prepare import Prepared
from faconv_cli.fit.task import Task
from faconv_cli.network import build_domain
from faconv_cli.nn.domain import Domain
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.layout import tiles_of

LEAST_STEPS_PER_EPOCH = 8
SMALLEST_LOSS = 1e-6
LARGEST_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class StepReport:
    """One step of the optimiser; the loss is relative to that of the untrained network."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class EpochReport:
    """One pass over the training period; epoch 0 is the untrained network (`Task.start`).

    Attributes:
        epoch: its number.
        training_loss: mean over its steps, relative to the untrained network's; None for epoch 0.
        validation_loss: mean over the targets of the error relative to the untrained network's in training;
            None where nothing is held out.
        terms: error of each target in the validation period, in variances of the fields.
        error: their mean, weighted as in training; None where nothing is held out.
        best: no validation loss before was as low.
        seconds: it took.
    """

    epoch: int
    training_loss: float | None
    validation_loss: float | None
    terms: dict[str, float]
    error: float | None
    best: bool
    seconds: float


Report = StepReport | EpochReport


def make_task(prepared: Prepared, reader: WindowReader, domain: Domain) -> Task:
    """Make the task that the settings name.

    Raises:
        InputError: the data cannot carry it.
    """
    if prepared.config.fit.task == "forecast":
        return ForecastTask(prepared, reader, domain)
    return EmbeddingTask(prepared, reader, domain)


class Training:
    """A training that can be run, stopped and taken up again; same seed and machine, same bytes.

    Args:
        prepared: the data.
        path: where the best checkpoint goes; the last one goes beside it (`last_path`).
        device: where to compute.

    Raises:
        InputError: the data cannot carry an embedding of this size.
    """

    def __init__(self, prepared: Prepared, path: Path, device: torch.device) -> None:
        self._prepared, self._path, self._device = prepared, path, device
        config, cube = prepared.config, prepared.cube
        self._fit = config.fit
        self._batch = config.fit.batch or 1
        grid = cube.grid
        torch.manual_seed(self._fit.seed)
        domain = build_domain(config, grid, prepared.normalizer.valid, cube.constants.statics)
        self._reader = WindowReader(
            cube,
            prepared.climatology,
            prepared.normalizer,
            tiles_of(config, grid.shape, periodic=grid.periodic).shape,
            config.steps_read,
            self._batch,
        )
        self._task = make_task(prepared, self._reader, domain)
        self._model = self._task.model.to(device)
        self._domain = domain.to(device)
        self._average = AveragedModel(self._model, multi_avg_fn=average_weights)
        windows = prepared.training_windows(np.random.default_rng(0), LEAST_STEPS_PER_EPOCH * self._batch)
        self._planned_steps = max(1, self._fit.epochs * math.ceil(len(windows) / self._batch))
        self._optimizer = make_optimizer(self._model, self._fit)
        self._schedule = LambdaLR(
            self._optimizer, lambda step: learning_rate_share(step, self._planned_steps)
        )
        self._epoch, self._best, self._best_epoch = 0, math.inf, 0
        self._best_error: float | None = None
        self._history: list[float] = []
        self._start_loss = self._measure_start()

    def run(self) -> Iterator[Report]:
        """Train to the end or until the validation loss stops falling, keeping best and last.

        Yields:
            A report for each step and each epoch.
        """
        if self._epoch == 0 and not self._history:
            yield self._end_epoch(None, time.monotonic())
        while self._epoch < self._fit.epochs and self._epoch - self._best_epoch < self._fit.patience:
            started, losses = time.monotonic(), []
            self._epoch += 1
            for report in self._train_epoch():
                losses.append(report.loss)
                yield report
            yield self._end_epoch(float(np.mean(losses)), started)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from the last checkpoint of the same training.

        Raises:
            CheckpointError: it is not one of this training.
        """
        ours, theirs = self._prepared.config.model_dump(), checkpoint.config.model_dump()
        different = [
            f"{section}.{name}"
            for section in ours
            for name in ours[section]
            if ours[section][name] != theirs[section][name]
        ]
        if different or checkpoint.record["training"] != self._record()["training"] or not checkpoint.resume:
            raise CheckpointError(
                f"{last_path(self._path)} is of another training ({', '.join(different) or 'other data'})",
                wanted="--resume goes on with the same data and settings",
                do="repeat them, or start anew with --overwrite",
            )
        state = checkpoint.resume
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._epoch, self._best_epoch, self._best = state["epoch"], state["best_epoch"], state["best"]
        self._best_error = state["best_error"]
        self._history = list(state["history"])

    @property
    def saved(self) -> bool:
        """A checkpoint has been written."""
        return bool(self._history)

    @property
    def planned_epochs(self) -> int:
        """Epochs that are trained at most."""
        return self._fit.epochs

    @property
    def epochs_saved(self) -> int:
        """Epochs the last checkpoint has behind it."""
        return max(len(self._history) - 1, 0)

    @property
    def best_epoch(self) -> int:
        """Epoch of the best checkpoint; 0 is the untrained network."""
        return self._best_epoch

    @property
    def best_validation_loss(self) -> float | None:
        """Lowest validation loss so far; None where nothing is held out."""
        return self._best if math.isfinite(self._best) else None

    @property
    def best_error(self) -> float | None:
        """`EpochReport.error` of the best epoch."""
        return self._best_error

    @property
    def start(self) -> str:
        """What the untrained network is, in words."""
        return self._task.start

    @property
    def start_validation_loss(self) -> float:
        """Validation loss of the untrained network."""
        return self._history[0]

    @property
    def steps_left(self) -> int:
        """Steps of the optimiser to the last planned epoch."""
        return self._planned_steps * (self._fit.epochs - self._epoch) // max(self._fit.epochs, 1)

    def _train_epoch(self) -> Iterator[StepReport]:
        rng = np.random.default_rng([self._fit.seed, self._epoch])
        points = torch.Generator().manual_seed(int(rng.integers(2**62)))
        windows = self._prepared.training_windows(rng, LEAST_STEPS_PER_EPOCH * self._batch)
        steps = math.ceil(len(windows) / self._batch)
        self._model.train()
        for step, batch in enumerate(self._reader.batches(windows), start=1):
            self._optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                loss = self._total(self._losses(self._model, batch.to(self._device), points))
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self._model.parameters(), LARGEST_GRADIENT_NORM)
            self._check_finite(loss, norm)
            self._optimizer.step()
            self._schedule.step()
            self._average.update_parameters(self._model)
            yield StepReport(self._epoch, step, steps, float(loss.detach()))

    @torch.no_grad()
    def _measure_start(self) -> Tensor:
        """Measure the loss of each target that the untrained network has in training.

        Losses are given relative to it, so that targets that are easy (the field now, which EOFs give back
        well) and those that are not (what comes later) weigh the same.
        """
        rng = np.random.default_rng([self._fit.seed, 0])
        points = torch.Generator().manual_seed(self._fit.seed)
        windows = self._prepared.training_windows(rng, self._batch)
        some = windows[: LEAST_STEPS_PER_EPOCH * self._batch]
        losses = [
            self._losses(self._model.eval(), batch.to(self._device), points)
            for batch in self._reader.batches(some)
        ]
        start = torch.stack(losses).mean(0)
        if not torch.isfinite(start).all():
            raise _not_finite_at_the_start(self._prepared, self._task, start)
        return start.clamp_min(SMALLEST_LOSS)

    def _check_finite(self, *numbers: Tensor) -> None:
        """Stop before anything is changed or saved where a loss or its gradient is no number.

        Raises:
            UsageError: it is none.
        """
        if all(torch.isfinite(number).all() for number in numbers):
            return
        kept = (
            f"{self._path} is of epoch {self._best_epoch}, the best before it" if self.saved else "none was"
        )
        raise UsageError(
            f"{self._path}: the training diverged in epoch {self._epoch} (its loss is not finite)",
            wanted=f"such a network is not kept; {kept}",
            do=f"pass an --lr below {self._fit.lr:g}, or look for odd values with faconv inspect",
        )

    def _losses(self, model: nn.Module, batch: Batch, points: torch.Generator) -> Tensor:
        return self._task.losses(model, batch, self._domain, points)

    def _total(self, losses: Tensor) -> Tensor:
        return (losses / self._start_loss.to(losses.device) * self._task.shares.to(losses.device)).sum()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._fit.precision == "bfloat16"
        )

    @torch.no_grad()
    def _validate(self) -> Tensor | None:
        windows = self._task.validation_windows()
        if not windows:
            return None
        model = self._average.module.eval()
        points = torch.Generator().manual_seed(self._fit.seed)
        total, rows = torch.zeros(len(self._task.targets)), 0
        for batch in self._reader.batches(windows):
            count = sum(window.stop - window.first_row for window in batch.windows)
            with self._autocast():
                total += count * self._losses(model, batch.to(self._device), points).float().cpu()
            rows += count
        return total / rows

    def _end_epoch(self, training_loss: float | None, started: float) -> EpochReport:
        losses = self._validate()
        if losses is not None:
            self._check_finite(losses)
        validation = None if losses is None else float(self._total(losses))
        error = None if losses is None else float((losses * self._task.shares).sum())
        best = validation is None or validation < self._best
        if best:
            self._best_error = error
            self._best, self._best_epoch = validation if validation is not None else math.inf, self._epoch
        self._history.append(validation if validation is not None else math.nan)
        if best:
            write_checkpoint(self._path, self._checkpoint(resume=False), overwrite=True)
        write_checkpoint(last_path(self._path), self._checkpoint(resume=True), overwrite=True)
        terms = {} if losses is None else dict(zip(self._task.targets, losses.tolist(), strict=True))
        seconds = time.monotonic() - started
        return EpochReport(self._epoch, training_loss, validation, terms, error, best, seconds)

    def _checkpoint(self, *, resume: bool) -> Checkpoint:
        prepared, averaged = self._prepared, self._average.module
        state = {
            "model": _on_cpu(self._model.state_dict()),
            "average": _on_cpu(self._average.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "epoch": self._epoch,
            "best_epoch": self._best_epoch,
            "best": self._best,
            "best_error": self._best_error,
            "history": self._history,
        }
        return Checkpoint(
            config=prepared.config,
            channels=prepared.cube.channels,
            lat=prepared.cube.grid.lat,
            lon=prepared.cube.grid.lon,
            periodic=prepared.cube.grid.periodic,
            time_step=prepared.cube.time.step,
            sub_daily=prepared.cube.time.sub_daily,
            climatology=prepared.climatology,
            normalizer=prepared.normalizer,
            encoder=_on_cpu(averaged.get_submodule("encoder").state_dict()),
            decoder=_on_cpu(averaged.get_submodule("decoder").state_dict()),
            record=self._record(),
            constants=prepared.cube.constants,
            cell_area=prepared.cube.grid.cell_area,
            resume=state if resume else {},
        )

    def _record(self) -> dict[str, Any]:
        cube, split = self._prepared.cube, self._prepared.split
        labels = cube.time.labels
        begin, end = split.validation[0][0], split.validation[-1][1]
        first, last = split.training[0][0], split.training[-1][1] - 1
        return {
            "training": {
                "sources": list(cube.sources),
                "notes": list(cube.notes),
                "steps": len(split.training_steps),
                "period": [labels[first], labels[last]],
                "validation period": [labels[begin], labels[end - 1]] if split.validation_count else None,
                "calendar": cube.time.calendar,
            },
            "notes": [*cube.notes, *cube.masked],
            "epochs": self._epoch,
            "best_epoch": self._best_epoch,
            "validation_losses": [None if math.isnan(loss) else loss for loss in self._history],
            "versions": {"faconv": faconv_cli.__version__, "torch": torch.__version__},
        }


def _not_finite_at_the_start(prepared: Prepared, task: Task, losses: Tensor) -> InputError:
    told = ", ".join(f"{name} {loss:g}" for name, loss in zip(task.targets, losses.tolist(), strict=True))
    return InputError(
        f"{', '.join(prepared.cube.sources)}: the errors of the untrained network are not finite ({told})",
        wanted="values must lie within single precision of their mean",
        do="look for values that stand for missing, or are wrong, with faconv inspect",
    )


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
