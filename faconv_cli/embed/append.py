"""What an embedding file holds already, and whether more can be added to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.encode import encode_stamps, encode_time
from faconv_cli.cube.lazy import first_line
from faconv_cli.cube.timeaxis import UNDATED
from faconv_cli.embed.netcdf import Layout
from faconv_cli.errors import FaconvError, OutputError
from faconv_cli.guard import reading


def rows_done(path: Path, checkpoint: Checkpoint, cube: Cube, start: int) -> int:
    """Count the rows of a file, after checking that they are the first steps of ``cube`` from ``start``.

    Raises:
        OutputError: another checkpoint or other times.
    """
    with _open(path) as file:
        sha256 = file.attrs.get(schema.CHECKPOINT_SHA256)
        if schema.EMBEDDING not in file or sha256 != checkpoint.sha256:
            raise OutputError(
                f"{path} was not written by this checkpoint",
                wanted="--append goes on with the checkpoint that began the file",
                do="name that checkpoint, or choose another output",
            )
        rows = int(file.sizes[schema.TIME])
        encoding = file[schema.TIME].encoding
        units, calendar = encoding.get("units", "1"), encoding.get("calendar", UNDATED)
        written = encode_time(cube.time.slice(start, start + rows), units)
        kept = encode_stamps(file[schema.TIME].variable, units, calendar)
    if len(written) < rows or not np.allclose(written, kept, rtol=0, atol=1e-6):
        raise OutputError(
            f"the {rows} time steps in {path} are not the first ones of the data",
            wanted="--append needs the whole record, old steps included, to warm the state up",
            do="give all files of the record, or choose another output",
        )
    return rows


def layout_of(path: Path) -> Layout:
    """Read the layout of a file, to go on with it."""
    with _open(path) as file:
        queries, tiles = (
            tuple(zip(file[f"{kind}_lat"].values.tolist(), file[f"{kind}_lon"].values.tolist(), strict=True))
            if f"{kind}_lat" in file
            else ()
            for kind in (schema.QUERY, schema.TILE)
        )
        lags = tuple(file[schema.LAG].values.tolist()) if schema.LAG in file else ()
        return Layout(schema.ATTENTION in file, lags, queries, tiles)


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
