"""Translate units as files spell them into spellings that udunits reads correctly.

udunits refuses most spellings that it does not know, but takes some for another unit: "degrees Celsius" as an
angle times a temperature, "C" as coulomb, "mb" as millibarn, "Sv" as sievert.
"""

from __future__ import annotations

import re

_TEMPERATURE = re.compile(
    r"(?:\bdeg(?:ree)?s?\.?|[°º])[\s_.*-]*(?P<scale>celsius|celcius|centigrade|kelvin|fahrenheit|[ckf])\b"
    r"(?!\s*(?:\^|\*\*)?\s*-?\d)",  # "degree K-1" is an angle per kelvin
    re.IGNORECASE,
)
_SCALES = {"c": "degC", "k": "K", "f": "degF"}
_PRACTICAL = (
    "psu",
    "pss",
    "pss-78",
    "pss78",
    "pss 78",
    "practical salinity unit",
    "practical salinity units",
)
# whole texts in lower case; only "C" and "F" are matched as capitals, since nobody writes "c" or "f"
_MEANT = {
    "centigrade": "degC",
    "celcius": "degC",
    "oc": "degC",
    "'c": "degC",
    "deg": "degree",
    "degrees true": "degree",
    "deg true": "degree",
    "mb": "hPa",
    "mbs": "hPa",
    "hpa": "hPa",
    "pa": "Pa",
    "gpm": "m",
    "m gp": "m",
    "geopotential meter": "m",
    "geopotential metre": "m",
    "geopotential meters": "m",
    "geopotential metres": "m",
    "gpdm": "dam",
    "gpdam": "dam",
    "dagpm": "dam",
    **dict.fromkeys(_PRACTICAL, "1e-3"),
    "fraction": "1",
    "dimensionless": "1",
    "unitless": "1",
    "(0 - 1)": "1",
    "(0-1)": "1",
    "0-1": "1",
    "0 - 1": "1",
    "-": "1",
    "octa": "0.125",
    "octas": "0.125",
    "okta": "0.125",
    "oktas": "0.125",
    "tenths": "0.1",
    "pvu": "PVU",
    "sv": "1e6 m3 s-1",
    "sverdrup": "1e6 m3 s-1",
    "sverdrups": "1e6 m3 s-1",
    "wm-2": "W m-2",
    # mass of water per area, not a height of snow or ice
    "m of water equivalent": "1000 kg m-2",
    "m of water": "1000 kg m-2",
    "m w.e.": "1000 kg m-2",
    "mm of water equivalent": "kg m-2",
    "mm of water": "kg m-2",
    "mm w.e.": "kg m-2",
}
_CAPITALS = {"C": "degC", "F": "degF"}
_PER_MASS = re.compile(r"\b(?:[kmunµμ]?g|kilograms?|grams?)\b|ppmw|ppbw|ppmm", re.IGNORECASE)
_PER_AMOUNT = re.compile(r"\b(?:[mun]?mol|moles?)\b|\bpp[mbt]v?\b|\bm\s*(?:\^|\*\*)?3", re.IGNORECASE)
_LENGTHS = {name: re.compile(rf"\b{name}s?\b", re.IGNORECASE) for name in ("mon(?:th)?", "y(?:ea)?r")}


def meant(units: str) -> str:
    """Return units in the spelling by which udunits reads what their writer meant."""
    text = " ".join(units.split())
    text = _CAPITALS.get(text) or _MEANT.get(text.lower()) or text
    return _TEMPERATURE.sub(lambda match: _SCALES[match["scale"][0].lower()], text)


def is_practical(units: str) -> bool:
    """Return whether units are those of practical salinity, a pure number in CF, close to g kg-1."""
    return " ".join(units.lower().split()) in _PRACTICAL


def share_of(units: str) -> str:
    """Return whether a ratio is of "masses" or of "amounts" (including volumes of gas); "" if not stated."""
    mass, amount = bool(_PER_MASS.search(units)), bool(_PER_AMOUNT.search(units))
    return "masses" if mass and not amount else "amounts" if amount and not mass else ""


def vague_times(units: str) -> frozenset[str]:
    """Return the time units (months, years) in a unit that are not a fixed number of days."""
    return frozenset(name for name, pattern in _LENGTHS.items() if pattern.search(units))
