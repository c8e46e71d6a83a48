"""Cubes with known regimes: a regime signal over red noise, a seasonal cycle and a trend.

Three kinds, by what tells the regimes apart:

- ``snapshot``: each regime has its own anomaly pattern; any single step shows it.
- ``motion``: a wave travels east in one regime and west in the other. Its phase is random at the start of
  each spell, so one step looks the same in both and only a sequence tells.
- ``teleconnection``: two far centres swing together in one regime and against each other in the other. The
  sign of the swing is random, so each centre alone looks the same in both and only their product tells.

Everything but the noise is a sum of a few patterns with amplitudes in time,
``field(t, v, y, x) = Σ_p amplitude(t, p) pattern(p, v, y, x) + noise``, so that a cube of any length is made
block by block. Neither the size of a block nor the length of the record changes a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import cftime
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from faconv_cli import schema
from faconv_cli.sample.attributes import LATITUDE, LONGITUDE, TIME, provenance
from faconv_cli.sample.config import PlantedConfig, Variable
from faconv_cli.sample.noise import Float32, Float64, Smoother, red_noise
from faconv_cli.sample.signal import SIGNALS, Int, centres, orthonormal, regime_chain

FREQUENCIES = {"6-hourly": "6h", "daily": "D", "monthly": "MS"}
TIME_UNITS = {"6-hourly": "hours", "daily": "days", "monthly": "days"}
MEANINGS = {"motion": ("eastward", "westward"), "teleconnection": ("in_phase", "out_of_phase")}
BLOCK_BYTES = 16 * 2**20

NOISE_LENGTH_DEG = 8.0
NOISE_MEMORY = 0.7  # correlation from one step to the next
LAND_LENGTH_DEG = 20.0
# in units of a variable's scale
TROPICS, SEASON_AT_POLE, TREND_PER_YEAR = 2.0, 3.0, 0.05
SEASON_PEAK = 0.55  # of the year, in the north


@dataclass(frozen=True, eq=False)
class Plan:
    """All of a planted cube but its fields: small however long the record.

    ``times`` and ``regime`` (t,), ``amplitudes`` (t, p), ``patterns`` (p, v, h, w) in the variables' units.
    """

    config: PlantedConfig
    lat: Float64
    lon: Float64
    times: xr.CFTimeIndex | pd.DatetimeIndex
    regime: Int
    amplitudes: Float32
    patterns: Float32
    noise_seed: np.random.SeedSequence


def plan(config: PlantedConfig) -> Plan:
    """Draw regimes, patterns and land; place the grid and the time axis."""
    *seeds, noise_seed = np.random.SeedSequence(config.seed).spawn(4)
    for_regimes, for_amplitudes, for_space = (np.random.default_rng(seed) for seed in seeds)
    lat: Float64 = -90 + 180 / config.lat * (np.arange(config.lat, dtype=np.float64) + 0.5)
    lon: Float64 = 360 / config.lon * np.arange(config.lon, dtype=np.float64)
    times = xr.date_range(
        config.start, periods=config.steps, freq=FREQUENCIES[config.step], calendar=config.calendar
    )
    regime = regime_chain(config.steps, config.regime_count, config.duration, for_regimes)
    amplitudes = SIGNALS[config.kind].amplitudes(regime, config.regime_count, config.duration, for_amplitudes)
    return Plan(
        config=config,
        lat=lat,
        lon=lon,
        times=times,
        regime=regime,
        amplitudes=np.column_stack([_background_amplitudes(times, config.calendar), amplitudes]).astype("f4"),
        patterns=_patterns(config, lat, lon, for_space),
        noise_seed=noise_seed,
    )


def _background_amplitudes(times: xr.CFTimeIndex | pd.DatetimeIndex, calendar: str) -> Float64:
    """Return mean, seasonal cycle and trend (t, 3), from the calendar's own years."""
    stamps = xr.DataArray(times, dims=schema.TIME).dt
    year, day, hour = (part.to_numpy() for part in (stamps.year, stamps.dayofyear, stamps.hour))
    if calendar == "360_day":
        length = np.full(year.size, 360)
    else:
        length = np.array([366 if cftime.is_leap_year(y, calendar) else 365 for y in year.tolist()])
    fraction = (day - 1 + hour / 24) / length
    years = year + fraction
    return np.column_stack(
        [np.ones_like(years), np.cos(2 * np.pi * (fraction - SEASON_PEAK)), years - years[0]]
    )


def _patterns(config: PlantedConfig, lat: Float64, lon: Float64, rng: np.random.Generator) -> Float32:
    """Return all patterns (p, v, h, w) in the variables' units; the mean, the first, is NaN on land."""
    sea = ~_land(config, lat, lon, rng)
    weights = np.cos(np.deg2rad(lat))[:, None] * sea
    drawn = SIGNALS[config.kind].patterns(lat, lon, config.variables, config.regime_count, rng)
    signal = orthonormal(drawn, weights / weights.sum())
    scale = np.array([variable.scale for variable in config.chosen])[:, None, None]
    mean = np.array([variable.mean for variable in config.chosen])[:, None, None]
    patterns = np.concatenate([_background_patterns(lat, signal.shape[1:]), signal]) * scale
    patterns[0] = np.where(sea, patterns[0] + mean, np.nan)  # in every step, so land is missing in every step
    in_units: Float32 = patterns.astype(np.float32)
    return in_units


