"""Good but odd files: one record, written in the many ways that archives write records, beside a plain twin.

The record has two variables of whole multiples of a step, so that a byte holds them exactly, missing values
that stay and some that come and go, and three patterns that follow each other. What is odd is drawn axis by
axis; what a format cannot hold is taken back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cftime
import eccodes
import numpy as np
import xarray as xr

STEPS = {"daily": 90, "monthly": 36}
LAT, LON = np.linspace(-70, 70, 8), np.arange(0.0, 360.0, 30.0)
RLAT, RLON = np.linspace(-9, 9, 7), np.linspace(-12, 12, 9)
POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


class Quantity(NamedTuple):
    """A variable: its middle value and the step its values are multiples of, and units with their lines."""

    middle: float
    step: float
    units: dict[str, tuple[float, float]]
    attrs: dict[str, str]


KELVIN, CELSIUS = (1.0, 0.0), (1.0, -273.15)
QUANTITIES = {
    "t2m": Quantity(
        280.0,
        0.5,
        {
            "K": KELVIN,
            "kelvin": KELVIN,
            "degree K": KELVIN,
            "degC": CELSIUS,
            "degrees Celsius": CELSIUS,
            "degF": (1.8, -459.67),
        },
        {"standard_name": "air_temperature", "long_name": "2 metre temperature"},
    ),
    "msl": Quantity(
        101000.0,
        100.0,
        {"Pa": (1.0, 0.0), "hPa": (0.01, 0.0), "mbar": (0.01, 0.0), "millibars": (0.01, 0.0)},
        {"standard_name": "air_pressure_at_mean_sea_level", "long_name": "mean sea level pressure"},
    ),
}
CALENDARS = {
    "standard": ("standard", "gregorian", "GREGORIAN", "proleptic_gregorian", ""),
    "noleap": ("noleap", "365_day", "NO_LEAP", "no_leap", "365_days"),
    "360_day": ("360_day", "THIRTY_DAY_MONTHS", "360"),
}
UNDECLARED = {"1e20": 1e20, "9.97e36": 9.969209968386869e36}


@dataclass(frozen=True)
class Odd:
    """A way of writing the record; the first choice of each axis is the plain one."""

    domain: str = "globe"
    steps: str = "daily"
    calendar: str = "standard"
    spelling: int = 0  # of the calendar
    stamps: str = "days"
    bounds: str = "none"
    time_name: str = "time"
    axis_names: tuple[str, str] = ("lat", "lon")
    axis_attrs: str = "full"
    layout: str = "axes"
    order: str = "tyx"
    north_first: bool = False
    wrap: str = "0 to 360"
    angle: str = "degrees"
    extra: str = "none"
    t2m: str = "K"
    msl: str = "Pa"
    packing: str = "float32"
    fill: str = "NaN"
    form: str = "netcdf4"
    split: str = "one"
    engine: str = "own"

    @property
    def twin(self) -> Odd:
        """The plain way of writing what is the same record."""
        return possible(Odd(domain=self.domain, steps=self.steps, calendar=self.calendar))

    def units(self, name: str) -> str:
        """Unit of a variable."""
        return str(getattr(self, name))


CHOICES: dict[str, tuple[Any, ...]] = {
    "domain": ("globe", "globe", "rotated"),
    "steps": ("daily", "monthly"),
    "calendar": ("standard", "standard", "noleap", "360_day"),
    "spelling": tuple(range(5)),
    "stamps": ("days", "hours", "float32 days", "noisy days", "date numbers", "months since"),
    "bounds": ("none", "none", "start", "end"),
    "time_name": ("time", "valid_time", "T"),
    "axis_names": (("lat", "lon"), ("latitude", "longitude"), ("j", "i"), ("nlat", "nlon"), ("y", "x")),
    "axis_attrs": ("full", "units", "standard_name"),
    "layout": ("axes", "axes", "mesh", "mesh, x first"),
    "order": ("tyx", "tyx", "txy", "yxt"),
    "north_first": (False, True),
    "wrap": ("0 to 360", "-180 to 180", "from the middle", "westward", "closed"),
    "angle": ("degrees", "degrees", "radians"),
    "extra": ("none", "height", "level of one", "group"),
    "t2m": tuple(QUANTITIES["t2m"].units),
    "msl": tuple(QUANTITIES["msl"].units),
    "packing": ("float32", "float64", "big-endian", "short", "unsigned byte"),
    "fill": ("NaN", "-9999", "missing_value", "missing_value as double", *UNDECLARED),
    "form": ("netcdf4", "netcdf4", "classic", "zarr 2", "zarr 3", "GRIB 1", "GRIB 2"),
    "split": ("one", "parts", "parts, last first", "overlapping", "variables", "parts in other units"),
    "engine": ("own", "own", "netcdf4", "h5netcdf", "scipy", "zarr"),
}
assert list(CHOICES) == [one.name for one in fields(Odd)]


_ENGINES = {
    "netcdf4": ("netcdf4", "h5netcdf"),
    "classic": ("netcdf4", "scipy"),
    "zarr 2": ("zarr",),
    "zarr 3": ("zarr",),
}


def draw(seed: int) -> Odd:
    """Draw a way of writing; the same seed draws the same."""
    rng = random.Random(seed)
    return possible(Odd(**{axis: rng.choice(choices) for axis, choices in CHOICES.items()}))


def ways(count: int, forms: Collection[str]) -> list[Odd]:
    """Draw so many different ways of writing files of some formats, always the same."""
    drawn = dict.fromkeys(odd for seed in range(10 * count) if (odd := draw(seed)).form in forms)
    return list(drawn)[:count]


def possible(odd: Odd) -> Odd:
    """Take back what cannot be together."""
    if odd.form.startswith("GRIB"):
        wrap = odd.wrap if odd.wrap in ("0 to 360", "-180 to 180") else "0 to 360"
        return Odd(form=odd.form, north_first=odd.north_first, wrap=wrap, split=_grib_split(odd.split))
    if odd.domain == "rotated":
        odd = replace(odd, wrap="0 to 360", north_first=False)
        odd = replace(odd, layout="two-dimensional" if odd.layout == "axes" else "rotated pole")
    if odd.form == "classic" and odd.extra == "group":
        odd = replace(odd, extra="none")
    if odd.form.startswith("zarr") and odd.packing == "unsigned byte":
        odd = replace(odd, packing="short")  # _Unsigned is a convention of NetCDF
    if odd.stamps == "date numbers" and (odd.calendar != "standard" or odd.bounds != "none"):
        odd = replace(odd, stamps="hours")
    if odd.stamps == "months since" and (odd.steps == "daily" or odd.bounds != "none"):
        odd = replace(odd, stamps="hours")
    if odd.packing in ("short", "unsigned byte") and odd.fill in ("NaN", *UNDECLARED):
        odd = replace(odd, fill="-9999")
    if odd.extra == "group" or odd.engine not in _ENGINES[odd.form]:
        odd = replace(odd, engine="own")
    if odd.spelling >= len(CALENDARS[odd.calendar]):
        odd = replace(odd, spelling=0)
    return odd


def _grib_split(split: str) -> str:
    return split if split != "parts in other units" else "parts"


# The record.


@cache
def record(domain: str, steps: str) -> dict[str, np.ndarray]:
    """Fields (t, y, x) in the units of the twin, NaN where missing."""
    shape = (len(LAT), len(LON)) if domain == "globe" else (len(RLAT), len(RLON))
    made = {}
    for number, (name, quantity) in enumerate(QUANTITIES.items()):
        rng = np.random.default_rng(number)
        patterns = rng.normal(size=(3, *shape)) * 12
        regime = np.arange(STEPS[steps]) // 5 % 3
        levels = np.round(patterns[regime] + 3 * rng.normal(size=(STEPS[steps], *shape)))
        values = quantity.middle + quantity.step * np.clip(levels, -60, 60)
        values[:, 0, 1] = values[:, 2, 3] = np.nan
        values[rng.uniform(size=values.shape) < 0.02] = np.nan
        made[name] = values
    return made


def _edges(odd: Odd) -> list[Any]:
    """Dates (t + 1) between which the steps lie."""
    count = STEPS[odd.steps] + 1
    if odd.steps == "monthly":
        months = [divmod(month, 12) for month in range(count)]
        return [cftime.datetime(2001 + y, m + 1, 1, calendar=odd.calendar) for y, m in months]
    numbers = np.arange(count)
    return list(cftime.num2date(numbers, "days since 2001-01-01", odd.calendar))


# Writing it.


def write(odd: Odd, folder: Path) -> list[Path]:
    """Write the record in a folder; what to give to a command, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    if odd.form.startswith("GRIB"):
        return _write_grib(odd, folder)
    whole = _dataset(odd)
    paths = []
    for number, (part, way) in enumerate(_split(whole, odd)):
        path = folder / f"part{number}{'.zarr' if odd.form.startswith('zarr') else '.nc'}"
        _store(_packed(part, way), path, way)
        paths.append(path)
    return paths[::-1] if odd.split == "parts, last first" else paths


