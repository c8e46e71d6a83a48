"""Options that commands share; help and defaults of settings come from their fields in `config`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from faconv_cli import console
from faconv_cli.config import DataConfig
from faconv_cli.errors import UsageError
from faconv_cli.files import without_credentials

if TYPE_CHECKING:
    from faconv_cli.cube.cube import Cube

MOST_TOLD = 10  # variables that are left out, in the log


def setting(section: type[BaseModel], name: str, *flags: str, **more: Any) -> Any:
    """Make the option of a setting: its help is the field's description, with its default."""
    field = section.model_fields[name]
    text = field.description or ""
    if field.default not in (None, ()) and "Default" not in text:
        shown = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        text += f" [default: {shown}]"
    flags = flags or (f"--{name.replace('_', '-')}",)
    return typer.Option(*flags, help=text, show_default=False, **more)


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
TimeDim = Annotated[str | None, setting(DataConfig, "time_dim")]
TimeIndex = Annotated[bool | None, setting(DataConfig, "time_index", "--time-index/--no-time-index")]
Member = Annotated[str | None, setting(DataConfig, "member")]
Step = Annotated[str | None, setting(DataConfig, "step")]
Stream = Annotated[str | None, setting(DataConfig, "stream")]
DataType = Annotated[str | None, setting(DataConfig, "data_type", metavar="TYPE")]
Deaccumulate = Annotated[bool | None, setting(DataConfig, "deaccumulate", "--deaccumulate/--no-deaccumulate")]
Engine = Annotated[str | None, setting(DataConfig, "engine")]
MissingValue = Annotated[list[str] | None, setting(DataConfig, "missing_value", metavar="NUMBERS")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n; auto takes a GPU where there is one.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPU threads. Default: SLURM_CPUS_PER_TASK, else the cores this process may use."
    ),
]
Modes = Annotated[
    int | None, typer.Option("--modes", min=1, help="Take the first so many modes. Default: all.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")]


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
            f"{option} {','.join(parts or ())}", wanted="numbers separated by commas", do="correct it"
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
            f"only {last} was given", wanted="data and then the output", do="add the missing one"
        )
    if is_url(last):
        raise UsageError(f"{last} is a URL", wanted="the output is a file here", do="name one, last")
    return data, Path(last)


def command_line() -> str:
    """Give the command line as it was typed, for the history of an output; names are UTF-8 there."""
    typed = shlex.join(["faconv", *map(without_credentials, sys.argv[1:])])
    return typed.encode(errors="backslashreplace").decode()
