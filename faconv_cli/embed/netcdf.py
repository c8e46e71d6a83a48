"""The embedding file: CF NetCDF, written row by row, completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.encode import (
    FILL,
    define_coordinate,
    define_grid,
    define_time,
    define_variable,
    encode_stamps,
)
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.embed.run import Rows
from faconv_cli.files import netcdf_lock, netcdf_output
from faconv_cli.provenance import global_attributes, history, notes

ROWS_PER_CHUNK = 1024


@dataclass(frozen=True)
class Layout:
    """What a file holds besides the embedding.

    Attributes:
        attention: maps of the attention received, if the encoder has axial attention.
        temporal_lags: lags of the temporal attention, in steps back; empty for none.
        queries: (lat, lon) of the points whose teleconnection maps are kept.
        tile_centres: (lat, lon) of each tile; empty for one tile.
        modes: numbers of a row, the first of the checkpoint's.
    """

    attention: bool
    temporal_lags: tuple[int, ...]
    queries: tuple[tuple[float, float], ...]
    tile_centres: tuple[tuple[float, float], ...]
    modes: int

    def told(self) -> str:
        """Describe it in words."""
        return (
            f"{self.modes} modes, {'attention maps' if self.attention else 'no attention maps'}, "
            f"{len(self.temporal_lags)} lags of temporal attention, {len(self.queries)} query points, "
            f"{len(self.tile_centres) or 1} tiles"
        )


@contextmanager
def create_embedding_file(
    path: Path, checkpoint: Checkpoint, cube: Cube, layout: Layout, *, command: str, overwrite: bool
) -> Iterator[EmbeddingWriter]:
    """Open a new file for rows; it appears under its name only when it is complete.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    with netcdf_output(path, overwrite=overwrite) as file:
        with netcdf_lock():
            _define(file, checkpoint, cube, layout, command)
        yield EmbeddingWriter(file, cube.grid)
        with netcdf_lock():
            file.setncatts(notes(cube))