def _split(whole: xr.Dataset, odd: Odd) -> list[tuple[xr.Dataset, Odd]]:
    name, third = odd.time_name, STEPS[odd.steps] // 3
    if odd.split == "one":
        return [(whole, odd)]
    if odd.split == "variables":
        return [(whole.drop_vars(other), odd) for other in reversed(QUANTITIES)]
    overlap = 2 if odd.split == "overlapping" else 0
    cuts = [slice(0, third + overlap), slice(third, 2 * third), slice(2 * third, None)]
    ways = [odd, odd, odd]
    if odd.split == "parts in other units":
        ways[1] = replace(odd, msl="hPa" if odd.msl == "Pa" else "Pa")
        ways[2] = replace(odd, t2m="kelvin" if odd.t2m == "K" else "K")
    return [(whole.isel({name: cut}), way) for cut, way in zip(cuts, ways, strict=True)]


def _dataset(odd: Odd) -> xr.Dataset:
    """The record in the units of the twin with the coordinates, dimensions and order of ``odd``."""
    coordinates, dims, index = _horizontal(odd)
    time = odd.time_name
    made = xr.Dataset(coords=coordinates)
    for name, values in record(odd.domain, odd.steps).items():
        made[name] = ((time, *dims), values[:, index[0][:, None], index[1]], dict(QUANTITIES[name].attrs))
        if odd.layout == "rotated pole":
            made[name].attrs["grid_mapping"] = "rotated_pole"
        elif odd.layout != "axes":
            made[name].attrs["coordinates"] = "geolat geolon"
    if odd.layout == "rotated pole":
        made["rotated_pole"] = ((), np.int32(0), POLE)
    made = _with_time(made, odd)
    if odd.layout == "mesh, x first":
        made = made.transpose(..., *reversed(dims))
    if odd.extra == "height":
        made = made.assign_coords(height=((), 2.0, {"units": "m", "positive": "up"}))
    if odd.extra == "level of one":
        made = made.assign_coords(lev=("lev", [2.0])).assign(
            {name: made[name].expand_dims("lev", axis=1) for name in QUANTITIES}
        )
    letters = {"t": time, "y": dims[0], "x": dims[1]}
    ordered = [letters[letter] for letter in odd.order]
    return made.assign({name: made[name].transpose(..., *ordered) for name in QUANTITIES})


