"""``faconv prepare``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import (
    RUN,
    Overwrite,
    command_line,
    data_and_output,
    tell,
)
from faconv_cli.commands.settings import Given, options_of
from faconv_cli.config import DataConfig, RunConfig
from faconv_cli.errors import InterruptedRunError, Stopped


@options_of(DataConfig, without=("static", "anomaly"))
def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA... OUT.zarr",
            help="NetCDF, GRIB or Zarr of one record: files, folders, globs, URLs; then the store.",
            show_default=False,
        ),
    ],
    *,
    given: Given,
    anomaly: Annotated[
        str,
        typer.Option(
            help="Cycles of the training period to take off: none, monthly, daily, diurnal, "
            "seasonal-diurnal, hourly or auto, as in train."
        ),
    ] = "none",
    memory: Annotated[
        float, typer.Option(min=0.01, metavar="GIB", help="GiB of memory to work in.", rich_help_panel=RUN)
    ] = 1.0,
    overwrite: Overwrite = False,
) -> None:
    """Store a record anew for repeated training: in chunks that windows are read fast from, as float32.

    Example: faconv prepare sst.nc sst.zarr

    A run that was stopped goes on where it was when the same command is given again. With --anomaly the
    seasonal cycle is taken off once; it is fitted to the steps that train would not hold out
    (--validation), and train takes nothing more off.
    """
    settings = RunConfig.build(None, {**given, "anomaly": anomaly}).data
    data, output = data_and_output(files)
    stored = _prepare(data, output, settings, round(memory * 2**30), overwrite=overwrite)
    console.result(f"{output}: {stored}")


def _prepare(
    data: list[str], output: Path, settings: DataConfig, memory_bytes: int, *, overwrite: bool
) -> str:
    from faconv_cli.cube.cycles import diurnal_left
    from faconv_cli.cube.open.paths import expand, local_files
    from faconv_cli.cube.open.urls import need
    from faconv_cli.cube.pipeline import open_record
    from faconv_cli.cube.size import estimate, notes
    from faconv_cli.fit.prepare import training_anomalies
    from faconv_cli.prepare.store import Anomalies, check_store, write_store

    need("zarr", str(output), "Zarr stores")
    check_store(output, overwrite=overwrite, inputs=local_files(expand(data)[0]))
    cube = open_record(data, settings)
    cube = replace(cube, notes=tuple(note for note in cube.notes if note not in notes(cube)))  # here they go
    cube.time.need_one_pass()
    tell(cube)
    console.note(f"preparing {estimate(cube)}")
    kind, training = training_anomalies(cube.time, settings)
    for text in diurnal_left(kind, cube) if kind != "none" else []:
        cube = cube.noted(text)
        console.note(text)
    anomalies = Anomalies(kind, settings.detrend, training)
    pieces = write_store(
        cube,
        output,
        settings,
        anomalies,
        command=command_line(),
        memory_bytes=memory_bytes,
        overwrite=overwrite,
    )
    done, total = next(pieces)
    if done:
        console.note(f"continuing after {done} of {total} pieces that an earlier run finished")
    try:
        with console.progress("piece", total - done) as line:
            for finished, _ in pieces:
                done = finished
                line.advance()
    except Stopped:
        raise InterruptedRunError(
            f"stopped after {done} of {total} pieces",
            wanted=f"finished pieces are kept beside {output}",
            do="run the same command again to continue",
        ) from None
    for text in cube.masked:
        console.note(text)
    t, c, h, w = cube.shape
    return f"{t} steps of {c} channels on {h} x {w} points"
