"""Small good files of every format, to be damaged."""

from pathlib import Path

import eccodes
import netCDF4
import numpy as np

STEPS, LAT, LON = 8, np.linspace(30, -30, 4), np.linspace(0, 40, 5)
MISSING = 9999.0
CHUNKED = {"zlib": True, "chunksizes": (2, len(LAT), len(LON))}
NETCDF = {
    "classic.nc": ("NETCDF3_CLASSIC", {}),
    "offset.nc": ("NETCDF3_64BIT_OFFSET", {}),
    "data.nc": ("NETCDF3_64BIT_DATA", {}),
    "contiguous.nc": ("NETCDF4", {}),
    "deflated.nc": ("NETCDF4", {**CHUNKED, "shuffle": True}),
    "summed.nc": ("NETCDF4_CLASSIC", {**CHUNKED, "fletcher32": True}),
}
GRIB = {"one.grib": 1, "two.grib": 2}


def write_good_files(folder: Path) -> list[Path]:
    """Write one file for each format: daily temperature with a few missing values."""
    fields = np.random.default_rng(0).normal(280, 5, (STEPS, len(LAT), len(LON))).astype(np.float32)
    fields[:, 0, 0] = np.nan
    for name, (kind, storage) in NETCDF.items():
        _write_netcdf(folder / name, fields, kind, storage)
    for name, edition in GRIB.items():
        with (folder / name).open("wb") as file:
            for step, field in enumerate(fields):
                _write_message(file, field, edition, step)
    return [folder / name for name in (*NETCDF, *GRIB)]


def _write_netcdf(path, fields, kind, storage):
    with netCDF4.Dataset(path, "w", format=kind) as file:
        coordinates = {
            "time": (np.arange(STEPS), "days since 2001-01-01"),
            "lat": (LAT, "degrees_north"),
            "lon": (LON, "degrees_east"),
        }
        for name, (values, units) in coordinates.items():
            unlimited = name == "time" and path.name != "contiguous.nc"
            file.createDimension(name, None if unlimited else len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = units
        temperature = file.createVariable(
            "t2m", "f4", tuple(coordinates), fill_value=np.float32(-999), **storage
        )
        temperature.setncatts({"units": "K", "long_name": "temperature at 2 m"})
        temperature[:] = np.ma.masked_invalid(fields)


def _write_message(file, field, edition, step):
    keys = {
        "Ni": len(LON),
        "Nj": len(LAT),
        "latitudeOfFirstGridPointInDegrees": LAT[0],
        "longitudeOfFirstGridPointInDegrees": LON[0],
        "latitudeOfLastGridPointInDegrees": LAT[-1],
        "longitudeOfLastGridPointInDegrees": LON[-1],
        "iDirectionIncrementInDegrees": 10,
        "jDirectionIncrementInDegrees": 20,
        "dataDate": 20010101 + step,
        "dataTime": 0,
        "shortName": "2t",
        "missingValue": MISSING,
        "bitmapPresent": 1,
    }
    message = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    for key, value in keys.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, np.nan_to_num(field, nan=MISSING).ravel().astype(float))
    eccodes.codes_write(message, file)
    eccodes.codes_release(message)
