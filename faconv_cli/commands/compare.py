"""``faconv compare``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from faconv_cli import console
from faconv_cli.commands.options import DataFiles, Device, Threads, split_list, tell
from faconv_cli.commands.settings import setting
from faconv_cli.config import DataConfig, FitConfig
from faconv_cli.errors import InterruptedRunError, OutputError, Stopped, UsageError

if TYPE_CHECKING:
    import torch

    from faconv_cli.compare.plan import Data
    from faconv_cli.compare.run import Job, Result

Budget = Literal["parameters", "time"]


def command(
    data: DataFiles,
    encoders: Annotated[
        str, typer.Option(help="Encoders, with commas; the first one's parameters are the budget.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of results. Default: DATA.compare beside the first file."
        ),
    ] = None,
    task: Annotated[str, setting(FitConfig, "task")] = "embed",
    budget: Annotated[
        Budget,
        typer.Option(
            help="What is equal: parameters (hidden channels and bottleneck are chosen for it), or time "
            "(each trains as many updates as fit)."
        ),
    ] = "parameters",
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Parameters to spend. Default: those of the first encoder.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Training time of each run, with --budget time.")
    ] = 5.0,
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each encoder, with the seeds 0, 1, ...")
    ] = 5,
    time_range: Annotated[str | None, setting(DataConfig, "time_range")] = None,
    validation: Annotated[str | None, setting(DataConfig, "validation")] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="FIRST:LAST steps that scores are taken on, which training must not see. Default: the "
            "validation period, which has chosen the update."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV table of dates and labels, to score embeddings against.", readable=False),
    ] = None,
    lead: Annotated[int, typer.Option(min=1, help="Steps that forecasts are scored over.")] = 7,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of faconv train; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings; options given here override it.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train several encoders at an equal budget and show what they cost and are worth.

    Example: faconv compare slp.nc --encoders faconvlstm,convlstm,eof --seeds 3 --labels types.csv

    A run that is finished is not repeated, and one that was stopped is gone on with: repeat the command.
    """
    from faconv_cli.compare.budget import spend_time
    from faconv_cli.compare.plan import encoder_config, plan_jobs, prepare_all
    from faconv_cli.compare.table import write_tables
    from faconv_cli.cube.open.paths import beside
    from faconv_cli.device import choose_device, set_threads

    names = split_list([encoders]) or ()
    if not names or len(set(names)) < len(names):
        raise UsageError(
            f"--encoders {encoders} names an encoder twice or none",
            wanted="it takes different names, separated by commas",
            do="correct --encoders",
        )
    given = {"task": task, "validation": validation, **_settings(settings)}
    configs = [encoder_config(config, given, name) for name in names]
    chosen = choose_device(device)
    with _folder(output or beside(data[0], ".compare")) as folder:
        console.note(f"computing on {chosen} with {set_threads(threads)} CPU threads")
        opened = _open(data, configs[0].data, time_range, test, labels)
        prepared = prepare_all(
            opened, configs, equal_parameters=budget == "parameters", parameters=parameters
        )
        for name, one in zip(names, prepared, strict=True):
            for text in one.cube.notes[len(opened.record.notes) :]:
                console.note(f"{name}: {text}")
        if budget == "time":
            prepared = [spend_time(one, 60 * minutes, chosen) for one in prepared]
        jobs = plan_jobs(opened, prepared, seeds, lead, folder)
        try:
            results = [_run(job, number, len(jobs), chosen) for number, job in enumerate(jobs, start=1)]
        except Stopped:
            raise InterruptedRunError(
                "the comparison was stopped",
                wanted=f"finished runs are kept in {folder}",
                do="run the same command again to continue",
            ) from None
        written = write_tables(folder, results)
    _show(results)
    console.result(f"{' and '.join(map(str, written))}: {len(names)} encoders, {seeds} seeds")


def _settings(given: list[str] | None) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts: values as in TOML, or plain text."""
    settings: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"--set {text} has no value",
                wanted="it takes NAME=VALUE",
                do="write it as in --set window=12",
            )
        try:
            settings[name.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name.strip().replace("-", "_")] = value.strip()
    return settings


def _open(
    paths: list[str], settings: DataConfig, time_range: str | None, test: str | None, labels: Path | None
) -> Data:
    from faconv_cli.compare.labels import read_labels
    from faconv_cli.compare.plan import Data
    from faconv_cli.cube.pipeline import open_record

    record = open_record(paths, settings)
    tell(record)
    record.time.need_one_pass()
    time = record.time
    training = time.indices_of(time_range) if time_range else (0, len(time))
    tested = time.indices_of(test) if test else None
    return Data(record, training, tested, read_labels(labels, time) if labels else {})


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """Make the folder of results; it does not stay where nothing came into it."""
    from faconv_cli.compare.table import TABLES
    from faconv_cli.files import check_output

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror}", wanted="the results need a folder", do="choose another --output"
        ) from None
    try:
        for name in TABLES:
            check_output(path / name, overwrite=True)
        yield path
    except BaseException:
        with suppress(OSError):
            path.rmdir()
        raise


def _run(job: Job, number: int, count: int, device: torch.device) -> Result:
    from faconv_cli.compare.run import Result, finished, run
    from faconv_cli.fit.loop import UpdateReport

    if done := finished(job):
        console.note(f"{job.name} ({number} of {count}): finished before")
        return done
    console.note(f"{job.name} ({number} of {count})")
    with console.progress(f"{job.name} training step", None) as line:
        for report in run(job, device):
            if isinstance(report, Result):
                return report
            if isinstance(report, UpdateReport):
                line.advance(f"loss {report.loss:.4f}", loss=report.loss)
    raise AssertionError("a run ends with its result")


def _show(results: list[Result]) -> None:
    from faconv_cli.compare.table import shown

    columns, cells = shown(results)
    console.table("comparison", columns, cells)
