"""Rewrite attributes that describe stored numbers into the form that xarray applies.

xarray compares fill values as declared, so that a ``missing_value`` in double precision never equals data in
single precision. It knows only one spelling of ``_Unsigned``, and multiplies by packing values that are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from faconv_cli.errors import InputError

FLAWS = "faconv_flaws"  # in the encoding: which attributes are ignored or reinterpreted, in sentences
REFUSED = "faconv_refused"  # in the encoding: why a variable's numbers cannot be decoded

_TRUE, _FALSE = {"true", "t", "yes", "y", "1", "1.0"}, {"false", "f", "no", "n", "0", "0.0"}
_NUMBER = re.compile(  # with the type suffixes of C and CDL, and Fortran exponents
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[ed][+-]?\d+)?|[+-]?(?:nan|inf|infinity))(?:f|d|u?(?:b|s|ll?)|u)?", re.I
)
_WHOLE = 1e-3  # how far a missing value, once packed, may be from a whole stored number


def decoded(raw: xr.Dataset, where: str) -> xr.Dataset:
    """Decode a data set lazily, except times; what is found on the way is in `FLAWS` and `REFUSED`.

    Args:
        raw: data set opened with ``decode_cf=False``.
        where: the file, for messages.

    Raises:
        InputError: if a coordinate cannot be decoded.
    """
    for name, variable in raw.variables.items():
        if variable.dtype.kind not in "iuf":
            continue
        attributes, flaws, refused = _heeded(variable.attrs, variable.dtype)
        if refused and variable.ndim <= 1:
            raise InputError(
                f"{where}: {name} has {refused}",
                wanted="scale_factor and add_offset must be finite numbers, and scale_factor not zero",
                do="set the attribute to a number, for example with ncatted",
            )
        variable.attrs = attributes
        variable.encoding |= {FLAWS: flaws} if flaws else {}
        variable.encoding |= {REFUSED: refused} if refused else {}
    dataset = xr.decode_cf(raw, decode_times=False)
    # the order that xarray gives when it opens and decodes in one go; of equally likely coordinates, the
    # first is used later on
    indices = [name for name in dataset.coords if name in dataset.dims]
    return dataset[[*dataset.data_vars, *indices, *(name for name in dataset.coords if name not in indices)]]


def _heeded(attributes: Mapping[Any, Any], stored: np.dtype[Any]) -> tuple[dict[Any, Any], list[str], str]:
    """Return the attributes as xarray applies them, what is ignored, and why numbers cannot be decoded."""
    kept, flaws = dict(attributes), list[str]()
    refused = _set_packing(kept, flaws)
    meant = _set_sign(kept, stored, flaws)
    _set_valid_range(kept, flaws)
    packing = [float(kept.get(key, default)) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))]
    for key in ("_FillValue", "missing_value"):
        _set_missing(kept, key, stored, meant, packing, flaws)
    return kept, flaws, refused


def _set_packing(attributes: dict[Any, Any], flaws: list[str]) -> str:
    """Convert scale and offset to numbers; if one is not a number, drop both and return the reason."""
    for key in ("scale_factor", "add_offset"):
        if key not in attributes:
            continue
        given = attributes[key]
        number = _one_number(given)
        if number is None or not np.isfinite(number) or (key == "scale_factor" and not number):
            for one in ("scale_factor", "add_offset"):
                attributes.pop(one, None)
            return f"{'an' if key[0] == 'a' else 'a'} {key} that is not a usable number: {_shown(given)}"
        if _is_text(given):
            attributes[key] = number
            flaws.append(_read_as(key, given, [number]))
    return ""


def _set_valid_range(attributes: dict[Any, Any], flaws: list[str]) -> None:
    """Convert bounds of valid values given as text to numbers; `masking` reports other texts."""
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
    """Read numbers from texts, or from one text with commas; return none if any part is not a number.

    Whole numbers stay integers.
    """
    words = [word.strip() for text in np.ravel(texts) for word in _text(text).split(",")]
    matches = [_NUMBER.fullmatch(word) for word in words]
    return [_number(match[1]) for match in matches if match] if all(matches) else []


def _number(word: str) -> float:
    return int(word) if word.lstrip("+-").isdecimal() else float(word.lower().replace("d", "e"))


def _read_as(key: str, given: Any, numbers: list[float]) -> str:
    read = ", ".join(f"{number:.9g}" for number in numbers)
    return f"its {key} is the text {_shown(given)} and is read as the number {read}"


def _shown(value: Any) -> str:
    return repr(_text(value))[:60] if isinstance(value, str | bytes) else _text(value)[:60]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _set_sign(attributes: dict[Any, Any], stored: np.dtype[Any], flaws: list[str]) -> np.dtype[Any]:
    """Spell ``_Unsigned`` as xarray does; return the intended type of the stored numbers."""
    keys = sorted((key for key in attributes if str(key).strip("_ ").lower() == "unsigned"), key=str)
    if not keys:
        return stored
    key = "_Unsigned" if "_Unsigned" in keys else keys[0]
    given = [attributes.pop(one) for one in keys][keys.index(key)]
    word = ",".join(_text(one).strip().lower() for one in np.ravel(given))
    unsigned = word in _TRUE
    if not unsigned and word not in _FALSE:
        flaws.append(f"its {key} is {_shown(given)}, which is neither true nor false, and is ignored")
        return stored
    if stored.kind not in "iu" or (stored.kind == "u") == unsigned:
        return stored
    if key != "_Unsigned":
        flaws.append(f"its {key} is read as _Unsigned, and its numbers are read as {'un' * unsigned}signed")
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
    """Convert the missing values declared by ``key`` to the type of the data; drop those it cannot hold."""
    if key not in attributes:
        return
    given = attributes[key]
    declared = np.ravel(_numbers(given) if _is_text(given) else given)
    if _is_text(given):
        flaws.append(
            _read_as(key, given, declared.tolist())
            if len(declared)
            else f"its {key} is the text {_shown(given)}, which is not a number, and masks nothing; "
            "give the missing value with --missing-value"
        )
    if stored != meant and key == "_FillValue" and declared.dtype == stored:
        declared = declared.view(meant)  # the library keeps it in the stored type, with the same bits
    held = [number for value in declared for number in _held(value, meant, packing)]
    lost = [value for value in declared if not _held(value, meant, packing)]
    if lost:
        flaws.append(f"its {key} {lost[0]:g} cannot be a value of type {meant} and masks nothing")
    attributes.pop(key)
    if held:
        values = np.array(held, meant)
        # xarray expects a single _FillValue in the stored type, and all others in the intended type
        attributes[key] = values[0].astype(stored) if key == "_FillValue" and len(values) == 1 else values


def _held(value: Any, kind: np.dtype[Any], packing: list[float]) -> list[Any]:
    """Return the numbers of a type that a declared missing value may stand for, possibly none."""
    return _held_as_float(value, kind) if kind.kind == "f" else _held_as_integer(value, kind, packing)


def _held_as_float(value: Any, kind: np.dtype[Any]) -> list[Any]:
    """Round to the precision of the data; in double, also return the value as rounded to or from single."""
    with np.errstate(over="ignore"):
        own, single = kind.type(value), np.float32(value)
    if np.isinf(own) and not np.isinf(value):
        return []
    if kind.itemsize <= 4 or not np.isfinite(single):
        return [own]
    return list(dict.fromkeys([own, kind.type(single), kind.type(str(single))]))


def _held_as_integer(value: Any, kind: np.dtype[Any], packing: list[float]) -> list[Any]:
    """Take a whole number as a stored value, of either sign; take any other as the unpacked value."""
    limits, wraps = np.iinfo(kind), 256**kind.itemsize
    if not np.isfinite(value):
        return []
    candidates = [float(value)]
    if float(value) != int(value) or not limits.min <= value <= limits.max:
        candidates = [(float(value) - packing[1]) / packing[0]] if packing != [1.0, 0.0] else []
    if kind.kind == "u" and -wraps // 2 <= value < 0 and value == int(value):
        candidates = [float(value) + wraps]  # attributes may be signed even where the data are unsigned
    return [
        round(number)
        for number in candidates
        if abs(number - round(number)) <= _WHOLE and limits.min <= round(number) <= limits.max
    ]
