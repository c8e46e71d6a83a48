"""Which data are worked on."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from faconv_cli.config.base import Config


class DataConfig(Config):
    """Which part of the files is used and what is taken off it."""

    variables: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Variables to take, in this order; CHANNEL=NAME gives the file's NAME the checkpoint's "
        "CHANNEL. Default: every variable on the grid.",
    )
    levels: tuple[float, ...] | None = Field(
        None, min_length=1, description="Levels to take, in the file's units. Default: all."
    )
    time_range: str | None = Field(
        None, description="FIRST:LAST, each a date such as 1979, 1979-12 or 1979-12-31. Default: all."
    )
    time_dim: str | None = Field(None, description="Name of the time coordinate, where it cannot be told.")
    time_index: bool = Field(
        False,
        description="Number the time steps instead of decoding their times: evenly spaced, without seasons.",
    )
    member: str | None = Field(
        None,
        description="Ensemble member to take, by its name or number in the file; all takes "
        "all, one after another, as samples. Default: there must be one.",
    )
    step: str | None = Field(
        None,
        description="Of files that hold forecasts, the lead to take: hours, or a number with a unit such "
        "as 2d.",
    )
    stream: str | None = Field(
        None,
        description="Of GRIB messages of several streams, the one to take, such as oper or enda.",
    )
    data_type: str | None = Field(
        None,
        description="Of GRIB messages of several types, the one to take: an (analysis), fc (forecast), em "
        "(mean of an ensemble), es (its spread) and so on.",
    )
    deaccumulate: bool = Field(
        False,
        description="Take differences of what is accumulated since the start of a forecast or run: each "
        "step then holds what was added in it.",
    )
    engine: str | None = Field(
        None,
        description="xarray's engine to open the files with, unchecked, whatever they hold; an escape. "
        "Default: NetCDF, GRIB or Zarr by content.",
    )
    missing_value: tuple[float, ...] = Field(
        (),
        description="Values that stand for missing data where the files do not say so: -9999, or several "
        "with commas. Default: what the files declare, and what certainly is none.",
    )
    regrid: Annotated[float, Field(gt=0, le=45)] | None = Field(
        None,
        description="Spacing in degrees of the regular grid that reduced Gaussian, HEALPix and unstructured "
        "grids are brought to. Default: none, they are refused.",
    )
    region: str | None = Field(
        None,
        description="LAT0:LAT1,LON0:LON1 in degrees, longitudes from west to east, across any meridian: "
        "20:80,-90:30 or 20:60,120:-120. Default: all.",
    )
    derive: tuple[str, ...] = Field(
        (),
        description="Channel worked out of others, NAME=FORMULA: 'wind=hypot(u10,v10)'; + - * / **, hypot "
        "sqrt exp log abs sin cos arctan2 minimum maximum. What it reads need not be a channel. Repeatable.",
    )
    mask: str | None = Field(
        None,
        description="FILE[:VARIABLE] on the grid of the data; points where it is 0 or missing are taken as "
        "missing. Default: none.",
    )
    static: tuple[str, ...] = Field(
        (),
        description="FILE[:NAME,NAME] on the grid of the data: channels that do not change in time, seen by "
        "the network but not to be given back (orography, land-sea mask). Repeatable.",
    )
    coarsen: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Means over blocks of so many points per side, weighted by area. Default: none.",
    )
    smooth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Means over the last DAYS, each step and those before it. Default: none."
    )
    season: str | None = Field(
        None,
        description="Months to keep: initials in order (DJF, NDJFM) or numbers (12,1,2). Default: all.",
    )
    validation: str = Field(
        "0.2",
        coerce_numbers_to_str=True,
        description="Held out for early stopping: a share at the end of the record (0.2), or FIRST:LAST; "
        "0 for none.",
    )
    anomaly: Literal["auto", "none", "monthly", "daily", "diurnal", "seasonal-diurnal", "hourly"] = Field(
        "auto",
        description="Cycles of the training period to subtract at each point: monthly means, smoothed daily "
        "(mean and four harmonics of the year), diurnal (mean and harmonics of the day), seasonal-diurnal "
        "(the same, with one harmonic of the year that changes the diurnal cycle), hourly (daily, and a "
        "diurnal cycle that changes with the season), or none, which subtracts the mean alone (in closed "
        "loop, that of all points: the laws of a flow are those of the whole field). auto: hourly for steps "
        "below a day, daily below a month, monthly for months, where training covers two years; "
        "else none, or below a day seasonal-diurnal where training sees nine months of the year, or diurnal.",
    )
    detrend: bool = Field(
        False, description="Subtract the linear trend of the training period at each point."
    )

    def replayed(self, **asked: Any) -> Self:
        """Settings for more data of the same kind, in any format: the whole record, and what is asked for."""
        given = {name: value for name, value in asked.items() if value is not None}
        return self.model_copy(update={"time_range": None, "engine": None} | given)
