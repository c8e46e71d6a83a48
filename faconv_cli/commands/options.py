"""Options that commands share, besides those that come from the models of settings (see `settings`)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faconv_cli import console
from faconv_cli.errors import UsageError
from faconv_cli.files import without_credentials

if TYPE_CHECKING:
    from faconv_cli.cube.cube import Cube

RUN = "Run"  # the panel of what is of the machine and of the run, not of the result
MOST_TOLD = 10  # variables that are left out, in the log


DataFiles = Annotated[
    list[str],  # texts: a URL is no path
    typer.Argument(
        metavar="DATA...",
        help="NetCDF, GRIB or Zarr of one record: files, folders, globs, URLs.",
        show_default=False,
    ),
]
FilesAndOutput = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA... OUT.nc",
        help="NetCDF, GRIB or Zarr of one record: files, folders, globs, URLs; then the output.",
        show_default=False,
    ),
]
TrainedVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--variables",
        help="Variables to take; CHANNEL=NAME gives the file's NAME the checkpoint's CHANNEL. Default: those "
        "of the training.",
    ),
]
Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda or cuda:n; auto takes a GPU where there is one.", rich_help_panel=RUN),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads. Default: SLURM_CPUS_PER_TASK, else the cores this process may use.",
        rich_help_panel=RUN,
    ),
]
Modes = Annotated[
    int | None, typer.Option("--modes", min=1, help="Take the first so many modes. Default: all.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output where it exists.", rich_help_panel=RUN)
]


def split_list(values: Iterable[str] | None) -> tuple[str, ...] | None:
    """Split ``["a,b", "c"]`` into ("a", "b", "c"); nothing given stays None."""
    if not values:
        return None
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def split_numbers(values: Iterable[str] | None, option: str) -> tuple[float, ...] | None:
    """Split ``["850,500"]`` into numbers.

    Raises:
        UsageError: something that is not a number.
    """
    parts = split_list(values)
    try:
        return None if parts is None else tuple(float(part) for part in parts)
    except ValueError:
        raise UsageError(
            f"{option} {','.join(parts or ())} is not a list of numbers",
            wanted="it takes numbers separated by commas",
            do="correct the list",
        ) from None


def tell(cube: Cube) -> None:
    """Log what was chosen, merged, dropped or masked."""
    for text in cube.notes:
        console.note(text)
    left_out = [f"{name} ({why})" for name, why in (cube.left_out or {}).items()]
    if len(left_out) > MOST_TOLD:
        left_out[MOST_TOLD:] = [f"and {len(left_out) - MOST_TOLD} more (faconv inspect lists them)"]
    if left_out:
        console.note(f"Left out: {'; '.join(left_out)}.")


def data_and_output(files: list[str]) -> tuple[list[str], Path]:
    """Split ``DATA... OUT.nc``.

    Raises:
        UsageError: only one is given, or the last is a URL.
    """
    from faconv_cli.cube.open.paths import is_url

    *data, last = files
    if not data:
        raise UsageError(
            f"only {last} was given",
            wanted="this command takes data files and then the output",
            do="add the missing one",
        )
    if is_url(last):
        raise UsageError(f"{last} is a URL", wanted="the output is a local file", do="give its name last")
    return data, Path(last)


def command_line() -> str:
    """Return the command line as it was typed, for the history of an output; names are UTF-8 there."""
    typed = shlex.join(["faconv", *map(without_credentials, sys.argv[1:])])
    return typed.encode(errors="backslashreplace").decode()
