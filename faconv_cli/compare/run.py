"""One training of a comparison, from its settings to a row of results; finished ones are not repeated."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.compare.budget import count_parameters
from faconv_cli.compare.cost import PeakMemory, flops_per_step
from faconv_cli.compare.scores import Steps, score_embedding, score_forecasts
from faconv_cli.config import EOF
from faconv_cli.cube.cube import Cube
from faconv_cli.errors import CheckpointError
from faconv_cli.files import atomic_output, last_path
from faconv_cli.fit.loop import Report, Training, UpdateReport
from faconv_cli.fit.prepare import Prepared
from faconv_cli.match import match_cube


@dataclass(frozen=True, eq=False)
class Job:
    """One training.

    Attributes:
        prepared: data and settings.
        record: the whole record that scores are taken on; holds the training data at ``offset``.
        offset: step of ``record`` that the training data begin with.
        test: steps of ``record`` to score on.
        labels: truth (t,) for the steps of ``record``, by name.
        lead: steps that forecasts are scored over.
        folder: where checkpoint and result go.
    """

    prepared: Prepared
    record: Cube
    offset: int
    test: Steps
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    lead: int = 1
    folder: Path = field(default_factory=Path)

    @property
    def name(self) -> str:
        """Encoder and seed."""
        return f"{self.prepared.config.encoder.encoder}-seed{self.prepared.config.fit.seed}"

    @property
    def checkpoint(self) -> Path:
        """Where the best checkpoint goes."""
        return self.folder / f"{self.name}.pt"

    @property
    def result(self) -> Path:
        """Where the row of results goes."""
        return self.folder / f"{self.name}.json"

    @property
    def key(self) -> str:
        """What tells a finished run from another one in the same folder."""
        time, scaling = self.record.time, self.prepared.normalizer
        told = [
            self.prepared.config.model_dump(mode="json"),
            [time.labels[0], time.labels[-1], len(time), self.test, self.lead],
            [asdict(channel) for channel in self.prepared.cube.channels],
            [scaling.mean.tolist(), scaling.std.tolist()],  # other data of the same shape
            {
                name: hashlib.sha256("\n".join(truth).encode()).hexdigest()
                for name, truth in self.labels.items()
            },
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Result:
    """A finished run: numbers by name, in the order they are shown."""

    encoder: str
    seed: int
    numbers: dict[str, float | None]


def finished(job: Job) -> Result | None:
    """Return the result of a finished run with the same settings; None if there is none."""
    try:
        kept = json.loads(job.result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("key") != job.key or not job.checkpoint.exists():
        return None
    return Result(kept["encoder"], kept["seed"], kept["numbers"])


def run(job: Job, device: torch.device) -> Iterator[Report | Result]:
    """Train, score, and keep the result; a training that was stopped is resumed.

    Yields:
        The reports of the training, and at last the result.
    """
    memory = PeakMemory(device)
    training = Training(job.prepared, job.checkpoint, device)
    _take_up(training, job)
    pace = _Pace(job.prepared)
    for report in training.run():
        pace.add(report)
        yield report
    config, peak = job.prepared.config, memory.mebibytes
    numbers: dict[str, float | None] = {
        "hidden": None if config.encoder.encoder == EOF else config.encoder.hidden,
        "parameters": count_parameters(config, job.prepared.cube),
        "MFLOPs/step": flops_per_step(config, job.prepared.cube) / 1e6,
        "updates": training.updates_saved,
        "training steps/s": pace.steps_per_second,
        "peak MiB": peak,
        "validation loss": training.best_validation_loss,
    }
    numbers |= _scores(job, device)
    numbers = {
        name: value if value is None or math.isfinite(value) else None for name, value in numbers.items()
    }
    result = Result(config.encoder.encoder, config.fit.seed, numbers)
    kept = {"key": job.key, **asdict(result), "config": config.model_dump(mode="json")}
    with atomic_output(job.result, overwrite=True) as temporary:
        temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    last_path(job.checkpoint).unlink(missing_ok=True)
    yield result


def _take_up(training: Training, job: Job) -> None:
    """Resume a training that was stopped, if its last checkpoint belongs to it."""
    last = last_path(job.checkpoint)
    if last.exists():
        try:
            training.resume(read_checkpoint(last))
        except CheckpointError:
            last.unlink()


def _scores(job: Job, device: torch.device) -> dict[str, float]:
    checkpoint = read_checkpoint(job.checkpoint)
    record = match_cube(checkpoint, job.record)  # without channels that are constant in training
    if job.prepared.config.fit.task == "forecast":
        return score_forecasts(checkpoint, record, job.test, job.lead, device)
    training = job.prepared.split.training_steps + job.offset
    return score_embedding(checkpoint, record, training, job.test, job.labels, device)


class _Pace:
    """How many time steps of windows a training works through in a second."""

    def __init__(self, prepared: Prepared) -> None:
        config = prepared.config
        self._steps = config.tiling.window * (config.fit.batch or 1)
        self._last: float | None = None
        self._done, self._seconds = 0, 0.0

    def add(self, report: Report) -> None:
        """Count the time since the update before, without a check between."""
        now = perf_counter()
        if isinstance(report, UpdateReport) and self._last is not None:
            self._done, self._seconds = self._done + self._steps, self._seconds + now - self._last
        self._last = now if isinstance(report, UpdateReport) else None

    @property
    def steps_per_second(self) -> float | None:
        """Time steps per second; None where nothing was trained."""
        return self._done / self._seconds if self._done else None
