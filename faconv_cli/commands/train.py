"""``faconv train``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import RUN, DataFiles, Device, Overwrite, Threads, tell
from faconv_cli.commands.settings import Given, options_of
from faconv_cli.config import DataConfig, EncoderConfig, FitConfig, RunConfig, TilingConfig
from faconv_cli.errors import InterruptedRunError, Stopped, UsageError

if TYPE_CHECKING:
    from faconv_cli.cube.cube import Cube
    from faconv_cli.fit.loop import CheckReport, Training
    from faconv_cli.fit.prepare import Prepared


@options_of(DataConfig, TilingConfig, EncoderConfig, FitConfig)
def command(
    data: DataFiles,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Checkpoint. Default: DATA.pt beside the first DATA."),
    ] = None,
    *,
    given: Given,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of these settings; options given here override it.", rich_help_panel=RUN
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan and stop before anything is read.", rich_help_panel=RUN
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the training whose last checkpoint lies there.", rich_help_panel=RUN
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an encoder on a record and write its checkpoint.

    Example: faconv train sst.nc -o sst.pt --anomaly monthly

    The best checkpoint goes to the output, the last one to NAME.last.pt and a line of metrics per check to
    NAME.metrics.jsonl beside it.
    """
    from faconv_cli.cube.open.paths import beside
    from faconv_cli.files import check_no_folder, last_path

    settings = RunConfig.build(config, given)
    path = output or beside(data[0], ".pt")
    if resume and overwrite:
        raise UsageError(
            "--resume was given with --overwrite",
            wanted="a training either continues or starts anew",
            do="drop one of them",
        )
    check_no_folder(path)
    written = (path, last_path(path), path.with_suffix(METRICS))
    _check_outputs(
        written, data, settings.data, settings.fit.target, overwrite=overwrite or resume or dry_run
    )
    if dry_run:
        if not resume and not overwrite:
            _tell_existing(written)
        _show_plan(data, settings, device, last_path(path) if resume else None)
        return
    training = _start(data, settings, path, device, threads, resume=resume)
    try:
        _follow(training, path, resume=resume)
    except Stopped:
        if not training.saved:
            raise
        raise InterruptedRunError(
            f"the training was stopped after {training.updates_saved} updates",
            wanted=f"the best checkpoint so far is {path}",
            do="run the same command with --resume to continue",
        ) from None


METRICS = ".metrics.jsonl"
_WARM_UP, _TIMED = 3, 5


def _check_outputs(
    paths: Sequence[Path],
    data: list[str],
    settings: DataConfig,
    targets: Sequence[str],
    *,
    overwrite: bool,
) -> None:
    from faconv_cli.cube.open.paths import expand, local_files
    from faconv_cli.cube.shape.fixed import file_of
    from faconv_cli.files import check_output

    fixed = [file_of(text) for text in (settings.mask, *settings.static, *targets) if text]
    inputs = local_files([*expand(data)[0], *fixed])
    for path in paths:
        check_output(path, overwrite=overwrite, inputs=inputs)


def _tell_existing(paths: Sequence[Path]) -> None:
    existing = [str(path) for path in paths if path.exists()]
    if existing:
        console.note(f"already exists: {', '.join(existing)}; training would need --overwrite")


def _show_plan(data: list[str], settings: RunConfig, device: str, resumed: Path | None) -> None:
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.device import choose_device
    from faconv_cli.fit.prepare import plan_training
    from faconv_cli.windows.resolve import plan_summary

    if resumed:
        read_checkpoint(resumed)
    choose_device(device)
    cube = _open(data, settings)
    plan = plan_training(cube, settings)
    for text in (*plan.notes, *_targets_told(cube, plan.config)):
        console.note(text)
    console.note("no values have been read: training drops or refuses channels that are constant or missing")
    console.table("plan", ("", "value"), plan_summary(cube, plan.config).items())


def _targets_told(cube: Cube, config: RunConfig) -> list[str]:
    """Report how many steps of the record each target has, without reading its values."""
    from faconv_cli.cube.target import open_target, steps_of_target

    told = []
    for text, lead in zip(config.fit.target, config.target_leads, strict=True):
        rows = steps_of_target(cube.time, open_target(text, config.data), lead)
        told.append(f"Target {text} has {(rows >= 0).sum()} of {len(rows)} time steps.")
    return told


