"""``faconv embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from faconv_cli import console, schema
from faconv_cli.commands.options import (
    Device,
    FilesAndOutput,
    Modes,
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
from faconv_cli.errors import UsageError

if TYPE_CHECKING:
    from faconv_cli.cube.cube import Cube


@options_of(DataConfig, only=REPLAYED)
def command(
    files: FilesAndOutput,
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", "-c", help="Checkpoint of faconv train.", readable=False)
    ],
    variables: TrainedVariables = None,
    time_range: Annotated[
        str | None,
        typer.Option(
            help="FIRST:LAST rows to write, such as 2001:2003-06; steps before still warm the state up."
        ),
    ] = None,
    *,
    given: Given,
    modes: Modes = None,
    attention: Annotated[bool, typer.Option(help="Write attention maps and weights.")] = True,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="LAT,LON", help="Point whose teleconnection maps are wanted; repeatable."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Windows at a time. Default: up to 8, fewer on large grids to bound memory."
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the steps that the record has grown by.")
    ] = False,
    check: Annotated[
        Literal["auto", "all", "none"] | None,
        typer.Option(
            help="With --append, old steps whose data are compared with those the rows were made from: all; "
            "auto, the default, all of up to 512 MiB and else 320 of them; none, where they are replaced on "
            "purpose."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the embedding of every time step of a record, with attention maps.

    Example: faconv embed --checkpoint sst.pt sst.nc sst_embedding.nc
    """
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.cube.open.paths import expand, local_files
    from faconv_cli.device import choose_device, set_threads
    from faconv_cli.embed.append import layout_of
    from faconv_cli.embed.run import Embedder
    from faconv_cli.embed.write import write_embedding
    from faconv_cli.files import check_output
    from faconv_cli.match import open_matching

    data, output = data_and_output(files)
    if query and not attention:
        raise UsageError(
            "--query was given with --no-attention",
            wanted="teleconnection maps are attention maps",
            do="drop one of them",
        )
    if append and overwrite:
        raise UsageError(
            "--append was given with --overwrite",
            wanted="a file is either extended or replaced",
            do="drop one of them",
        )
    if check and not append:
        raise UsageError(
            "--check was given without --append", wanted="it checks rows that exist", do="drop it"
        )
    inputs = [*local_files(expand(data)[0]), checkpoint]
    check_output(output, overwrite=overwrite or append, inputs=inputs)
    trained = read_checkpoint(checkpoint)
    chosen = choose_device(device)
    console.note(f"computing on {chosen} with {set_threads(threads)} CPU threads")
    cube = open_matching(trained, data, variables=split_list(variables), **given)
    tell(cube)
    rows = cube.time.indices_of(time_range) if time_range else (0, len(cube.time))
    embedder = Embedder(trained, cube, chosen, batch=batch, attention=attention, queries=_points(cube, query))
    for text in embedder.notes:
        console.note(text)
    parts = write_embedding(
        embedder,
        output,
        rows,
        command_line(),
        modes=modes,
        append=append,
        check=check or "auto",
        tell=console.note,
        overwrite=overwrite,
    )
    written = missing = cold = 0
    with console.progress("embedding", rows[1] - rows[0]) as line:
        for part in parts:
            line.advance(count=len(part.flag))
            written += len(part.flag)
            missing += int((part.flag == schema.MISSING_INPUT).sum())
            cold += int((part.flag == schema.COLD_START).sum())
    for text in cube.masked:
        console.note(text)
    if missing:
        console.note(f"{missing} time steps have too few valid values: they hold fill values and a flag")
    if 2 * cold > written:
        burn_in = trained.config.tiling.burn_in
        console.note(
            f"{cold} of {written} time steps are within the warm-up: fewer steps than the burn-in of "
            f"{burn_in} precede them without a gap; they are flagged"
        )
    console.result(f"{output}: {written} time steps of {layout_of(output).modes} numbers")


def _points(cube: Cube, queries: list[str] | None) -> list[tuple[int, int]]:
    """Turn ``LAT,LON`` texts into points of the grid."""
    points = []
    for text in queries or ():
        try:
            lat, lon = map(float, text.split(","))
        except ValueError:
            raise UsageError(
                f"--query {text} is not a place",
                wanted="it takes a latitude and a longitude",
                do="write it as in --query 0,-140",
            ) from None
        points.append(cube.grid.nearest(lat, lon))
    return points
