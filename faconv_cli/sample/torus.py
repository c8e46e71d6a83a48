"""Flows on the unit torus as a cube that climate tools read: y as latitude, x as longitude, samples as years.

The torus is laid around the equator: 360 degrees east are the side x, so that longitude closes the circle,
and one degree north is the side y, so that the cosine of latitude is 1 to 4e-5 and all points weigh the same.
That y closes too is nothing latitudes can tell. A unit of time is a day. Sample s begins with the year s of a
calendar of 360 days, or with every second, third, ... year where it takes longer: between two samples at
least one frame is missing, and no window reaches over such a gap.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.sample.attributes import LATITUDE, LONGITUDE, TIME, provenance
from faconv_cli.sample.config import NavierStokesConfig
from faconv_cli.sample.noise import Float64

VORTICITY: Final = "vorticity"
SAMPLE: Final = "sample"
CALENDAR: Final = "360_day"
VORTICITY_ATTRIBUTES: Final = {"long_name": "vorticity", "units": "day-1"}


def frame(config: NavierStokesConfig) -> xr.Dataset:
    """Describe the cube: coordinates, ``sample`` (t) and global attributes, without the vorticity."""
    position = _cell_centres(config)
    sample = np.repeat(np.arange(1, config.samples + 1, dtype=np.int32), config.steps)
    comment = "a side of the unit torus, laid"
    data = xr.Dataset(
        {
            SAMPLE: (
                schema.TIME,
                sample,
                {"long_name": "number of the sample, each from its own initial field"},
            )
        },
        coords={
            schema.TIME: (schema.TIME, _days(config), _time_attributes()),
            "lat": ("lat", position - 0.5, {**LATITUDE, "comment": f"y: {comment} over one degree"}),
            "lon": ("lon", 360 * position, {**LONGITUDE, "comment": f"x: {comment} around the equator"}),
        },
        attrs=_attributes(config),
    )
    for name in (schema.TIME, "lat", "lon"):
        data[name].encoding = {"_FillValue": None}
    return data


def _cell_centres(config: NavierStokesConfig) -> Float64:
    """Positions (n,) on [0, 1): means of the points k / resolution in each cell."""
    points = np.arange(config.resolution) / config.resolution
    return np.asarray(points.reshape(config.grid, -1).mean(1), np.float64)


def _days(config: NavierStokesConfig) -> Float64:
    """Days (t,) of all frames since the first of the year 1."""
    within = config.interval * np.arange(1, config.steps + 1)
    return np.asarray((360 * config.years * np.arange(config.samples)[:, None] + within).ravel(), np.float64)


def _time_attributes() -> dict[str, str]:
    return {
        **TIME,
        "units": "days since 0001-01-01 00:00:00",
        "calendar": CALENDAR,
        "comment": "a unit of time of the flow is a day; a sample begins with a year",
    }


def _attributes(config: NavierStokesConfig) -> dict[str, str | int | float]:
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    given["dt"] = config.time_step
    title = f"Vorticity of {config.samples} two-dimensional incompressible flows on the torus"
    source = "Navier-Stokes equations, pseudo-spectral, from random vorticity; means over grid cells"
    return provenance("navier-stokes", given, title, source)