def _background_patterns(lat: Float64, shape: tuple[int, ...]) -> Float64:
    """Return what goes with mean, seasonal cycle and trend: (3, v, h, w), in units of scale."""
    latitude = np.deg2rad(lat)
    profiles = np.stack(
        [
            TROPICS * np.cos(2 * latitude),
            SEASON_AT_POLE * np.sin(latitude),
            TREND_PER_YEAR * (1 + np.sin(latitude) ** 2),
        ]
    )
    return np.broadcast_to(profiles[:, None, :, None], (3, *shape))


def _land(config: PlantedConfig, lat: Float64, lon: Float64, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a smooth mask (h, w) that covers the share ``missing`` of the points."""
    height = Smoother.on(lat, lon, LAND_LENGTH_DEG).random((), rng)
    if config.kind == "teleconnection":
        height -= 10 * centres(lat, lon).max(axis=0)  # a centre on land would plant nothing
    land = np.zeros(height.size, bool)
    land[np.argsort(-height, axis=None)[: round(config.missing * height.size)]] = True
    return land.reshape(height.shape)


def blocks(planned: Plan, block_steps: int) -> Iterator[Float32]:
    """Yield all fields (t, v, h, w), ``block_steps`` at a time; the last block may be shorter."""
    config = planned.config
    shape = planned.patterns.shape
    flat = planned.patterns.reshape(shape[0], -1)
    cuts = [planned.amplitudes[start : start + block_steps] for start in range(0, config.steps, block_steps)]
    noise = red_noise(
        Smoother.on(planned.lat, planned.lon, NOISE_LENGTH_DEG),
        config.noise * np.array([variable.scale for variable in config.chosen], np.float32),
        NOISE_MEMORY,
        map(len, cuts),
        np.random.default_rng(planned.noise_seed),
    )
    blas = ThreadpoolController()
    for amplitudes in cuts:
        # the products are too small for several threads, which would only wait for each other
        with blas.limit(limits=1, user_api="blas"):
            values = next(noise)
            # one product per step, so that no value depends on the size of the block
            values += np.matmul(amplitudes[:, None, :], flat).reshape(-1, *shape[1:])
        yield values


def frame(planned: Plan) -> xr.Dataset:
    """Describe the cube: coordinates, `regime_true` and global attributes, without the fields."""
    config = planned.config
    flags = np.arange(config.regime_count, dtype=np.int8)
    regime_attrs = {
        "long_name": "regime planted in the data",
        "flag_values": flags,
        "flag_meanings": " ".join(
            MEANINGS.get(config.kind) or (f"pattern_{number + 1}" for number in flags.tolist())
        ),
    }
    data = xr.Dataset(
        {schema.REGIME_TRUE: (schema.TIME, planned.regime.astype(np.int8), regime_attrs)},
        coords={
            schema.TIME: (schema.TIME, planned.times, _time_attributes(config)),
            "lat": ("lat", planned.lat, LATITUDE),
            "lon": ("lon", planned.lon, LONGITUDE),
        },
        attrs=_attributes(config),
    )
    for name in ("lat", "lon"):
        data[name].encoding = {"_FillValue": None}
    data[schema.TIME].encoding = {
        "units": f"{TIME_UNITS[config.step]} since {config.start} 00:00:00",
        "calendar": config.calendar,
        "dtype": "float64",
        "_FillValue": None,
    }
    return data


def _time_attributes(config: PlantedConfig) -> dict[str, str]:
    attributes = dict(TIME)
    if config.calendar == "standard":
        attributes["units_metadata"] = "leap_seconds: none"
    return attributes


def field_attributes(variable: Variable) -> dict[str, str]:
    """Attributes of one variable's field."""
    attributes = {
        "standard_name": variable.standard_name,
        "long_name": f"generated {variable.standard_name.replace('_', ' ')}",
        "units": variable.units,
    }
    if variable.units == "K":
        attributes["units_metadata"] = "temperature: on_scale"
    return attributes


def _attributes(config: PlantedConfig) -> dict[str, str | int | float]:
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    given["regimes"] = config.regime_count
    title = f"Generated cube with {config.regime_count} known regimes of the kind {config.kind}"
    return provenance("planted", given, title, "regime signal, seasonal cycle, trend and red noise")


def planted_cube(config: PlantedConfig) -> xr.Dataset:
    """Make a planted cube in memory; `sample.netcdf.write_planted` writes the same to a file.

    Returns:
        Fields (time, lat, lon) float32 named as in `VARIABLES`, NaN on land, and ``regime_true`` (time) int8.
    """
    planned = plan(config)
    data = frame(planned)
    values = np.concatenate(list(blocks(planned, steps_per_block(config, 1))))
    for number, variable in enumerate(config.chosen):
        data[variable.name] = ((schema.TIME, "lat", "lon"), values[:, number], field_attributes(variable))
    return data


def steps_per_block(config: PlantedConfig, chunk: int) -> int:
    """Return the steps made at once: whole chunks, of about `BLOCK_BYTES`."""
    return chunk * max(1, BLOCK_BYTES // (chunk * config.step_bytes))