@contextmanager
def append_embedding_file(path: Path, cube: Cube, *, command: str) -> Iterator[EmbeddingWriter]:
    """Open a copy of a file for more rows; it replaces the old one only when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    with netcdf_output(path, overwrite=True, copy_of=path) as file:
        with netcdf_lock():
            file.history = f"{history(command)}\n{file.history}"
            grid = _grid_of(file, cube.grid)
        yield EmbeddingWriter(file, grid)
        with netcdf_lock():
            file.setncatts(notes(cube))


def _grid_of(file: netCDF4.Dataset, grid: Grid) -> Grid:
    """The grid in the order of a file that holds maps on it; the data may have another order now."""
    if not grid.regular or not {"lat", "lon"} <= file.variables.keys():
        return grid
    return Grid.from_coordinates(np.asarray(file["lat"][:]), np.asarray(file["lon"][:]))


class EmbeddingWriter:
    """Appends rows to an open file.

    Args:
        file: that they go to.
        grid: in the order of points that its maps have.
    """

    def __init__(self, file: netCDF4.Dataset, grid: Grid) -> None:
        self._file, self._grid = file, grid
        self._modes = file.dimensions[schema.MODE].size
        about = file[schema.TIME]
        self._units, self._calendar = str(about.units), str(getattr(about, "calendar", UNDATED))

    def write(self, rows: Rows, cube: Cube) -> None:
        """Append rows of ``cube`` that follow those already there."""
        with netcdf_lock():
            begin = len(self._file.dimensions[schema.TIME])
            at, stop = slice(begin, begin + len(rows.embedding)), rows.start + len(rows.embedding)
            self._file[schema.TIME][at] = self._encoded(cube.time.slice(rows.start, stop))
            self._put(schema.EMBEDDING, at, rows.embedding[:, : self._modes])
            self._put(schema.EMBEDDING_FLAG, at, rows.flag)
            self._put(schema.FINGERPRINT, at, rows.fingerprint)
            self._put(schema.TEMPORAL_ATTENTION, at, rows.temporal)
            if rows.tiles is not None:
                self._put(schema.TILE_EMBEDDING, at, rows.tiles[..., : self._modes])
            if schema.ATTENTION in self._file.variables and len(rows.attended):
                self._write_maps(rows, cube)

    def _encoded(self, time: TimeAxis) -> np.ndarray:
        """Encode stamps in the units of the file, whose calendar may have another name than in the data."""
        return encode_stamps(time.to_variable().variable, self._units, self._calendar)

    def _write_maps(self, rows: Rows, cube: Cube) -> None:
        begin = len(self._file.dimensions[schema.ATTENTION_TIME])
        at = slice(begin, begin + len(rows.attended))
        self._file[schema.ATTENTION_TIME][at] = self._encoded(cube.time.take(rows.attended))
        if rows.attention is not None:
            self._put(schema.ATTENTION, at, self._grid.to_file_order(rows.attention))
        if rows.teleconnection is not None:
            self._put(schema.TELECONNECTION, at, self._grid.to_file_order(rows.teleconnection))

    def _put(self, name: str, at: Any, values: np.ndarray | None) -> None:
        if name in self._file.variables and values is not None:
            filled = np.where(np.isnan(values), FILL, values) if values.dtype.kind == "f" else values
            self._file[name][at] = filled


def _define(file: netCDF4.Dataset, checkpoint: Checkpoint, cube: Cube, layout: Layout, command: str) -> None:
    """Write dimensions, coordinates, attributes and empty variables."""
    channels = ", ".join(channel.name for channel in cube.channels)
    title = f"Subspace embedding of {channels}"
    file.setncatts(global_attributes(title, checkpoint, cube, command))
    file.setncattr(schema.TIME_STEP, cube.time.step)
    modes, known = layout.modes, checkpoint.config.encoder.embedding
    file.createDimension(schema.TIME, None)
    define_time(file, cube.time, schema.TIME, "time")
    define_coordinate(
        file, schema.MODE, np.arange(1, modes + 1, dtype=np.int32), "number of the embedding's mode"
    )
    define_variable(
        file,
        schema.EMBEDDING,
        (schema.TIME, schema.MODE),
        (ROWS_PER_CHUNK, modes),
        long_name="subspace embedding of the fields",
        units="1",
        comment=f"the first {modes} of {known} modes" if modes < known else "",
        ancillary_variables=schema.EMBEDDING_FLAG,
    )
    _define_flag(file)
    mark = file.createVariable(schema.FINGERPRINT, "f8", (schema.TIME,), chunksizes=(ROWS_PER_CHUNK,))
    mark.setncatts(
        {
            "long_name": "fingerprint of the input of the step",
            "units": "1",
            "comment": "projection of the normalised fields on a fixed pattern; changes where they do",
        }
    )
    if layout.temporal_lags:
        lags = np.array(layout.temporal_lags, np.int32)
        define_coordinate(file, schema.LAG, lags, "time steps looked back")
        define_variable(
            file,
            schema.TEMPORAL_ATTENTION,
            (schema.TIME, schema.LAG),
            (ROWS_PER_CHUNK, len(lags)),
            long_name="weight of earlier time steps in the embedding",
            units="1",
        )
    if layout.tile_centres:
        _define_places(file, schema.TILE, layout.tile_centres, "centre of the tile")
        define_variable(
            file,
            schema.TILE_EMBEDDING,
            (schema.TIME, schema.TILE, schema.MODE),
            (ROWS_PER_CHUNK // len(layout.tile_centres) + 1, len(layout.tile_centres), modes),
            long_name="what each tile adds to the embedding, before the temporal attention",
            units="1",
        )
    if layout.attention:
        _define_maps(file, cube, layout)


def _define_flag(file: netCDF4.Dataset) -> None:
    flag = file.createVariable(schema.EMBEDDING_FLAG, "i1", (schema.TIME,), chunksizes=(ROWS_PER_CHUNK,))
    flag.setncatts(
        {
            "long_name": "how the embedding of the step came about",
            "standard_name": "status_flag",
            "flag_values": np.array(list(schema.FLAG_MEANINGS), np.int8),
            "flag_meanings": " ".join(schema.FLAG_MEANINGS.values()),
        }
    )


def _define_maps(file: netCDF4.Dataset, cube: Cube, layout: Layout) -> None:
    file.createDimension(schema.ATTENTION_TIME, None)
    define_time(file, cube.time, schema.ATTENTION_TIME, "time of the attended steps")
    dims, extra = define_grid(file, cube.grid)
    define_variable(
        file,
        schema.ATTENTION,
        (schema.ATTENTION_TIME, *dims),
        (1, *cube.grid.shape),
        long_name="attention received, relative to an even spread over the valid area",
        units="1",
        comment="area-weighted mean over valid points is 1",
        **extra,
    )
    if layout.queries:
        _define_places(file, schema.QUERY, layout.queries, "query point")
        places = f"{schema.QUERY}_lat {schema.QUERY}_lon"
        define_variable(
            file,
            schema.TELECONNECTION,
            (schema.ATTENTION_TIME, schema.QUERY, *dims),
            (1, 1, *cube.grid.shape),
            long_name="where the query point attends, relative to an even spread over the valid area",
            units="1",
            comment="area-weighted mean over valid points is 1",
            **{**extra, "coordinates": f"{places} {extra.get('coordinates', '')}".strip()},
        )


def _define_places(file: netCDF4.Dataset, dim: str, places: Sequence[tuple[float, float]], what: str) -> None:
    file.createDimension(dim, len(places))
    for number, (name, units) in enumerate((("latitude", "degrees_north"), ("longitude", "degrees_east"))):
        variable = file.createVariable(f"{dim}_{name[:3]}", "f8", (dim,))
        variable.setncatts({"standard_name": name, "long_name": f"{name} of the {what}", "units": units})
        variable[:] = [place[number] for place in places]
