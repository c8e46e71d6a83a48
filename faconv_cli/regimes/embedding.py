"""The embedding file as the regimes need it: numbers, flags and their time axis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.shape.season import Season
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import FaconvError, InputError, UsageError, first_line
from faconv_cli.guard import reading


@dataclass(frozen=True, eq=False)
class Embedding:
    """One row of numbers per time step.

    Attributes:
        values: (t, d) float64; a row that could not be computed is NaN.
        flag: (t,) int8, see `schema.FLAG_MEANINGS`.
        time: the time axis, which may have gaps.
        source: path of the file.
        checkpoint: sha256 of the checkpoint that made it; empty where the file does not say.
        history: the file's ``history`` attribute.
        channels: names of what was embedded; empty where the file does not say.
        data_step: usual step of the data that were embedded, which may be of some months alone; empty where
            the file does not say.
        training: what the checkpoint was trained on: its ``period`` and ``validation period`` among others;
            empty where the file does not say.
        settings: `DataConfig` of that training; empty where the file does not say.
    """

    values: np.ndarray
    flag: np.ndarray
    time: TimeAxis
    source: str = ""
    checkpoint: str = ""
    history: str = ""
    channels: tuple[str, ...] = ()
    data_step: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def valid(self) -> np.ndarray:
        """(t,) rows that hold numbers and can be labelled."""
        return np.asarray(np.isfinite(self.values).all(axis=1) & (self.flag != schema.MISSING_INPUT))

    @property
    def warm(self) -> np.ndarray:
        """(t,) valid rows whose state had time to warm up; regimes are fitted on these."""
        return np.asarray(self.valid & (self.flag != schema.COLD_START))

    def cut(self, modes: int | None) -> Embedding:
        """Keep only the first modes; None keeps all.

        Raises:
            UsageError: more than there are.
        """
        if modes is None:
            return self
        if modes > self.values.shape[1]:
            raise UsageError(
                f"--modes {modes} is too many: {self.source} has {self.values.shape[1]} modes",
                wanted="the first modes of the embedding are clustered",
                do="give a smaller number, or leave out --modes to use all",
            )
        return replace(self, values=self.values[:, :modes])


def season_rows(embedding: Embedding, season: Season) -> np.ndarray:
    """(t,) valid steps of the season.

    Raises:
        InputError: there are none.
    """
    if len(season.months) < 12:
        embedding.time.need_dates(f"--season {season.name}")
    valid, within = embedding.valid, np.isin(embedding.time.month, season.months)
    if not valid.any():
        raise InputError(
            f"{embedding.source}: all {len(valid)} rows are missing",
            wanted="regimes need steps with valid rows",
            do="check embedding_flag, and the data that faconv embed was given",
        )
    if not (valid & within).any():
        raise InputError(
            f"{embedding.source}: no valid step lies in season {season.name}",
            wanted=f"the record has months {', '.join(map(str, np.unique(embedding.time.month[valid])))}",
            do="choose one of these months",
        )
    return np.asarray(valid & within)


def read_embedding(path: Path) -> Embedding:
    """Read ``embedding(time, mode)`` and its flags; a file without flags counts as all ok.

    Raises:
        InputError: no such file, not NetCDF, no such variable, or a time axis that cannot be understood.
    """
    with open_netcdf(path) as file:
        found = file.get(schema.EMBEDDING)
        if found is None or found.dims != (schema.TIME, schema.MODE) or schema.TIME not in file.coords:
            raise InputError(
                f"{path}: no variable {schema.EMBEDDING}({schema.TIME}, {schema.MODE}) with a time "
                f"coordinate (variables: {', '.join(map(str, file.data_vars)) or 'none'})",
                wanted="faconv cluster reads what faconv embed writes",
                do="run faconv embed first, or give its output",
            )
        return Embedding(
            values=found.values.astype(np.float64),
            flag=_flags(found, file.get(schema.EMBEDDING_FLAG)),
            time=TimeAxis.from_values(file[schema.TIME].values, file[schema.TIME].encoding.get("calendar")),
            source=str(path),
            checkpoint=str(file.attrs.get(schema.CHECKPOINT_SHA256, "")),
            history=str(file.attrs.get("history", "")),
            channels=_listed(file.attrs.get(schema.CHANNELS, "")),
            data_step=str(file.attrs.get(schema.TIME_STEP, "")),
            training=json.loads(file.attrs.get(schema.TRAINING, "{}")),
            settings=json.loads(file.attrs.get(schema.CONFIG, "{}")).get("data", {}),
        )


def _listed(text: object) -> tuple[str, ...]:
    return tuple(part for part in str(text).split(", ") if part)


def _flags(embedding: xr.DataArray, flag: xr.DataArray | None) -> np.ndarray:
    if flag is None:
        return np.full(len(embedding), schema.OK, np.int8)
    return flag.fillna(schema.MISSING_INPUT).values.astype(np.int8)


@contextmanager
def open_netcdf(path: Path) -> Iterator[xr.Dataset]:
    """Open a file lazily, for as long as it is read.

    Raises:
        InputError: no such file, not NetCDF, or what is read of it is damaged.
    """
    if not path.is_file():
        found = "is not a file" if path.exists() else "no such file"
        raise InputError(f"{path}: {found}", wanted="the input must be a NetCDF file", do="check the path")
    try:
        with reading(path), xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as file:
            yield file
    except FaconvError:
        raise
    except Exception as error:  # whatever the libraries meet in a damaged file
        raise InputError(
            f"{path} cannot be read as NetCDF ({first_line(error)})",
            wanted="the input must be a complete NetCDF file with times that can be decoded",
            do="check it with ncdump -h",
        ) from error