def _open(data: list[str], settings: RunConfig) -> Cube:
    from faconv_cli.cube.pipeline import open_record

    cube = open_record(data, settings.data)
    tell(cube)
    return cube


def _start(
    data: list[str],
    settings: RunConfig,
    path: Path,
    device: str,
    threads: int | None,
    *,
    resume: bool,
) -> Training:
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.cube.size import estimate
    from faconv_cli.device import choose_device, set_threads
    from faconv_cli.files import last_path
    from faconv_cli.fit.loop import Training
    from faconv_cli.fit.prepare import prepare

    checkpoint = read_checkpoint(last_path(path)) if resume else None
    chosen = choose_device(device)
    console.note(f"computing on {chosen} with {set_threads(threads)} CPU threads")
    cube = _open(data, settings)
    console.note(f"reading {estimate(cube)}")
    cube = cube.cached()
    prepared = prepare(cube, settings)
    _tell(prepared, cube)
    training = Training(prepared, path, chosen)
    for text in training.notes:
        console.note(text)
    if checkpoint:
        training.resume(checkpoint)
    return training


def _tell(prepared: Prepared, cube: Cube) -> None:
    from faconv_cli.cube.cycles import told

    for text in (*prepared.cube.notes[len(cube.notes) :], *prepared.cube.masked):
        console.note(text)
    config, split = prepared.config, prepared.split
    console.note(
        f"subtracted: {told(prepared.climatology.kind)}{' and the trend' if config.data.detrend else ''}; "
        f"training on {len(split.training_steps)} steps, validation on {split.validation_count}; "
        f"patch {config.encoder.patch}, windows of {config.tiling.window} every {config.tiling.stride}, "
        f"{config.fit.batch} at a time"
    )


def _follow(training: Training, path: Path, *, resume: bool) -> None:
    from faconv_cli.files import log_file
    from faconv_cli.fit.loop import UpdateReport

    pace = _Pace(training)
    with (
        log_file(path.with_suffix(METRICS), append=resume) as keep,
        console.progress("training update", training.updates_left) as line,
    ):
        for report in training.run():
            if isinstance(report, UpdateReport):
                pace.tell()
                line.advance(f"loss {report.loss:.4f}", loss=report.loss)
            else:
                keep(json.dumps(asdict(report)))
                _tell_check(report, training.start)
    if training.refits:
        console.note(
            "climatology, EOFs and modes were fitted again to all steps, including held-out ones "
            "(--no-refit skips this)"
        )
    console.result(f"{path}: {_told(training)}")


class _Pace:
    """Says after a few updates how long the training will take."""

    def __init__(self, training: Training) -> None:
        self._training, self._done, self._started = training, 0, 0.0

    def tell(self) -> None:
        """Count an update."""
        self._done += 1
        if self._done == _WARM_UP:  # the first ones load kernels and fill caches
            self._started = time.monotonic()
        elif self._done == _WARM_UP + _TIMED:
            left = self._training.updates_left
            seconds = (time.monotonic() - self._started) / _TIMED * left
            console.note(f"{left} updates to go, about {_duration(seconds)}")


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} seconds"


def _told(training: Training) -> str:
    if not training.planned_updates:
        return f"{training.start}; nothing was trained"
    if training.best_validation_loss is None:
        return f"the last of {training.updates_saved} updates; there is no validation error to choose by"
    if not training.best_update:
        return f"{training.start} it started from; {training.updates_saved} updates did not improve it"
    share = training.best_validation_loss / training.start_validation_loss
    best = f"update {training.best_update}, best of {training.updates_saved}"
    return f"{best}, with {share:.3f} of the validation error of {training.start}"


def _tell_check(report: CheckReport, start: str) -> None:
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in report.terms.items())
    name = f"update {report.update}" if report.update else f"start from {start}"
    console.note(f"{name}: {losses or 'no validation error'}{' (best so far)' if report.best else ''}")
