import netCDF4
import numpy as np
import pytest

STEPS, SHAPE = 400, (6, 8)


@pytest.fixture
def record(tmp_path):
    """Daily fields with land, latitudes from north to south, two variables; chunks as asked for."""

    def _record(chunks=None, name="data.nc"):
        rng, path = np.random.default_rng(0), tmp_path / name
        season = np.cos(np.arange(STEPS) * 2 * np.pi / 365.25)[:, None, None]
        with netCDF4.Dataset(path, "w") as file:
            for key, values, units in (
                ("time", np.arange(STEPS), "days since 2001-01-01"),
                ("lat", np.linspace(25, -25, SHAPE[0]), "degrees_north"),
                ("lon", np.linspace(0, 70, SHAPE[1]), "degrees_east"),
            ):
                file.createDimension(key, len(values))
                file.createVariable(key, "f8", (key,))[:] = values
                file[key].units = units
            for key, units, scale in (("t", "K", 10.0), ("p", "Pa", 1e3)):
                fields = scale * (season + rng.normal(size=(STEPS, *SHAPE))) + 28 * scale
                fields[:, 0, 0] = np.nan
                variable = file.createVariable(key, "f4", ("time", "lat", "lon"), chunksizes=chunks)
                variable.setncatts(
                    {"units": units, "standard_name": "air_temperature", "long_name": f"{key}!"}
                )
                variable[:] = np.ma.masked_invalid(fields)
        return path

    return _record
