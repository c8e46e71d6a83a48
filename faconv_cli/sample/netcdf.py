"""Planted cubes to NetCDF, a block at a time: memory does not grow with the record."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.errors import OutputError, UsageError
from faconv_cli.files import atomic_output, check_output, netcdf_lock
from faconv_cli.sample.config import PlantedConfig
from faconv_cli.sample.planted import Plan, blocks, field_attributes, frame, plan, steps_per_block

CHUNK_BYTES = 2**20


def write_planted(
    config: PlantedConfig,
    path: Path,
    *,
    chunk: int | None = None,
    complevel: int = 0,
    overwrite: bool = False,
) -> Generator[int, None, None]:
    """Write a planted cube, yielding the number of steps written so far.

    The file is there when the iterator is exhausted; closing it early leaves nothing behind.

    Args:
        config: what to write.
        path: the NetCDF file.
        chunk: time steps in a chunk of the file; by default as many as fill 1 MiB.
        complevel: zlib level; 0 does not compress. Random noise shrinks by little.
        overwrite: whether ``path`` may exist.

    Raises:
        UsageError: ``chunk`` or ``complevel`` out of range.
        OutputError: the file exists or cannot be written, or the disk has too little room.
    """
    chunk = _chunk(config, chunk)
    if not 0 <= complevel <= 9:
        raise UsageError(f"--complevel is {complevel}", wanted="it must be from 0 to 9", do="change it")
    check_output(path, overwrite=overwrite)
    _check_room(config, path)
    try:
        with atomic_output(path, overwrite=overwrite) as temporary:
            planned = plan(config)
            # xarray takes the lock itself, and it cannot be taken twice
            frame(planned).to_netcdf(temporary, engine="netcdf4", unlimited_dims=[schema.TIME])
            yield from _write_fields(planned, temporary, chunk, complevel)
    except RuntimeError as error:  # what netCDF4 raises where the disk is full
        raise OutputError(
            f"{path}: {error}",
            wanted="the file could not be written",
            do="make room or choose another folder",
        ) from error


def count_blocks(config: PlantedConfig, chunk: int | None) -> int:
    """Tell how many times `write_planted` will yield."""
    return -(-config.steps // steps_per_block(config, _chunk(config, chunk)))


def _chunk(config: PlantedConfig, asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise UsageError(f"--chunk is {asked}", wanted="it must be at least 1", do="change it")
    default = max(1, CHUNK_BYTES // (4 * config.lat * config.lon))
    return min(config.steps, default if asked is None else asked)


def _check_room(config: PlantedConfig, path: Path) -> None:
    needed, free = config.steps * config.step_bytes, shutil.disk_usage(path.absolute().parent).free
    if needed > free:
        raise OutputError(
            f"{path}: {free / 1e9:.1f} GB are free",
            wanted=f"the cube takes {needed / 1e9:.1f} GB",
            do="make room, choose another folder or a smaller cube",
        )


def _write_fields(planned: Plan, path: Path, chunk: int, complevel: int) -> Generator[int, None, None]:
    config = planned.config
    with netcdf_lock():
        file = netCDF4.Dataset(path, "a")
    try:
        with netcdf_lock():
            variables = _create_variables(file, config, chunk, complevel)
        start = 0
        for block in blocks(planned, steps_per_block(config, chunk)):
            with netcdf_lock():
                for number, variable in enumerate(variables):
                    variable[start : start + len(block)] = block[:, number]
            start += len(block)
            yield start
    finally:
        with netcdf_lock():
            file.close()


def _create_variables(
    file: netCDF4.Dataset, config: PlantedConfig, chunk: int, complevel: int
) -> list[netCDF4.Variable[Any]]:
    storage: dict[str, Any] = {
        "compression": "zlib" if complevel else None,
        "complevel": complevel,
        "chunksizes": (chunk, config.lat, config.lon),
        "chunk_cache": CHUNK_BYTES,  # whole chunks are written: the default of 64 MiB is of no use
        "fill_value": np.float32(np.nan),
    }
    variables = []
    for wanted in config.chosen:
        variable = file.createVariable(wanted.name, "f4", (schema.TIME, "lat", "lon"), **storage)
        variable.setncatts(field_attributes(wanted))
        variable.set_auto_maskandscale(False)
        variables.append(variable)
    return variables
