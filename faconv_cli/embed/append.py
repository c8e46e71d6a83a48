"""The contents of an embedding file, and whether rows can be appended to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.cube import HELD_BYTES
from faconv_cli.cube.encode import encode_stamps
from faconv_cli.cube.time.calendars import alike, canonical
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.embed.netcdf import Layout
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import FaconvError, OutputError, first_line
from faconv_cli.guard import reading
from faconv_cli.windows.fingerprint import LATEST, SAMPLE, first_change, rounding

Check = Literal["auto", "all", "none"]
BLOCK_BYTES = 2**26  # of float32, read at once to compare


def rows_done(path: Path, embedder: Embedder, start: int) -> int:
    """Count the rows of a file, after checking that they are of the first steps of the data from ``start``.

    Raises:
        OutputError: another checkpoint, calendar or times.
    """
    with _open(path) as file:
        sha256 = file.attrs.get(schema.CHECKPOINT_SHA256)
        if schema.EMBEDDING not in file or sha256 != embedder.checkpoint.sha256:
            raise OutputError(
                f"{path} was not written by this checkpoint",
                wanted="--append needs the checkpoint that the file was begun with",
                do="give that checkpoint, or choose another output",
            )
        _check_times(path, file[schema.TIME], embedder.cube.time, start)
        return int(file.sizes[schema.TIME])


def compare_input(path: Path, embedder: Embedder, start: int, check: Check) -> str:
    """Compare the data with those that the rows of a file were made from; report what was not compared.

    Args:
        path: the file.
        embedder: checkpoint and data to continue with.
        start: step of the first row.
        check: how many of the old steps are compared.

    Raises:
        OutputError: they differ; the message names the first step.
    """
    if check == "none":
        return f"The data behind the rows of {path} were not compared with the earlier ones (--check none)."
    with _open(path) as file:
        kept = file[schema.FINGERPRINT].values if schema.FINGERPRINT in file else None
    if kept is None:
        return f"{path} has no fingerprints of its input, so changes of old data cannot be detected."
    cube = embedder.cube
    whole = check == "all" or cube.nbytes <= HELD_BYTES
    at_once = max(1, BLOCK_BYTES * len(cube.time) // max(cube.nbytes, 1))

    def read(first: int, last: int) -> np.ndarray:
        return embedder.fingerprints(start + first, start + last)

    rounded = rounding(kept, read)
    changed = first_change(kept, read, whole=whole, at_once=at_once, rounded=rounded)
    if changed is not None:
        raise OutputError(
            f"the data of {cube.time.labels[start + changed]} are not those that {path} was made from",
            wanted="--append keeps old rows, so the data behind them must not have changed",
            do="embed all steps again with --overwrite, or keep the old rows with --check none",
        )
    told = (
        f"The data differ from those that {path} was made from only by rounding, by about "
        f"{rounded:.1g} of a standard deviation."
        if rounded
        else ""
    )
    if whole:
        return told
    return (
        f"{told} {min(SAMPLE + LATEST, len(kept))} of the {len(kept)} old steps were compared with the data "
        f"that {path} was made from; --check all compares all."
    ).strip()


def _check_times(path: Path, stamps: xr.DataArray, time: TimeAxis, start: int) -> None:
    rows = len(stamps)
    units, calendar = stamps.encoding.get("units", "1"), stamps.encoding.get("calendar", UNDATED)
    if not alike({canonical(calendar), time.calendar}, np.floor(time.years[0])):
        raise OutputError(
            f"{path} is in calendar {calendar}, but the data are in {time.calendar}",
            wanted="a file keeps one calendar, or the dates of its rows would shift",
            do="give data in the calendar of the file, or choose another output",
        )
    own = time.slice(start, start + rows)
    ours = encode_stamps(own.to_variable().variable, units, calendar)
    theirs = encode_stamps(stamps.variable, units, calendar)
    common = min(len(ours), rows)
    other = np.flatnonzero(~np.isclose(ours[:common], theirs[:common], rtol=0, atol=1e-6))
    if len(ours) == rows and not len(other):
        return
    there = TimeAxis.from_values(stamps.values, calendar).labels if rows > 1 else [str(stamps.values[0])]
    at = int(other[0]) if len(other) else common
    found = f"step {at + 1} is {own.labels[at]}" if at < len(own) else f"they end after {len(own)} steps"
    raise OutputError(
        f"the {rows} time steps in {path} are not the first ones of the data: {found}, in the file "
        f"{there[at]}",
        wanted="--append needs the whole record, including old steps, to warm up the state",
        do="give all files of the record, or choose another output",
    )


def layout_of(path: Path) -> Layout:
    """Read the layout of a file, to append to it.

    Raises:
        OutputError: modes were removed or reordered.
    """
    with _open(path) as file:
        modes = file[schema.MODE].values.tolist()
        if modes != list(range(1, len(modes) + 1)):
            raise OutputError(
                f"{path} holds the modes {', '.join(map(str, modes))}",
                wanted="--append adds rows of the first modes, in order",
                do="append to the file as faconv embed wrote it",
            )
        queries, tiles = (
            tuple(zip(file[f"{kind}_lat"].values.tolist(), file[f"{kind}_lon"].values.tolist(), strict=True))
            if f"{kind}_lat" in file
            else ()
            for kind in (schema.QUERY, schema.TILE)
        )
        lags = tuple(file[schema.LAG].values.tolist()) if schema.LAG in file else ()
        return Layout(schema.ATTENTION in file, lags, queries, tiles, file.sizes[schema.MODE])


@contextmanager
def _open(path: Path) -> Iterator[xr.Dataset]:
    try:
        with reading(path), xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as file:
            yield file
    except FaconvError:
        raise
    except Exception as error:  # whatever the libraries meet in a damaged file
        raise OutputError(
            f"{path}: {first_line(error)}",
            wanted="--append needs an embedding file",
            do="choose another output",
        ) from None
