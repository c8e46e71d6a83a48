"""GRIB files, made on the spot."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import eccodes
import numpy as np

LAT, LON = np.array([50.0, 30, 10, -10, -30, -50]), np.arange(0.0, 360, 30)
_SAMPLES = {1: "regular_ll_sfc_grib1", 2: "regular_ll_sfc_grib2"}


def write_grib(
    path: Path,
    messages: Iterable[Mapping[str, Any]],
    edition: int = 1,
    shape: tuple[int, int] = (len(LAT), len(LON)),
) -> Path:
    """Write messages on a grid of 6 x 12 points; each is its keys, with ``values`` (6, 12) or a number.

    Another ``shape`` needs the keys of its grid in each message.

    ``day`` is a day of January 2000. Values are packed to 24 bits, so that whole numbers come back.
    """
    with path.open("wb") as file:
        for message in messages:
            handle = eccodes.codes_grib_new_from_samples(_SAMPLES[edition])
            keys = dict(message)
            values = np.broadcast_to(np.asarray(keys.pop("values"), np.float64), shape)
            dated = {"dataDate": 20000100 + int(keys.pop("day", 1)), "dataTime": 0}
            for key, value in {**_grid(), "bitsPerValue": 24, **dated, **keys}.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, values.ravel())
            eccodes.codes_write(handle, file)
            eccodes.codes_release(handle)
    return path


def _grid(lon0: float = 0.0) -> dict[str, Any]:
    return {
        "Ni": len(LON),
        "Nj": len(LAT),
        "latitudeOfFirstGridPointInDegrees": LAT[0],
        "latitudeOfLastGridPointInDegrees": LAT[-1],
        "longitudeOfFirstGridPointInDegrees": lon0,
        "longitudeOfLastGridPointInDegrees": lon0 + LON[-1],
        "iDirectionIncrementInDegrees": 30,
        "jDirectionIncrementInDegrees": 20,
    }
