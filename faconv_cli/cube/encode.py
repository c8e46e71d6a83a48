"""A cube's time axis and grid as coordinates of a NetCDF file that is written step by step."""

from __future__ import annotations

from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis

STAMPS_PER_CHUNK = 1024
FILL = np.float32(netCDF4.default_fillvals["f4"])


def define_time(file: netCDF4.Dataset, time: TimeAxis, name: str, long_name: str) -> None:
    """Define an empty time coordinate over the dimension of its name, in the units that suit ``time``."""
    variable = file.createVariable(name, "f8", (name,), chunksizes=(STAMPS_PER_CHUNK,))
    variable.setncatts({**time_attributes(time), "long_name": long_name})


def time_attributes(time: TimeAxis) -> dict[str, object]:
    """Return the attributes of a time coordinate, units and calendar among them."""
    return dict(xr.conventions.encode_cf_variable(time.to_variable().variable, name="time").attrs)


def encode_time(time: TimeAxis, units: str) -> npt.NDArray[np.float64]:
    """Encode stamps (t,) in ``units``, in their own calendar."""
    return encode_stamps(time.to_variable().variable, units, time.calendar)


def encode_stamps(times: xr.Variable, units: str, calendar: str) -> npt.NDArray[np.float64]:
    """Encode stamps as float64 numbers; undated ones are numbers already."""
    if times.dtype.kind == "f":
        return np.asarray(times.values)
    plain = xr.Variable(
        times.dims, times.values, encoding={"units": units, "calendar": calendar, "dtype": "f8"}
    )
    encoded: npt.NDArray[np.float64] = xr.conventions.encode_cf_variable(plain, name="time").values
    return encoded


def define_coordinate(file: netCDF4.Dataset, name: str, values: npt.NDArray[Any], long_name: str) -> None:
    """Write a coordinate of numbers, and the dimension of its name."""
    file.createDimension(name, len(values))
    variable = file.createVariable(name, values.dtype, (name,))
    variable.setncatts({"long_name": long_name, "units": "1"})
    variable[:] = values


def define_variable(
    file: netCDF4.Dataset, name: str, dims: tuple[str, ...], chunks: tuple[int, ...], **attributes: str
) -> None:
    """Define an empty variable of float32, compressed; attributes without a text are left out."""
    variable = file.createVariable(
        name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks, fill_value=FILL
    )
    variable.setncatts({key: text for key, text in attributes.items() if text})


def define_grid(
    file: netCDF4.Dataset, grid: Grid, suffix: str = ""
) -> tuple[tuple[str, str], dict[str, str]]:
    """Write the grid's coordinates, in the order of its file.

    Args:
        file: to be written.
        grid: the points.
        suffix: of the names, where another grid has the plain ones.

    Returns:
        The dimensions of a field, and the attributes it needs to find its coordinates.
    """
    y, x = (dim + suffix for dim in grid.dims)
    for dim, size in zip((y, x), grid.shape, strict=True):
        file.createDimension(dim, size)
    for name, coordinate in grid.coordinates().items():
        variable = file.createVariable(
            name + suffix,
            coordinate.dtype.newbyteorder("="),
            tuple(f"{dim}{suffix}" for dim in coordinate.dims),
        )
        variable.setncatts(coordinate.attrs)
        variable[...] = coordinate.values
    found = {key: " ".join(name + suffix for name in text.split()) for key, text in grid.attributes.items()}
    return (y, x), found
