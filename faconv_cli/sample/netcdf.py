"""Generated cubes to NetCDF, a block at a time: memory does not grow with the record."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.errors import OutputError, UsageError
from faconv_cli.files import atomic_output, check_output, netcdf_lock
from faconv_cli.sample import planted, torus
from faconv_cli.sample.config import NavierStokesConfig, PlantedConfig
from faconv_cli.sample.noise import Float32

CHUNK_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class _Cube:
    """What a file will hold: a frame (time, lat, lon), attributes by field, blocks (t, v, h, w) in order."""

    frame: xr.Dataset
    fields: Mapping[str, Mapping[str, str]]
    blocks: Iterable[Float32]


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
    _check_room(config.steps * config.step_bytes, path)
    plan = planted.plan(config)
    cube = _Cube(
        planted.frame(plan),
        {variable.name: planted.field_attributes(variable) for variable in config.chosen},
        planted.blocks(plan, planted.steps_per_block(config, chunk)),
    )
    yield from _write(cube, path, chunk, complevel, overwrite=overwrite)


def count_blocks(config: PlantedConfig, chunk: int | None) -> int:
    """Return how many times `write_planted` will yield."""
    return -(-config.steps // planted.steps_per_block(config, _chunk(config, chunk)))


def write_navier_stokes(
    config: NavierStokesConfig, path: Path, blocks: Iterable[Float32], *, overwrite: bool = False
) -> Generator[int, None, None]:
    """Write a set of flows, yielding the number of frames written so far.

    The file is there when the iterator is exhausted; closing it early leaves nothing behind.

    Args:
        config: what to write.
        path: the NetCDF file.
        blocks: its frames (t, 1, grid, grid) in order, from `navierstokes.blocks`.
        overwrite: whether ``path`` may exist.

    Raises:
        OutputError: the file exists or cannot be written, or the disk has too little room.
    """
    check_output(path, overwrite=overwrite)
    frames, frame_bytes = config.samples * config.steps, 4 * config.grid**2
    _check_room(frames * frame_bytes, path)
    cube = _Cube(torus.frame(config), {torus.VORTICITY: torus.VORTICITY_ATTRIBUTES}, blocks)
    yield from _write(cube, path, _default_chunk(frames, frame_bytes), complevel=0, overwrite=overwrite)


def _chunk(config: PlantedConfig, asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise UsageError(f"--chunk is {asked}", wanted="it must be at least 1", do="change it")
    return min(config.steps, asked or _default_chunk(config.steps, 4 * config.lat * config.lon))


def _default_chunk(steps: int, field_bytes: int) -> int:
    """Steps that fill a chunk, of all there are."""
    return min(steps, max(1, CHUNK_BYTES // field_bytes))


def _check_room(needed: int, path: Path) -> None:
    free = shutil.disk_usage(path.absolute().parent).free
    if needed > free:
        raise OutputError(
            f"{path}: only {free / 1e9:.1f} GB are free",
            wanted=f"the cube takes {needed / 1e9:.1f} GB",
            do="make room, choose another folder or a smaller cube",
        )


def _write(
    cube: _Cube, path: Path, chunk: int, complevel: int, *, overwrite: bool
) -> Generator[int, None, None]:
    """Write a cube, yielding the number of steps written so far."""
    with atomic_output(path, overwrite=overwrite) as temporary:
        # xarray takes the lock itself, and it cannot be taken twice
        cube.frame.to_netcdf(temporary, engine="netcdf4", unlimited_dims=[schema.TIME])
        yield from _write_fields(cube, temporary, chunk, complevel)


def _write_fields(cube: _Cube, path: Path, chunk: int, complevel: int) -> Generator[int, None, None]:
    with netcdf_lock():
        file = netCDF4.Dataset(path, "a")
    try:
        with netcdf_lock():
            variables = _create_variables(file, cube, chunk, complevel)
        start = 0
        for block in cube.blocks:
            with netcdf_lock():
                for number, variable in enumerate(variables):
                    variable[start : start + len(block)] = block[:, number]
            start += len(block)
            yield start
    finally:
        with netcdf_lock():
            file.close()


def _create_variables(
    file: netCDF4.Dataset, cube: _Cube, chunk: int, complevel: int
) -> list[netCDF4.Variable[Any]]:
    storage: dict[str, Any] = {
        "compression": "zlib" if complevel else None,
        "complevel": complevel,
        "chunksizes": (chunk, cube.frame.sizes["lat"], cube.frame.sizes["lon"]),
        "chunk_cache": CHUNK_BYTES,  # whole chunks are written: the default of 64 MiB is of no use
        "fill_value": np.float32(np.nan),
    }
    variables = []
    for name, attributes in cube.fields.items():
        variable = file.createVariable(name, "f4", (schema.TIME, "lat", "lon"), **storage)
        variable.setncatts(dict(attributes))
        variable.set_auto_maskandscale(False)
        variables.append(variable)
    return variables
