"""``faconv forecast``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import (
    Device,
    FilesAndOutput,
    Overwrite,
    Threads,
    TrainedVariables,
    command_line,
    data_and_output,
    split_list,
    tell,
)
from faconv_cli.commands.settings import REPLAYED, Given, options_of
from faconv_cli.config import DataConfig

if TYPE_CHECKING:
    from faconv_cli.cube.time.timeaxis import TimeAxis
    from faconv_cli.forecast.run import ForecastRun
    from faconv_cli.forecast.verify import Scores, Verification


@options_of(DataConfig, only=REPLAYED)
def command(
    files: FilesAndOutput,
    checkpoint: Annotated[
        Path,
        typer.Option(
            "--checkpoint", "-c", help="Checkpoint of faconv train --task forecast.", readable=False
        ),
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Where forecasts start: a time such as 2009-12-31, or FIRST:LAST for every start in a "
            "range. Default: the last step of the record.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Time steps to forecast. Default: as many as training did."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Start at each N-th step of the range.")] = 1,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Score forecasts against the record: RMSE and anomaly correlation by lead, beside "
            "persistence and climatology.",
        ),
    ] = False,
    variables: TrainedVariables = None,
    *,
    given: Given,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Starts at a time. Default: up to 8, fewer on large grids to bound memory."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Forecast the steps after a time, in physical units.

    Example: faconv forecast --checkpoint sst.pt sst.nc sst_forecast.nc --from 2019 --steps 6 --verify
    """
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.cube.open.paths import expand, local_files
    from faconv_cli.device import choose_device, set_threads
    from faconv_cli.files import check_output
    from faconv_cli.forecast.run import ForecastRun
    from faconv_cli.forecast.write import write_forecasts
    from faconv_cli.match import open_matching

    data, output = data_and_output(files)
    check_output(output, overwrite=overwrite, inputs=[*local_files(expand(data)[0]), checkpoint])
    trained = read_checkpoint(checkpoint)
    chosen = choose_device(device)
    console.note(f"computing on {chosen} with {set_threads(threads)} CPU threads")
    cube = open_matching(trained, data, variables=split_list(variables), **given)
    tell(cube)
    ahead = steps or max(trained.config.tiling.window - trained.config.teacher_forced, 1)
    run = ForecastRun(trained, cube, ahead, chosen, batch=batch, truth=verify)
    asked = _asked(cube.time, start)
    starts = run.starts(*asked, every)
    console.note(f"{len(starts)} starts from {cube.time.labels[starts[0]]} to {cube.time.labels[starts[-1]]}")
    verification = _verification(run) if verify else None
    parts = write_forecasts(
        run, output, starts, command_line(), verification=verification, overwrite=overwrite
    )
    with console.progress("forecasting", len(starts)) as line:
        for part in parts:
            line.advance(count=len(part.starts))
    for text in cube.masked:
        console.note(text)
    console.result(f"{output}: {len(starts)} forecasts of {ahead} steps of {cube.time.step}")
    if verification:
        _show(run, verification.scores())


def _asked(time: TimeAxis, start: str | None) -> tuple[int, int]:
    """Return the steps [begin, end) that forecasts are asked from."""
    if start is None:
        return len(time) - 1, len(time)
    one = re.fullmatch(r"[\d-]+([T ]\d{1,2}(:\d{2}(:\d{2})?)?)?", start)
    return time.indices_of(f"{start}:{start}" if one else start)


def _verification(run: ForecastRun) -> Verification:
    from faconv_cli.forecast.verify import Verification

    normalizer = run.checkpoint.normalizer
    return Verification(run.cube.grid.area, normalizer.std, normalizer.mean / normalizer.std)


def _show(run: ForecastRun, scores: Scores) -> None:
    """Print the scores of each channel by lead."""
    from faconv_cli.forecast.verify import METHODS

    columns = ("lead", *(f"RMSE {name}" for name in METHODS), "ACC forecast", "ACC persistence", "forecasts")
    for number, channel in enumerate(run.cube.channels):
        rows = [
            (
                f"{lead + 1}",
                *(f"{scores.rmse[name][number, lead]:.4g}" for name in METHODS),
                *(f"{scores.acc[name][number, lead]:.3f}" for name in METHODS[:2]),
                f"{scores.count[number, lead]}",
            )
            for lead in range(run.steps)
        ]
        units = f" in {channel.units}" if channel.units else ""
        title = f"{channel.name}{units}, leads in steps of {run.cube.time.step}"
        console.table(title, columns, rows)
