"""From settings to the runs of a comparison: same data, same split, equal budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faconv_cli.compare.budget import count_parameters, spend_parameters
from faconv_cli.compare.run import Job
from faconv_cli.compare.scores import Steps
from faconv_cli.config import EOF, RunConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.errors import InputError, UsageError
from faconv_cli.fit.prepare import Prepared, prepare


@dataclass(frozen=True, eq=False)
class Data:
    """A record, and the part of it that training may see.

    Attributes:
        record: all steps.
        training: first and last step (exclusive) for training and validation.
        test: steps to score on; None for the validation period.
        labels: truth (t,) for the steps of the record, by name.
    """

    record: Cube
    training: Steps
    test: Steps | None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


def encoder_config(toml: Path | None, given: Mapping[str, Any], encoder: str) -> RunConfig:
    """Build the settings of one encoder; EOFs to embed are plain ones, whatever the window of the others."""
    if encoder == EOF and given.get("task") == "embed":
        given = {name: value for name, value in given.items() if name not in ("window", "burn_in", "stride")}
    return RunConfig.build(toml, {**given, "encoder": encoder})


def prepare_all(
    data: Data, configs: Sequence[RunConfig], *, equal_parameters: bool, parameters: int | None
) -> list[Prepared]:
    """Prepare the data for each encoder, with equal numbers of parameters if asked for.

    Args:
        data: what to train on.
        configs: settings of each encoder.
        equal_parameters: choose the hidden channels for it.
        parameters: how many; None for those of the first encoder that has some.

    Raises:
        UsageError: no encoder has parameters to count; settings that do not suit the data.
        InputError: data that do not suit the settings.
    """
    cube = data.record.slice(*data.training).cached()
    prepared = [prepare(cube, config) for config in configs]
    if data.test is None:  # the validation period is scored on: nothing may be fitted to it
        prepared = [one.with_fit(refit=False) for one in prepared]
    if not equal_parameters:
        return prepared
    counts = [count_parameters(one.config, one.cube) for one in prepared]
    target = parameters or next((count for count in counts if count), 0)
    return [one.with_config(spend_parameters(one.config, target, one.cube)) for one in prepared]


def plan_jobs(data: Data, prepared: Sequence[Prepared], seeds: int, lead: int, folder: Path) -> list[Job]:
    """List the runs, all encoders of one seed before those of the next.

    Raises:
        UsageError: there is nothing to score on, or training has seen it.
        InputError: labels that cannot be learned from the training steps, or scored on the others.
    """
    test = data.test or _validation(prepared[0], data.training[0])
    seen = {int(step) + data.training[0] for one in prepared for step in one.split.training_steps}
    if seen & set(range(*test)):
        raise UsageError(
            f"the test period begins on {data.record.time.labels[test[0]]}, within the training period",
            wanted="scores are computed on steps that training has not seen",
            do="leave it out of training with --time-range or --validation",
        )
    _check_labels(data.labels, seen, test)
    return [
        Job(one.with_fit(seed=seed), data.record, data.training[0], test, data.labels, lead, folder)
        for seed in range(seeds)
        for one in prepared
    ]


def _check_labels(labels: Mapping[str, np.ndarray], training: set[int], test: Steps) -> None:
    for name, truth in labels.items():
        classes, held = len({*truth[sorted(training)]} - {""}), int((truth[slice(*test)] != "").sum())
        if classes < 2 or not held:
            raise InputError(
                f"labels {name} have {classes} classes in training and {held} rows in the test period",
                wanted="a probe needs two classes to learn and rows to be scored on",
                do="choose other periods, or leave that column out of the table",
            )


def _validation(prepared: Prepared, offset: int) -> Steps:
    begin, end = prepared.split.validation[0]
    if begin == end:
        raise UsageError(
            "no steps are held out", wanted="scores need steps that training has not seen", do="pass --test"
        )
    return begin + offset, end + offset
