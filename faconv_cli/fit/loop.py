"""The training loop, a generator of reports; it does not print or parse anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

import faconv_cli
from faconv_cli.checkpoint import Checkpoint, TargetGrid, read_checkpoint, write_checkpoint
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.files import last_path
from faconv_cli.fit.captured import CapturedLoss
from faconv_cli.fit.closedloop import ClosedLoopTask
from faconv_cli.fit.embedding import EmbeddingTask
from faconv_cli.fit.forecasting import ForecastTask
from faconv_cli.fit.optimizer import average_weights, learning_rate_share, make_optimizer
from faconv_cli.fit.prepare import Prepared, prepare_whole
from faconv_cli.fit.task import Task
from faconv_cli.network import build_domain
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.fingerprint import TOLERANCE, fingerprints
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.plan import Window, evenly

CHECKS = 12  # of the validation loss, evenly over the updates
VALIDATION_WINDOWS = 128  # evenly over the validation period, where it has more
SAMPLED_STEPS = 64  # evenly over the record, to know it again by
SETTLING_WINDOWS = 64  # evenly over the training period, before the training is over
LARGEST_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class UpdateReport:
    """One update of the weights, with its loss in variances of the fields."""

    update: int
    loss: float


@dataclass(frozen=True)
class CheckReport:
    """A check on the validation period; the first is of the untrained network (`Task.start`).

    Attributes:
        update: number of updates behind it.
        training_loss: mean over the updates since the check before; None for the first.
        validation_loss: weighted mean of the errors of all targets, relative to the climatology's (in closed
            loop in variances of the fields); None where nothing is held out.
        terms: error of each target in the validation period.
        best: no validation loss before was as low.
        seconds: since the check before.
    """

    update: int
    training_loss: float | None
    validation_loss: float | None
    terms: dict[str, float]
    best: bool
    seconds: float


Report = UpdateReport | CheckReport


def make_task(
    prepared: Prepared, reader: WindowReader, domain: Domain, like: EofCoordinates | None = None
) -> Task:
    """Make the task that the settings name, with EOFs ``like`` those that its network was trained with.

    Raises:
        InputError: the data are too few for it.
    """
    if prepared.config.closed_loop:
        return ClosedLoopTask(prepared)
    if prepared.config.fit.task == "forecast":
        return ForecastTask(prepared, reader, domain, like)
    return EmbeddingTask(prepared, reader, domain, like)


def _constants(prepared: Prepared, device: torch.device) -> tuple[WindowReader, Domain]:
    """Make what reads the windows of a record, and the constants of its grid."""
    config, cube, batch = prepared.config, prepared.cube, prepared.config.fit.batch or 1
    grid = cube.grid
    shape = tiles_of(config, grid.shape, periodic=grid.periodic).shape
    scaling = prepared.climatology, prepared.normalizer
    reader = WindowReader(cube, *scaling, shape, config.steps_read, batch, pinned=device.type == "cuda")
    return reader, build_domain(config, grid, prepared.normalizer.valid, cube.constants.statics)


class Training:
    """A training that can be run, stopped and resumed; same seed and machine, same bytes.

    Args:
        prepared: the data.
        path: where the best checkpoint goes; the last one goes beside it (`last_path`).
        device: where to compute.

    Raises:
        InputError: the data are too few for an embedding of this size.
    """

    def __init__(self, prepared: Prepared, path: Path, device: torch.device) -> None:
        self._prepared, self._path, self._device = prepared, path, device
        self._fit = prepared.config.fit
        self._batch = self._fit.batch or 1
        torch.manual_seed(self._fit.seed)
        self._reader, domain = _constants(prepared, device)
        self._task = make_task(prepared, self._reader, domain)
        self._model, self._shares = self._task.model.to(device), self._task.shares.to(device)
        self._domain = domain.to(device)
        self._average = AveragedModel(self._model, multi_avg_fn=average_weights)
        self._planned = (self._fit.updates or 0) if self._task.targets else 0
        self._optimizer = make_optimizer(self._model, self._fit.lr or 1.0, self._fit.weight_decay)
        self._schedule = LambdaLR(self._optimizer, lambda step: learning_rate_share(step, self._planned))
        self._sample = self._fingerprints()
        self._update, self._best, self._best_update = 0, math.inf, 0
        self._history: list[float] = []
        self._captured: CapturedLoss | None = None
        self._check_start()

    def run(self) -> Iterator[Report]:
        """Train to the last update, keeping the best and the last weights.

        Yields:
            A report for each update and each check.
        """
        if not self._history:
            yield self._check(None, time.monotonic())
        for stop in self._stops():
            if stop > self._update:
                started, losses = time.monotonic(), []
                for report in self._train_to(stop):
                    losses.append(report.loss)
                    yield report
                yield self._check(float(np.mean(losses)), started)
        self._finish()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from the last checkpoint of the same training.

        Raises:
            CheckpointError: the checkpoint belongs to another training.
        """
        ours, theirs = self._prepared.config.model_dump(), checkpoint.config.model_dump()
        different = [
            f"{section}.{name}"
            for section in ours
            for name in ours[section]
            if ours[section][name] != theirs[section][name]
        ]
        # notes are left out: another version may word them differently
        same_data = all(
            value == checkpoint.record["training"].get(name)
            for name, value in self._record()["training"].items()
            if name != "notes"
        )
        if different or not same_data or not checkpoint.resume:
            raise CheckpointError(
                f"{last_path(self._path)} belongs to another training "
                f"({', '.join(different) or 'other data'})",
                wanted="--resume continues with the same data and settings",
                do="repeat them, or start anew with --overwrite",
            )
        state = checkpoint.resume
        if self._data_changed(checkpoint):
            raise CheckpointError(
                f"{last_path(self._path)} belongs to other data: the values in "
                f"{', '.join(self._prepared.cube.sources)} are not those that it was trained on",
                wanted="--resume continues with the same data, so that scaling and errors stay comparable",
                do="restore the data, or start anew with --overwrite",
            )
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._update, self._best_update, self._best = state["update"], state["best_update"], state["best"]
        self._history = list(state["history"])

    def _data_changed(self, checkpoint: Checkpoint) -> bool:
        """Return whether climatology or scaling of the training period, or any sampled step, has changed."""
        ours, theirs = self._prepared.normalizer, checkpoint.normalizer
        spread = theirs.std[:, None, None]
        pairs = [
            (ours.mean / theirs.std, theirs.mean / theirs.std),
            (ours.std / theirs.std, np.ones_like(theirs.std)),
            (ours.valid, theirs.valid),
            (self._prepared.climatology.coefficients / spread, checkpoint.climatology.coefficients / spread),
            (self._sample, np.asarray(checkpoint.resume["sample"])),
            *self._of_targets(checkpoint),
        ]
        return not all(np.allclose(*pair, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True) for pair in pairs)

    def _of_targets(self, checkpoint: Checkpoint) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of the scaling of each target in the training period, now and in a checkpoint."""
        for own, theirs in zip(self._prepared.targets, checkpoint.targets, strict=True):
            yield from zip(vars(own.normalizer).values(), vars(theirs.normalizer).values(), strict=True)

    def _fingerprints(self) -> np.ndarray:
        """(n,) of steps of the whole record, the validation period among them."""
        steps = evenly(range(len(self._prepared.cube.time)), SAMPLED_STEPS)
        return np.concatenate([fingerprints(self._reader.fields(step, step + 1)) for step in steps])

    @property
    def saved(self) -> bool:
        """A checkpoint has been written."""
        return bool(self._history)

    @property
    def planned_updates(self) -> int:
        """Updates of the weights in all; 0 where there is nothing to train."""
        return self._planned

    @property
    def updates_saved(self) -> int:
        """Updates at the last checkpoint."""
        return self._update

    @property
    def updates_left(self) -> int:
        """Updates of the weights that are still to do."""
        return self._planned - self._update

    @property
    def best_update(self) -> int:
        """Update of the best checkpoint; 0 is the untrained network."""
        return self._best_update

    @property
    def best_validation_loss(self) -> float | None:
        """Lowest validation loss so far; None where nothing is held out."""
        return self._best if math.isfinite(self._best) else None

    @property
    def start(self) -> str:
        """What the untrained network is, in words."""
        return self._task.start

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about it."""
        return self._task.notes

    @property
    def start_validation_loss(self) -> float:
        """Validation loss of the untrained network."""
        return self._history[0]

    def _stops(self) -> list[int]:
        """Updates after which the validation loss is looked at."""
        return [math.ceil(self._planned * number / CHECKS) for number in range(1, CHECKS + 1)]

    def _train_to(self, stop: int) -> Iterator[UpdateReport]:
        """Train up to an update; windows are drawn again after each check, so that it can be resumed."""
        torch.manual_seed(int(np.random.default_rng([self._fit.seed, self._update]).integers(2**62)))
        windows = self._draw(np.random.default_rng([self._fit.seed, self._update]), stop - self._update)
        self._model.train()
        for batch in self._reader.batches(windows):
            loss = self._backward(batch.to(self._device))
            norm = nn.utils.clip_grad_norm_(self._model.parameters(), LARGEST_GRADIENT_NORM)
            self._check_finite(loss, norm)
            self._optimizer.step()
            self._schedule.step()
            self._average.update_parameters(self._model)
            self._update += 1
            yield UpdateReport(self._update, float(loss.detach()))

    def _backward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, and set the gradients of the weights."""
        if self._device.type == "cuda" and self._task.capturable:
            if self._captured is None:
                self._captured = CapturedLoss(self._model, self._loss, batch)
            return self._captured(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        with self._autocast():
            return self._total(self._losses(self._model, batch))

    def _draw(self, rng: np.random.Generator, batches: int) -> list[Window]:
        """Draw windows from the training steps, in several passes if they are too few."""
        wanted, windows = batches * self._batch, list[Window]()
        while len(windows) < wanted:
            windows += self._prepared.training_windows(rng, wanted - len(windows))
        return windows[:wanted]

    @torch.no_grad()
    def _check_start(self) -> None:
        """Refuse data on which the errors of the untrained network are not finite.

        Raises:
            InputError: they are not finite.
        """
        if not self._task.targets:
            return
        windows = self._draw(np.random.default_rng(self._fit.seed), 1)
        for batch in self._reader.batches(windows):
            losses = self._losses(self._model.eval(), batch.to(self._device))
            if not torch.isfinite(losses).all():
                raise _not_finite_at_the_start(self._prepared, self._task, losses)

    def _check_finite(self, *numbers: Tensor) -> None:
        """Stop before anything is changed or saved if a loss or its gradient is not finite.

        Raises:
            UsageError: it is not finite.
        """
        if all(torch.isfinite(number).all() for number in numbers):
            return
        kept = (
            f"{self._path} is of update {self._best_update}, the best before it" if self.saved else "none was"
        )
        raise UsageError(
            f"{self._path}: the training diverged after update {self._update} (its loss is not finite)",
            wanted=f"such a network is not kept; {kept}",
            do=f"pass an --lr below {self._fit.lr:g}, or look for odd values with faconv inspect",
        )

    def _losses(self, model: nn.Module, batch: Batch) -> Tensor:
        checked = bool(self._history) and math.isfinite(self._history[0])
        return self._task.losses(model, batch, self._domain, checked=checked)

    def _total(self, losses: Tensor) -> Tensor:
        return (losses * self._shares.to(losses.device)).sum()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._fit.precision == "bfloat16"
        )

    @torch.no_grad()
    def _validate(self) -> Tensor | None:
        windows = evenly(self._task.validation_windows(), VALIDATION_WINDOWS)
        if not windows:
            return None
        model, batches = self._average.module.eval(), self._reader.batches(windows)
        with self._autocast():
            losses = self._task.validate(model, (one.to(self._device) for one in batches), self._domain)
        return None if losses is None else losses.float().cpu()

    def _check(self, training_loss: float | None, started: float) -> CheckReport:
        losses = self._validate()
        if losses is not None:
            self._check_finite(losses)
        validation = None if losses is None else float(self._total(losses))
        best = validation is None or validation < self._best
        if best:
            self._best, self._best_update = validation if validation is not None else math.inf, self._update
        self._history.append(validation if validation is not None else math.nan)
        if best:
            if self._update and losses is None:
                self._trust_training()
            if self._update:
                self._settle(evenly(self._prepared.covering_windows(), SETTLING_WINDOWS))
            write_checkpoint(self._path, self._checkpoint(resume=False), overwrite=True)
        write_checkpoint(last_path(self._path), self._checkpoint(resume=True), overwrite=True)
        terms = {} if losses is None else dict(zip(self._task.targets, losses.tolist(), strict=True))
        return CheckReport(self._update, training_loss, validation, terms, best, time.monotonic() - started)

    @torch.no_grad()
    def _trust_training(self) -> None:
        """If nothing is held out, trust the averaged network as far as it helps in training."""
        windows = self._prepared.training_windows(np.random.default_rng(self._fit.seed), 1)
        batches = self._reader.batches(evenly(windows, VALIDATION_WINDOWS))
        model = self._average.module.eval()
        self._task.validate(model, (batch.to(self._device) for batch in batches), self._domain)

    @torch.no_grad()
    def _settle(self, windows: list[Window]) -> None:
        """Let the task fit what it needs from training windows in the averaged network."""
        model = self._average.module.eval()
        batches = (batch.to(self._device) for batch in self._reader.batches(windows))
        self._task.finish(model, batches, self._domain)

    def _finish(self) -> None:
        """Finish the best network on the training period, or fit again to all steps what is fitted."""
        if self.refits:
            self._refit(read_checkpoint(self._path))
            return
        windows = self._prepared.covering_windows()
        if not self._best_update or len(windows) <= SETTLING_WINDOWS:
            return
        best = read_checkpoint(self._path)
        self._average.module.get_submodule("encoder").load_state_dict(best.encoder)
        self._settle(windows)
        settled = _on_cpu(self._average.module.get_submodule("encoder").state_dict())
        write_checkpoint(self._path, replace(best, encoder=settled), overwrite=True)

    @property
    def refits(self) -> bool:
        """Whether everything that is fitted is fitted again in the end, including the held-out steps."""
        held_out = self._prepared.split.validation_count
        return bool(self._fit.refit and held_out and not self._prepared.config.closed_loop)

    @torch.no_grad()
    def _refit(self, best: Checkpoint) -> None:
        """Fit again to all steps what is fitted; the network's weights and the trust in it stay."""
        if best.record["training"].get("refitted"):  # by the run before, which was stopped after it
            return
        whole = prepare_whole(self._prepared)
        reader, domain = _constants(whole, self._device)
        ours = cast("SubspaceEncoder", self._average.module.get_submodule("encoder"))
        task = make_task(whole, reader, domain, ours.eofs)
        model, trained = task.model, {"encoder": best.encoder, "decoder": best.decoder}
        for name, own in model.named_parameters():
            module, _, rest = name.partition(".")
            own.copy_(trained[module][rest])
        cast("SubspaceEncoder", model.get_submodule("encoder")).confidence.copy_(best.encoder["confidence"])
        model = model.to(self._device).eval()
        batches = (batch.to(self._device) for batch in reader.batches(whole.covering_windows()))
        task.finish(model, batches, domain.to(self._device))
        record = {**best.record, "training": {**best.record["training"], "refitted": True}}
        write_checkpoint(self._path, _made(whole, model, record), overwrite=True)

    def _checkpoint(self, *, resume: bool) -> Checkpoint:
        state = {
            "model": _on_cpu(self._model.state_dict()),
            "average": _on_cpu(self._average.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "update": self._update,
            "best_update": self._best_update,
            "best": self._best,
            "history": self._history,
            "sample": self._sample.tolist(),
        }
        found = _made(self._prepared, self._average.module, self._record())
        return replace(found, resume=state) if resume else found

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
                "targets": [
                    {"name": target.name, "source": target.text, "steps": len(target.training_steps)}
                    for target in self._prepared.targets
                ],
            },
            "notes": [*cube.notes, *cube.masked],
            "updates": self._update,
            "best_update": self._best_update,
            "validation_losses": [None if math.isnan(loss) else loss for loss in self._history],
            "versions": {"faconv": faconv_cli.__version__, "torch": torch.__version__},
        }