def _horizontal(odd: Odd) -> tuple[dict[str, Any], tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Coordinates, names of the dimensions along y and x, and the rows and columns of the record."""
    if odd.domain == "rotated":
        return _curvilinear(odd)
    rows = np.arange(len(LAT))[:: -1 if odd.north_first else 1]
    columns, lon = _wrapped(odd.wrap)
    y, x = odd.axis_names
    lat, factor = LAT[rows], np.pi / 180 if odd.angle == "radians" else 1.0
    if odd.layout == "axes":
        axes = {y: (y, lat * factor, _attrs(odd, "lat")), x: (x, lon * factor, _attrs(odd, "lon"))}
        return axes, (y, x), (rows, columns)
    y, x = ("nj", "ni") if odd.axis_names == ("lat", "lon") else odd.axis_names
    mesh = np.meshgrid(lat * factor, lon * factor, indexing="ij")
    names = ("geolat", "geolon")
    axes = {n: ((y, x), m, _attrs(odd, k)) for n, m, k in zip(names, mesh, ("lat", "lon"), strict=True)}
    return axes, (y, x), (rows, columns)


def _curvilinear(odd: Odd) -> tuple[dict[str, Any], tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    every = np.arange(len(RLAT)), np.arange(len(RLON))
    if odd.layout == "rotated pole":
        axes = {
            "rlat": ("rlat", RLAT, {"standard_name": "grid_latitude", "units": "degrees"}),
            "rlon": ("rlon", RLON, {"standard_name": "grid_longitude", "units": "degrees"}),
        }
        return axes, ("rlat", "rlon"), every
    y, x = ("nj", "ni") if odd.axis_names == ("lat", "lon") else odd.axis_names
    factor = np.pi / 180 if odd.angle == "radians" else 1.0
    lat, lon = unrotated()
    axes = {
        "geolat": ((y, x), lat * factor, _attrs(odd, "lat")),
        "geolon": ((y, x), lon * factor, _attrs(odd, "lon")),
    }
    return axes, (y, x), every


def unrotated() -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (y, x) of the rotated grid, by turning Cartesian vectors."""
    tilt = np.radians(90 - POLE["grid_north_pole_latitude"])
    phi, lam = (np.radians(a) for a in np.meshgrid(RLAT, RLON, indexing="ij"))
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    turned = np.cos(tilt) * x - np.sin(tilt) * z, y, np.sin(tilt) * x + np.cos(tilt) * z
    lon = np.degrees(np.arctan2(turned[1], turned[0])) + POLE["grid_north_pole_longitude"] + 180
    return np.degrees(np.arcsin(turned[2])), (lon + 180) % 360 - 180


def _wrapped(wrap: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the record and their longitudes, as in the file."""
    columns = np.arange(len(LON))
    if wrap == "-180 to 180":
        columns = np.roll(columns, len(LON) // 2)
        return columns, (LON[columns] + 180) % 360 - 180
    if wrap == "from the middle":
        columns = np.roll(columns, -5)
        return columns, LON[columns] + 360 * (columns < 5)
    if wrap == "westward":
        return columns[::-1], LON[::-1]
    if wrap == "closed":
        return np.append(columns, 0), np.append(LON, 360.0)
    return columns, LON


def _attrs(odd: Odd, kind: str) -> dict[str, str]:
    standard = {"lat": "latitude", "lon": "longitude"}[kind]
    units = "radian" if odd.angle == "radians" else {"lat": "degrees_north", "lon": "degrees_east"}[kind]
    attrs = {"standard_name": standard, "units": units}
    if odd.axis_attrs == "units" and odd.angle == "degrees":
        del attrs["standard_name"]
    if odd.axis_attrs == "standard_name" and odd.angle == "degrees":
        attrs["units"] = "degrees"
    return attrs


def _with_time(made: xr.Dataset, odd: Odd) -> xr.Dataset:
    edges = _edges(odd)
    stamps = edges[1:] if odd.bounds == "end" else edges[:-1]
    units, numbers = _numbers(stamps, odd)
    calendar = CALENDARS[odd.calendar][odd.spelling]
    attrs = {"units": units, "standard_name": "time"} | ({"calendar": calendar} if calendar else {})
    if odd.bounds != "none":
        attrs["bounds"] = "time_bnds"
        both = np.array(cftime.date2num(edges, units, odd.calendar), np.float64)
        made["time_bnds"] = ((odd.time_name, "nv"), np.stack([both[:-1], both[1:]], 1))
    return made.assign_coords({odd.time_name: (odd.time_name, numbers, attrs)})


def _numbers(stamps: list[Any], odd: Odd) -> tuple[str, np.ndarray]:
    if odd.stamps == "date numbers":
        return "day as %Y%m%d.%f", np.array([d.year * 10000 + d.month * 100 + d.day for d in stamps], float)
    if odd.stamps == "months since":
        return "months since 2001-01-01", np.arange(len(stamps), dtype=float)
    units = "hours since 1900-01-01" if odd.stamps == "hours" else "days since 1850-01-01"
    numbers = np.array(cftime.date2num(stamps, units, odd.calendar), np.float64)
    if odd.stamps == "float32 days":
        return units, numbers.astype(np.float32)
    if odd.stamps == "noisy days":
        numbers += np.random.default_rng(0).uniform(-4, 4, len(numbers)) / 86400e3
    return units, numbers


# How values are stored.


def _packed(part: xr.Dataset, odd: Odd) -> xr.Dataset:
    """Convert units and encode values as they are to lie in the file."""
    part = part.copy()
    for name, quantity in QUANTITIES.items():
        if name not in part:
            continue
        factor, offset = quantity.units[odd.units(name)]
        values, attrs = part[name].values, {**part[name].attrs, "units": odd.units(name)}
        stored, more = _PACKINGS[odd.packing](values, quantity, factor, offset)
        part[name] = (part[name].dims, *_filled(stored, np.isnan(values), attrs | more, odd))
    return part


def _floats(kind: str) -> Callable[..., tuple[np.ndarray, dict[str, Any]]]:
    def packed(values: np.ndarray, _: Quantity, factor: float, offset: float) -> tuple[np.ndarray, dict]:
        return (values * factor + offset).astype(kind), {}

    return packed


def _integers(kind: str, shift: int, **more: str) -> Callable[..., tuple[np.ndarray, dict[str, Any]]]:
    def packed(
        values: np.ndarray, quantity: Quantity, factor: float, offset: float
    ) -> tuple[np.ndarray, dict]:
        levels = np.nan_to_num((values - quantity.middle) / quantity.step) + shift
        scale = quantity.step * factor
        attrs = {
            "scale_factor": scale,
            "add_offset": quantity.middle * factor + offset - shift * scale,
            **more,
        }
        return np.round(levels).astype(kind), attrs

    return packed


_PACKINGS = {
    "float32": _floats("f4"),
    "float64": _floats("f8"),
    "big-endian": _floats(">f4"),
    "short": _integers("i2", 0),
    "unsigned byte": _integers("u1", 100, _Unsigned="True"),
}


def _filled(
    stored: np.ndarray, missing: np.ndarray, attrs: dict[str, Any], odd: Odd
) -> tuple[np.ndarray, dict[str, Any]]:
    if odd.packing == "unsigned byte":
        stored[missing] = 255
        return stored.view("i1"), attrs | {"_FillValue": np.int8(-1)}
    if odd.fill == "NaN":
        return stored, attrs | {"_FillValue": stored.dtype.type(np.nan)}
    if odd.fill in UNDECLARED:
        stored[missing] = UNDECLARED[odd.fill]
        return stored, attrs | {"_FillValue": None}
    number = stored.dtype.type(-999.99 if odd.fill == "missing_value as double" else -9999)
    stored[missing] = number
    if odd.fill == "-9999":
        return stored, attrs | {"_FillValue": number}
    if odd.fill == "missing_value as double":
        number = np.float64(-999.99) if stored.dtype.kind == "f" else np.float64(number)
    return stored, attrs | {"_FillValue": None, "missing_value": number}


def _store(part: xr.Dataset, path: Path, odd: Odd) -> None:
    declared = {}
    for name in part.variables:
        fill = part[name].attrs.pop("_FillValue", None)
        if fill is None:
            declared[name] = {"_FillValue": None}
        else:
            part[name].attrs["_FillValue"] = fill
    group = "forecast/surface" if odd.extra == "group" else None
    if odd.form.startswith("zarr"):
        version, old = int(odd.form[-1]), odd.form == "zarr 2"
        part.to_zarr(path, zarr_format=version, encoding=declared, consolidated=old, group=group)
        return
    kind = "NETCDF3_64BIT" if odd.form == "classic" else "NETCDF4"
    part.to_netcdf(path, format=kind, engine="netcdf4", encoding=declared, group=group)


def _write_grib(odd: Odd, folder: Path) -> list[Path]:
    rows = np.arange(len(LAT))[:: -1 if odd.north_first else 1]
    columns, lon = _wrapped(odd.wrap)
    days = np.arange(STEPS["daily"])
    third = len(days) // 3
    names, overlap = tuple(QUANTITIES), 2 if odd.split == "overlapping" else 0
    jobs = {
        "one": [(names, days)],
        "variables": [((name,), days) for name in reversed(names)],
    }.get(odd.split, [(names, days[: third + overlap]), (names, days[third:])])
    paths = []
    for number, (variables, own) in enumerate(jobs):
        paths.append(folder / f"part{number}.grib")
        with paths[-1].open("wb") as file:
            for day in own:
                for name in variables:
                    field = record("globe", "daily")[name][day][rows[:, None], columns]
                    _write_message(file, name, field, day, LAT[rows], lon, int(odd.form[-1]))
    return paths[::-1] if odd.split == "parts, last first" else paths


def _write_message(
    file: Any, name: str, field: np.ndarray, day: int, lat: np.ndarray, lon: np.ndarray, edition: int
) -> None:
    date = cftime.num2date(day, "days since 2001-01-01", "standard")
    keys = {
        "Ni": len(lon),
        "Nj": len(lat),
        "jScansPositively": int(lat[0] < lat[-1]),
        "latitudeOfFirstGridPointInDegrees": lat[0],
        "longitudeOfFirstGridPointInDegrees": lon[0],
        "latitudeOfLastGridPointInDegrees": lat[-1],
        "longitudeOfLastGridPointInDegrees": lon[-1],
        "iDirectionIncrementInDegrees": 30,
        "jDirectionIncrementInDegrees": 20,
        "dataDate": int(date.strftime("%Y%m%d")),
        "dataTime": 0,
        "shortName": {"t2m": "2t"}.get(name, name),
        "missingValue": -9999.0,
        "bitsPerValue": 24,
        "bitmapPresent": 1,
    }
    message = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    for key, value in keys.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, np.nan_to_num(field, nan=-9999.0).ravel().astype(float))
    eccodes.codes_write(message, file)
    eccodes.codes_release(message)
