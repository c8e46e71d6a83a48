"""Which data to use."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from faconv_cli.config.base import Config


class DataConfig(Config):
    """Which part of the files is used, and what is subtracted from it."""

    variables: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Variables to use, in this order; CHANNEL=NAME reads the file's NAME as the "
        "checkpoint's CHANNEL. Default: every variable on the grid.",
    )
    levels: tuple[float, ...] | None = Field(
        None, min_length=1, description="Levels to select, in the file's units. Default: all."
    )
    time_range: str | None = Field(
        None, description="FIRST:LAST, each a date such as 1979, 1979-12 or 1979-12-31. Default: all."
    )
    time_dim: str | None = Field(None, description="Name of the time coordinate, if faconv cannot find it.")
    time_index: bool = Field(
        False,
        description="Number the time steps instead of decoding their times: they count as evenly spaced, "
        "without seasons.",
    )
    member: str | None = Field(
        None,
        description="Ensemble member to select, by its name or number in the file; all uses all members, "
        "one after another, as samples. Default: the only member; several are refused.",
    )
    step: str | None = Field(
        None,
        description="Lead time to select from files that hold forecasts: hours, or a number with a unit "
        "such as 2d.",
    )
    stream: str | None = Field(
        None,
        description="Stream to select if the GRIB messages have several, such as oper or enda.",
    )
    data_type: str | None = Field(
        None,
        description="Type to select if the GRIB messages have several: an (analysis), fc (forecast), em "
        "(ensemble mean), es (ensemble spread) and so on.",
    )
    deaccumulate: bool = Field(
        False,
        description="Take differences of data accumulated since the start of a forecast or run: each "
        "step then holds what was added during it.",
    )
    engine: str | None = Field(
        None,
        description="Open the files with this xarray engine, unchecked, whatever they hold; an escape "
        "hatch. Default: NetCDF, GRIB or Zarr, recognised by content.",
    )
    missing_value: tuple[float, ...] = Field(
        (),
        description="Values that stand for missing data although the files do not declare them: -9999, "
        "or several with commas. Default: what the files declare, and what certainly is not "
        "a value.",
    )
    regrid: Annotated[float, Field(gt=0, le=45)] | None = Field(
        None,
        description="Regrid reduced Gaussian, HEALPix and unstructured grids to a regular grid with this "
        "spacing in degrees. Default: none; such grids are refused.",
    )
    region: str | None = Field(
        None,
        description="Region to select, LAT0:LAT1,LON0:LON1 in degrees, longitudes from west to east, "
        "across any meridian: 20:80,-90:30 or 20:60,120:-120. Default: all.",
    )
    derive: tuple[str, ...] = Field(
        (),
        description="Channel computed from variables, NAME=FORMULA: 'wind=hypot(u10,v10)'; + - * / **, "
        "hypot sqrt exp log abs sin cos arctan2 minimum maximum. The variables need not be "
        "channels. Repeatable.",
    )
    mask: str | None = Field(
        None,
        description="Mask (a land-sea mask, for example), FILE[:VARIABLE] on the grid of the data; "
        "points where it is 0 or missing are treated as missing. Default: none.",
    )
    static: tuple[str, ...] = Field(
        (),
        description="FILE[:NAME,NAME] on the grid of the data: channels that do not change in time, such "
        "as orography or the land-sea mask. The network sees them but does not reconstruct "
        "them. Repeatable.",
    )
    coarsen: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Average blocks of this many points per side, weighted by area. Default: none.",
    )
    smooth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Running mean over the last DAYS: each step and those before it. Default: none."
    )
    season: str | None = Field(
        None,
        description="Months to keep: initials in order (DJF, NDJFM) or numbers (12,1,2). Default: all.",
    )
    validation: str = Field(
        "0.2",
        coerce_numbers_to_str=True,
        description="Validation period, held out for early stopping: a share at the end of the record "
        "(0.2), or FIRST:LAST; 0 for none.",
    )
    anomaly: Literal["auto", "none", "monthly", "daily", "diurnal", "seasonal-diurnal", "hourly"] = Field(
        "auto",
        description="Cycles of the training period to subtract at each point: monthly means; daily, "
        "smoothed (mean and four harmonics of the year); diurnal (mean and harmonics of the "
        "day); seasonal-diurnal (the same, with a diurnal cycle that changes with one "
        "harmonic of the year); hourly (daily, and a diurnal cycle that changes with the "
        "season); or none, which subtracts only the mean (in closed loop, the mean of all "
        "points: the laws of a flow hold for the whole field). auto chooses hourly for steps "
        "shorter than a day, daily for steps shorter than a month and monthly for months, if "
        "training covers two years. Otherwise it chooses none, or for steps shorter than a "
        "day seasonal-diurnal if training sees nine months of the year, and diurnal if not.",
    )
    detrend: bool = Field(
        False, description="Subtract the linear trend of the training period at each point."
    )

    def replayed(self, **asked: Any) -> Self:
        """Settings to read more data of the same kind: the whole record, in any format, with some changes."""
        given = {name: value for name, value in asked.items() if value is not None}
        return self.model_copy(update={"time_range": None, "engine": None} | given)
