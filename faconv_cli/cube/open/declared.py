"""What attributes say of stored numbers, brought into the form in which xarray heeds it.

xarray compares fill values as they are declared, so that a ``missing_value`` in double precision never equals
data in single precision; it knows ``_Unsigned`` in one spelling, and multiplies by a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from faconv_cli.errors import InputError

FLAWS = "faconv_flaws"  # in the encoding: what of a variable's attributes is not heeded, in sentences
REFUSED = "faconv_refused"  # in the encoding: why a variable's numbers cannot be decoded

_TRUE, _FALSE = {"true", "t", "yes", "y", "1", "1.0"}, {"false", "f", "no", "n", "0", "0.0"}
_NUMBER = re.compile(  # with what C and CDL write after it, and Fortran's exponents
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[ed][+-]?\d+)?|[+-]?(?:nan|inf|infinity))(?:f|d|u?(?:b|s|ll?)|u)?", re.I
)
_WHOLE = 1e-3  # of a stored number; how far a packed missing value may be from one


def decoded(raw: xr.Dataset, where: str) -> xr.Dataset:
    """Decode a data set lazily, but for times; see `FLAWS` and `REFUSED` for what was found on the way.

    Args:
        raw: opened with ``decode_cf=False``.
        where: the file, for messages.

    Raises:
        InputError: a coordinate cannot be decoded.
    """
    for name, variable in raw.variables.items():
        if variable.dtype.kind not in "iuf":
            continue
        attributes, flaws, refused = _heeded(variable.attrs, variable.dtype)
        if refused and variable.ndim <= 1:
            raise InputError(
                f"{where}: {name} has {refused}",
                wanted="scale and offset are single numbers",
                do="correct the attribute",
            )
        variable.attrs = attributes
        variable.encoding |= {FLAWS: flaws} if flaws else {}
        variable.encoding |= {REFUSED: refused} if refused else {}
    dataset = xr.decode_cf(raw, decode_times=False)
    # as xarray orders what it decodes at once; of equal evidence the first coordinate counts
    indices = [name for name in dataset.coords if name in dataset.dims]
    return dataset[[*dataset.data_vars, *indices, *(name for name in dataset.coords if name not in indices)]]


def _heeded(attributes: Mapping[Any, Any], stored: np.dtype[Any]) -> tuple[dict[Any, Any], list[str], str]:
    """Return the attributes that xarray obeys, those it ignores, and why numbers cannot be decoded."""
    kept, flaws = dict(attributes), list[str]()
    refused = _set_packing(kept, flaws)
    meant = _set_sign(kept, stored, flaws)
    _set_valid_range(kept, flaws)
    packing = [float(kept.get(key, default)) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))]
    for key in ("_FillValue", "missing_value"):
        _set_missing(kept, key, stored, meant, packing, flaws)
    return kept, flaws, refused


def _set_packing(attributes: dict[Any, Any], flaws: list[str]) -> str:
    """Make scale and offset numbers; where one is none, drop both and say so."""
    for key in ("scale_factor", "add_offset"):
        if key not in attributes:
            continue
        given = attributes[key]
        number = _one_number(given)
        if number is None or not np.isfinite(number) or (key == "scale_factor" and not number):
            for one in ("scale_factor", "add_offset"):
                attributes.pop(one, None)
            return f"{'an' if key[0] == 'a' else 'a'} {key} that is no number to pack by: {_shown(given)}"
        if _is_text(given):
            attributes[key] = number
            flaws.append(_read_as(key, given, [number]))
    return ""


def _set_valid_range(attributes: dict[Any, Any], flaws: list[str]) -> None:
    """Make bounds of valid values numbers where they are texts of some; `masking` tells of others."""
    for key in ("valid_min", "valid_max", "valid_range"):
        given = attributes.get(key, 0)
        if _is_text(given) and (numbers := _numbers(given)):
            attributes[key] = np.array(numbers) if key == "valid_range" else np.array(numbers)[0]
            flaws.append(_read_as(key, given, numbers))


def _one_number(value: Any) -> float | None:
    values = _numbers(value) if _is_text(value) else np.ravel(value)
    return float(values[0]) if len(values) == 1 else None


def _is_text(value: Any) -> bool:
    return np.asarray(value).dtype.kind not in "iuf"


def _numbers(texts: Any) -> list[float]:
    """Read numbers from texts, or from one with commas between, integers as such; none where one is none."""
    words = [word.strip() for text in np.ravel(texts) for word in _text(text).split(",")]
    matches = [_NUMBER.fullmatch(word) for word in words]
    return [_number(match[1]) for match in matches if match] if all(matches) else []


def _number(word: str) -> float:
    return int(word) if word.lstrip("+-").isdecimal() else float(word.lower().replace("d", "e"))


def _read_as(key: str, given: Any, numbers: list[float]) -> str:
    read = ", ".join(f"{number:.9g}" for number in numbers)
    return f"its {key} is the text {_shown(given)}, read as the number {read}"


def _shown(value: Any) -> str:
    return repr(_text(value))[:60] if isinstance(value, str | bytes) else _text(value)[:60]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _set_sign(attributes: dict[Any, Any], stored: np.dtype[Any], flaws: list[str]) -> np.dtype[Any]:
    """Spell ``_Unsigned`` as xarray does; give the type that the stored numbers are meant to have."""
    keys = sorted((key for key in attributes if str(key).strip("_ ").lower() == "unsigned"), key=str)
    if not keys:
        return stored
    key = "_Unsigned" if "_Unsigned" in keys else keys[0]
    given = [attributes.pop(one) for one in keys][keys.index(key)]
    word = ",".join(_text(one).strip().lower() for one in np.ravel(given))
    unsigned = word in _TRUE
    if not unsigned and word not in _FALSE:
        flaws.append(f"its {key} is {_shown(given)}, neither true nor false, and is ignored")
        return stored
    if stored.kind not in "iu" or (stored.kind == "u") == unsigned:
        return stored
    if key != "_Unsigned":
        flaws.append(f"its {key} is read as _Unsigned, and its numbers as {'un' * unsigned}signed")
    attributes["_Unsigned"] = "true" if unsigned else "false"
    return np.dtype(f"{'u' if unsigned else 'i'}{stored.itemsize}")


def _set_missing(
    attributes: dict[Any, Any],
    key: str,
    stored: np.dtype[Any],
    meant: np.dtype[Any],
    packing: list[float],
    flaws: list[str],
) -> None:
    """Return the missing values that ``key`` declares, in the type of the data if it can hold them."""
    if key not in attributes:
        return
    given = attributes[key]
    declared = np.ravel(_numbers(given) if _is_text(given) else given)
    if _is_text(given):
        flaws.append(
            _read_as(key, given, declared.tolist())
            if len(declared)
            else f"its {key} is the text {_shown(given)}, no number, and masks nothing; "
            "name what is missing with --missing-value"
        )
    if stored != meant and key == "_FillValue" and declared.dtype == stored:
        declared = declared.view(meant)  # the library keeps it in the stored type, with the same bits
    held = [number for value in declared for number in _held(value, meant, packing)]
    lost = [value for value in declared if not _held(value, meant, packing)]
    if lost:
        flaws.append(f"its {key} {lost[0]:g} cannot be a value of type {meant}, and masks nothing")
    attributes.pop(key)
    if held:
        values = np.array(held, meant)
        # xarray wants the one in the stored type where that is another, and all others as they are meant
        attributes[key] = values[0].astype(stored) if key == "_FillValue" and len(values) == 1 else values


def _held(value: Any, kind: np.dtype[Any], packing: list[float]) -> list[Any]:
    """Return what a declared missing value is in a type of numbers; nothing if it cannot hold it."""
    return _held_as_float(value, kind) if kind.kind == "f" else _held_as_integer(value, kind, packing)


def _held_as_float(value: Any, kind: np.dtype[Any]) -> list[Any]:
    """Round to the precision of the data; in double also what was rounded to single before, or from it."""
    with np.errstate(over="ignore"):
        own, single = kind.type(value), np.float32(value)
    if np.isinf(own) and not np.isinf(value):
        return []
    if kind.itemsize <= 4 or not np.isfinite(single):
        return [own]
    return list(dict.fromkeys([own, kind.type(single), kind.type(str(single))]))


def _held_as_integer(value: Any, kind: np.dtype[Any], packing: list[float]) -> list[Any]:
    """Take a whole number as stored, of either sign; another one as what it is before packing."""
    limits, wraps = np.iinfo(kind), 256**kind.itemsize
    if not np.isfinite(value):
        return []
    candidates = [float(value)]
    if float(value) != int(value) or not limits.min <= value <= limits.max:
        candidates = [(float(value) - packing[1]) / packing[0]] if packing != [1.0, 0.0] else []
    if kind.kind == "u" and -wraps // 2 <= value < 0 and value == int(value):
        candidates = [float(value) + wraps]  # attributes are signed even for unsigned numbers
    return [
        round(number)
        for number in candidates
        if abs(number - round(number)) <= _WHOLE and limits.min <= round(number) <= limits.max
    ]
