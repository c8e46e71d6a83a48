"""Canonical coordinates in a file: the rows of an embedding, or the centroids of regimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.time.calendars import canonical
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.regimes.embedding import open_netcdf


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Rows of canonical coordinates.

    Attributes:
        z: (n, k) of the first k modes; 0 for a mode that the file has not, NaN in a row that is missing.
        modes: numbers of the modes that the file has, from 1.
        time: of the rows, in steps of the training; None for centroids.
        clusters: (n,) numbers of the regimes; None for an embedding.
        source: path of the file.
        history: the file's ``history`` attribute.
    """

    z: np.ndarray
    modes: tuple[int, ...]
    time: TimeAxis | None
    clusters: np.ndarray | None
    source: str
    history: str

    def first(self, modes: int) -> Coordinates:
        """Keep the first modes only.

        Raises:
            UsageError: the file has none of them.
        """
        kept = tuple(mode for mode in self.modes if mode <= modes)
        if not kept:
            raise UsageError(
                f"--modes {modes}, but {self.source} holds {told(self.modes)}",
                wanted="a field needs at least one mode",
                do="ask for more modes",
            )
        return Coordinates(self.z[:, :modes], kept, self.time, self.clusters, self.source, self.history)


def told(modes: tuple[int, ...]) -> str:
    """Return the numbers of modes in words: ``modes 1 to 4``, or each."""
    if modes == tuple(range(1, len(modes) + 1)):
        return f"modes 1 to {len(modes)}"
    return f"modes {', '.join(map(str, modes))}"


def read_coordinates(path: Path, checkpoint: Checkpoint) -> Coordinates:
    """Read ``embedding(time, mode)``, or ``centroid(cluster, mode)`` of a regime file.

    Raises:
        InputError: no such file, not NetCDF, or neither variable in it; modes the checkpoint has not.
        CheckpointError: the file was made with another checkpoint, or does not say with which.
    """
    with open_netcdf(path) as file:
        rows = _rows(path, file)
        _check_origin(path, file.attrs.get(schema.CHECKPOINT_SHA256), checkpoint)
        modes = _modes(path, rows, checkpoint.config.encoder.embedding)
        z = np.zeros((len(rows), max(modes)))
        z[:, [mode - 1 for mode in modes]] = rows.values
        z[~np.isfinite(z).all(axis=1)] = np.nan
        dated = rows.name == schema.EMBEDDING
        return Coordinates(
            z=z,
            modes=modes,
            time=_time(path, rows[schema.TIME], checkpoint.time_step) if dated else None,
            clusters=None if dated else _numbers(rows, schema.CLUSTER),
            source=str(path),
            history=str(file.attrs.get("history", "")),
        )


def _rows(path: Path, file: xr.Dataset) -> xr.DataArray:
    for name, dims in (
        (schema.EMBEDDING, (schema.TIME, schema.MODE)),
        (schema.CENTROID, (schema.CLUSTER, schema.MODE)),
    ):
        known = name == schema.CENTROID or schema.TIME in file.coords
        if known and name in file and set(file[name].dims) == {*dims} and file[name].size:
            return file[name].transpose(*dims)
    raise InputError(
        f"{path}: no variable {schema.EMBEDDING}({schema.TIME}, {schema.MODE}) with times, and no "
        f"{schema.CENTROID}({schema.CLUSTER}, {schema.MODE}) "
        f"(variables: {', '.join(map(str, file.data_vars)) or 'none'})",
        wanted="fields are made from what faconv embed or faconv cluster wrote",
        do="give such a file; if it was averaged or filtered, keep these names",
    )


def _check_origin(path: Path, sha256: object, checkpoint: Checkpoint) -> None:
    if sha256 == checkpoint.sha256:
        return
    if not sha256:
        raise CheckpointError(
            f"{path} does not say which checkpoint it was made with (no {schema.CHECKPOINT_SHA256})",
            wanted="with another checkpoint the fields would be meaningless",
            do="copy the global attributes of the embedding file to it",
        )
    raise CheckpointError(
        f"{path} was made with another checkpoint",
        wanted="only that checkpoint can turn its modes into fields",
        do="give it with -c",
    )


def _modes(path: Path, rows: xr.DataArray, known: int) -> tuple[int, ...]:
    numbers = _numbers(rows, schema.MODE).tolist()
    if len(set(numbers)) == len(numbers) and set(numbers) <= set(range(1, known + 1)):
        return tuple(map(int, numbers))
    raise InputError(
        f"{path} has the modes {', '.join(f'{number:g}' for number in numbers)}",
        wanted=f"the checkpoint has the modes 1 to {known}, each once",
        do=f"keep the coordinate {schema.MODE} as faconv wrote it",
    )


def _numbers(rows: xr.DataArray, dim: str) -> np.ndarray:
    """Coordinate of a dimension, or its places from 1 where it was lost."""
    return rows[dim].values if dim in rows.coords else np.arange(1, rows.sizes[dim] + 1, dtype=np.int32)


def _time(path: Path, stamps: xr.DataArray, step: str) -> TimeAxis:
    """Times as they are, even if few or in part: each a row of its own, in steps of the training."""
    values, calendar = stamps.values, canonical(stamps.encoding.get("calendar"))
    if bool(stamps.isnull().any()):
        raise InputError(
            f"{path}: times are missing", wanted="every row needs a time", do="drop the rows without one"
        )
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ns]")
    elif values.dtype.kind in "iuf":
        values, calendar = values.astype(np.float64), UNDATED
    else:
        calendar = canonical(values[0].calendar)
    return TimeAxis(values, calendar, step, tuple((row, row + 1) for row in range(len(values))))