def _made(prepared: Prepared, model: nn.Module, record: dict[str, Any]) -> Checkpoint:
    """Put a network and what was fitted for it together."""
    cube = prepared.cube
    return Checkpoint(
        config=prepared.config,
        channels=cube.channels,
        grid=cube.grid,
        time_step=cube.time.step,
        sub_daily=cube.time.sub_daily,
        climatology=prepared.climatology,
        normalizer=prepared.normalizer,
        encoder=_on_cpu(model.get_submodule("encoder").state_dict()),
        decoder=_on_cpu(model.get_submodule("decoder").state_dict()),
        record=record,
        constants=cube.constants,
        targets=tuple(
            TargetGrid(target.name, target.cube.channels[0], target.cube.grid, target.normalizer)
            for target in prepared.targets
        ),
        resume={},
    )


def _not_finite_at_the_start(prepared: Prepared, task: Task, losses: Tensor) -> InputError:
    told = ", ".join(f"{name} {loss:g}" for name, loss in zip(task.targets, losses.tolist(), strict=True))
    return InputError(
        f"{', '.join(prepared.cube.sources)}: the errors of the untrained network are not finite ({told})",
        wanted="values must lie within single precision of their mean",
        do="look for undeclared missing values and wrong values with faconv inspect",
    )


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
