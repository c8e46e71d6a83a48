"""Make ostia_monthly.grib from ostia_monthly.nc: GRIB2, one message a month.

Run it as ``python sample_data/make_grib.py [OUT.grib]``. Rows go from north to south and points of land are
left out by a bitmap, as in most GRIB files; the stamps are those of the NetCDF file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import eccodes
import numpy as np
import xarray as xr

FOLDER = Path(__file__).parent
SEA_SURFACE_TEMPERATURE = 34  # ECMWF's paramId
BITS_PER_VALUE = 24  # 16 K in 2^24 steps: 1e-6 K, as fine as the float32 they come from
MISSING = 9999.0


def make_grib(source: Path, target: Path) -> None:
    """Write the sea-surface temperature of ``source`` to ``target``."""
    with xr.open_dataset(source) as data, target.open("wb") as file:
        field = data["surface_temperature"].sortby("latitude", ascending=False).load()
        for month in field:
            _write_message(month, file)


def _write_message(field: xr.DataArray, file: BinaryIO) -> None:
    message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    try:
        # the bitmap comes last: eccodes complains of one that does not fit the grid
        for key, value in (_header(field) | _grid(field) | {"bitmapPresent": 1}).items():
            eccodes.codes_set(message, key, value)
        eccodes.codes_set_double_array(message, "values", field.fillna(MISSING).values.ravel().astype(float))
        eccodes.codes_write(message, file)
    finally:
        eccodes.codes_release(message)


def _header(field: xr.DataArray) -> dict[str, int | str | float]:
    stamp = field["time"].dt
    return {
        "centre": "egrr",  # Met Office, Exeter
        "paramId": SEA_SURFACE_TEMPERATURE,
        "dataDate": int(stamp.strftime("%Y%m%d")),
        "dataTime": int(stamp.strftime("%H%M")),
        "missingValue": MISSING,
        "packingType": "grid_simple",
        "bitsPerValue": BITS_PER_VALUE,
    }


def _grid(field: xr.DataArray) -> dict[str, int]:
    lat, lon = _microdegrees(field["latitude"].values), _microdegrees(field["longitude"].values)
    return {
        "Ni": lon.size,
        "Nj": lat.size,
        "latitudeOfFirstGridPoint": int(lat[0]),
        "latitudeOfLastGridPoint": int(lat[-1]),
        "longitudeOfFirstGridPoint": int(lon[0]),
        "longitudeOfLastGridPoint": int(lon[-1]),
        "iDirectionIncrement": round((lon[-1] - lon[0]) / (lon.size - 1)),
        "jDirectionIncrement": round((lat[0] - lat[-1]) / (lat.size - 1)),
    }


def _microdegrees(degrees: np.ndarray) -> np.ndarray:
    return np.round(degrees.astype(float) * 1e6).astype(int)


if __name__ == "__main__":
    make_grib(
        FOLDER / "ostia_monthly.nc", Path(sys.argv[1]) if sys.argv[1:] else FOLDER / "ostia_monthly.grib"
    )
