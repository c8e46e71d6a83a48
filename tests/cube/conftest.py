"""Small files, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a NetCDF file of the given variables on (time, lat, lon) and return its path.

    Coordinates have units but no other attributes, so that a test can add what it is about.
    """

    def _write(
        name: str = "data.nc",
        variables: dict[str, np.ndarray] | None = None,
        *,
        lat=(-10.0, 0.0, 10.0),
        lon=(0.0, 10.0, 20.0, 30.0),
        hours=None,
        units: str = "hours since 2001-01-01",
        calendar: str = "standard",
        edit: Callable[[netCDF4.Dataset], None] | None = None,
        format: str = "NETCDF4",
        **create,
    ) -> Path:
        variables = variables or {"x": ramp(6, len(lat), len(lon))}
        steps = len(next(iter(variables.values())))
        with netCDF4.Dataset(tmp_path / name, "w", format=format) as file:
            for dim, size in (("time", None), ("lat", len(lat)), ("lon", len(lon))):
                file.createDimension(dim, size)
            _coordinate(file, "time", np.arange(steps) * 24.0 if hours is None else hours, units)
            file["time"].calendar = calendar
            _coordinate(file, "lat", lat, "degrees_north")
            _coordinate(file, "lon", lon, "degrees_east")
            for key, values in variables.items():
                dims = ("time", "lat", "lon")[-values.ndim :]
                variable = file.createVariable(key, values.dtype, dims, **create)
                variable.set_auto_maskandscale(False)
                variable[:] = values
                variable.units = "K"
            if edit:
                edit(file)
        return tmp_path / name

    return _write


def _coordinate(file, name, values, units):
    file.createVariable(name, "f8", (name,))[:] = np.asarray(values)
    file[name].units = units


def ramp(t, h, w, start=0.0):
    """Values that name their place: 100 t + 10 y + x."""
    t, y, x = np.meshgrid(np.arange(t), np.arange(h), np.arange(w), indexing="ij")
    return (start + 100 * t + 10 * y + x).astype(np.float32)


@pytest.fixture(scope="session")
def make_cube() -> Callable[..., Cube]:
    """Make a cube in memory from fields (t, c, h, w), in daily steps of a calendar."""

    def _make(fields, units="days since 1990-01-01", calendar="standard", numbers=None, chunks=None) -> Cube:
        t, c, h, w = fields.shape
        numbers = np.arange(t) if numbers is None else numbers
        array = xr.DataArray(fields.astype(np.float32), dims=("time", "channel", "y", "x"))
        return Cube(
            fields=array.chunk({"time": chunks or t}),
            channels=tuple(Channel(f"v{i}") for i in range(c)),
            time=TimeAxis.from_values(cftime.num2date(numbers, units, calendar)),
            grid=Grid.from_coordinates(np.linspace(-30, 30, h), np.arange(w) * 10.0),
            file_chunk_steps=chunks or 1,
        )

    return _make


def places(lat, lon):
    """Fields (4, y, x) whose values name the place."""
    return np.arange(4.0)[:, None, None] + 1000 * lat[:, None] + lon % 360
