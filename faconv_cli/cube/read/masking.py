"""Values that are none although the file does not say so in a way its library heeds, and how many there were.

What ``_FillValue`` and ``missing_value`` declare, the library has made NaN already. Fields also hold

- the fill that NetCDF writes where nobody wrote or declared anything: 9.97e36 in floats, -32767 in shorts,
  and so on (not in bytes, where each value is likely meant: NetCDF User's Guide, "Fill Values");
- values outside ``valid_min``, ``valid_max`` or ``valid_range`` (CF conventions, section 2.5.1);
- infinities, and whatever else is 1e30 or more;
- 1e20 and 9.999e20, which CMIP and GrADS write and no quantity is to the last digit;
- what ``--missing-value`` names.

Other values that may be fill are told of, and remain: see `suspects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.open.declared import FLAWS
from faconv_cli.cube.read.suspects import Extremes, extremes, percent, suspicions

LARGEST = 1e30
_CERTAIN = (np.float32(1e20), np.float32(9.999e20))  # of either sign
_LEAST_CERTAIN = np.float32(9.99e19)
Reason = Literal["missing", "undeclared", "named", "infinite", "invalid"]
_WORDS: dict[Reason, str] = {
    "undeclared": "fill values that the file does not declare",
    "named": "what --missing-value names",
    "infinite": "infinite",
    "invalid": "outside the valid range that the file gives",
}
_FILLED_TYPES = {"i2", "u2", "i4", "u4", "i8", "u8"}


@dataclass(frozen=True)
class Screen:
    """What of the decoded values of one variable is no value.

    Attributes:
        fill: fill that nobody declared, in decoded values; None where the variable cannot have any.
        named: what the user takes as missing, in decoded values.
        low, high: what lies below or above is invalid.
        tolerance: how far decoded values may lie off, by the rounding of packing.
        flaws: what of the variable's own attributes is not heeded, or not as it stands.
    """

    fill: float | None = None
    named: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    tolerance: float = 0.0
    flaws: tuple[str, ...] = ()

    @classmethod
    def of(cls, variable: xr.Variable, named: Sequence[float] = ()) -> Screen:
        """Read the screen off the attributes and the encoding of a decoded variable.

        Args:
            variable: decoded.
            named: what the user takes as missing.
        """
        encoding, packed = variable.encoding, _Packing.of(variable)
        plain = cls(named=tuple(named), tolerance=packed.tolerance, flaws=tuple(encoding.get(FLAWS, ())))
        declared = [encoding[key] for key in ("_FillValue", "missing_value") if encoding.get(key) is not None]
        kind = packed.stored.str[1:]
        fill = None
        if kind in _FILLED_TYPES and not declared:
            fill = packed.decoded(int(netCDF4.default_fillvals[kind]))
        bounds = _valid_range(variable.attrs)
        low, high = (
            (packed.stored_bound(bound) for bound in bounds) if len(bounds) == 2 else (np.inf, -np.inf)
        )
        if not low <= high:
            flaw = "its valid range is not two numbers in order, and is ignored"
            return replace(plain, fill=fill, flaws=(*plain.flaws, flaw))
        if packed.packs and all(
            np.asarray(bound).dtype.kind != "f" for bound in bounds if np.isfinite(bound)
        ):
            low, high = sorted(map(packed.decoded, (low, high)))
        return replace(plain, fill=fill, low=low, high=high)

    def masked(self, fields: npt.NDArray[Any], found: Found) -> npt.NDArray[Any]:
        """Return decoded fields (..., t, y, x) with NaN for what is no value; themselves where all are.

        How many there are in each step is added to ``found``.
        """
        for reason, flawed in self._flaws(fields):
            if flawed.any():
                found.add(reason, flawed)
                if fields.dtype.kind != "f":
                    fields = fields.astype(np.float32 if fields.dtype.itemsize <= 2 else np.float64)
                fields = np.where(flawed, np.float32(np.nan), fields)
        return fields

    def _flaws(self, fields: npt.NDArray[Any]) -> Iterator[tuple[Reason, npt.NDArray[np.bool_]]]:
        filled = None
        if self.fill is not None:
            exact = not self.tolerance
            filled = fields == self.fill if exact else np.abs(fields - self.fill) <= self._slack(self.fill)
            yield "undeclared", filled
        for value in self.named:
            yield "named", np.abs(fields - value) <= self._slack(value)
        if self.low > -np.inf or self.high < np.inf:
            outside = (fields < self.low - self._slack(self.low)) | (
                fields > self.high + self._slack(self.high)
            )
            # fill that nobody declared has been told already, or will be
            outside &= np.abs(fields) <= LARGEST
            yield "invalid", outside if filled is None else outside & ~filled

    def _slack(self, value: float) -> float:
        """Half a step of packing, or the rounding of a bound given in single precision."""
        return max(self.tolerance, 1e-6 * abs(value)) if np.isfinite(value) else 0.0


@dataclass(frozen=True)
class _Packing:
    """How the numbers in a file become values: stored x scale + offset."""

    stored: np.dtype[Any]
    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, variable: xr.Variable) -> _Packing:
        encoding = variable.encoding
        stored = np.dtype(encoding.get("dtype") or variable.dtype)
        meant = {"true": "u", "false": "i"}.get(str(encoding.get("_Unsigned", "")).lower())
        if meant and stored.kind in "iu":
            stored = np.dtype(f"{meant}{stored.itemsize}")
        scale, offset = (encoding.get(key) for key in ("scale_factor", "add_offset"))
        return cls(
            stored, *(float(np.ravel(v)[0]) if v is not None else d for v, d in ((scale, 1), (offset, 0)))
        )

    @property
    def packs(self) -> bool:
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def tolerance(self) -> float:
        return abs(self.scale) / 2 if self.packs else 0.0

    def decoded(self, number: float) -> float:
        return number * self.scale + self.offset if self.packs else number

    def stored_bound(self, bound: Any) -> float:
        """Return a bound of the valid range as a number; attributes may be signed where values are not."""
        if self.stored.kind == "u" and np.asarray(bound).dtype.kind == "i" and bound < 0:
            return float(int(bound) + 256**self.stored.itemsize)
        if (
            self.stored.kind == "i"
            and bound > np.iinfo(self.stored).max
            and bound.dtype == _other(self.stored)
        ):
            return float(int(bound) - 256**self.stored.itemsize)
        return float(bound)


def _valid_range(attributes: Mapping[Any, Any]) -> list[Any]:
    """Return the two bounds that a variable's attributes declare, infinite where none; else not two."""
    # one by one: beside an infinity an integer would become a float, which is not as packed
    ends = [np.ravel(attributes.get(*end)) for end in (("valid_min", -np.inf), ("valid_max", np.inf))]
    bounds = [bound for end in ends for bound in end]
    bounds = list(np.ravel(attributes["valid_range"])) if "valid_range" in attributes else bounds
    return bounds if all(np.asarray(bound).dtype.kind in "fiu" for bound in bounds) else []


def _other(signed: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{signed.itemsize}")


class Found:
    """How many values of some steps are none, and why."""

    def __init__(self) -> None:
        self.counts: dict[Reason, npt.NDArray[np.int64]] = {}
        self.extremes: Extremes = np.zeros((0, 6))

    def add(self, reason: Reason, flawed: npt.NDArray[np.bool_]) -> None:
        """Add values (..., t, y, x) that are none for one reason."""
        per_step = flawed.sum(axis=(-2, -1))
        per_step = per_step.reshape(-1, per_step.shape[-1]).sum(axis=0)
        self.counts[reason] = self.counts.get(reason, 0) + per_step

    def add_at(self, step: int, steps: int, reason: Reason, count: int) -> None:
        """Add the count of one of the steps."""
        self.counts.setdefault(reason, np.zeros(steps, np.int64))[step] += count


def certainly_none(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark what is infinite, 1e30 or more, or fill to the last digit of single precision."""
    with np.errstate(invalid="ignore"):
        beyond: npt.NDArray[np.bool_] = np.abs(values) >= _LEAST_CERTAIN
    if beyond.any():
        with np.errstate(over="ignore"):
            size = np.abs(values).astype(np.float32)
        beyond &= (size >= LARGEST) | np.isin(size, _CERTAIN)
    return beyond


def first_valid(versions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Take of (version, ...) at each point the first that is a value, else the last."""
    return reduce(lambda kept, more: np.where(np.isnan(kept) | certainly_none(kept), more, kept), versions)


def mask_beyond(fields: npt.NDArray[np.float32], found: Found) -> None:
    """Make NaN, in place, what of fields (t, y, x) is certainly no value; count all that is NaN."""
    missing = np.zeros(len(fields), np.int64)
    for step, field in enumerate(fields):  # one step at a time stays in the processor's cache
        beyond = certainly_none(field)
        if beyond.any():
            infinite = np.isinf(field)
            found.add_at(step, len(fields), "infinite", infinite.sum())
            found.add_at(step, len(fields), "undeclared", (beyond & ~infinite).sum())
            field[beyond] = np.nan
        missing[step] = np.count_nonzero(np.isnan(field))
    found.counts["missing"] = missing
    found.extremes = np.array([extremes(*each) for each in zip(fields, missing.tolist(), strict=True)])


class Ledger:
    """How many values of one channel of one file were none, in the steps that have been read.

    A step that is read again counts once.

    Args:
        name: the variable.
        steps: time steps in the file.
    """

    def __init__(self, name: str, steps: int) -> None:
        self.name, self._points = name, 0
        self._read = np.zeros(steps, bool)
        self._counts: dict[Reason, npt.NDArray[np.int64]] = {}
        self._extremes: Extremes = np.zeros((steps, 6))

    def enter(self, start: int, fields: npt.NDArray[np.float32], found: Found) -> None:
        """Note what was found in the steps from ``start`` on, of which ``fields`` (t, y, x) were read."""
        steps = slice(start, start + len(fields))
        self._read[steps], self._points = True, int(np.prod(fields.shape[1:]))
        for reason in {*self._counts, *found.counts}:
            counts = self._counts.setdefault(reason, np.zeros(len(self._read), np.int64))
            counts[steps] = found.counts.get(reason, 0)
        self._extremes[steps] = found.extremes if len(found.extremes) else 0

    @property
    def values(self) -> int:
        """How many values were read."""
        return int(self._read.sum()) * self._points

    @property
    def extremes(self) -> Extremes:
        """Extremes of the fields that were read (n, 6), as of `suspects.extremes`."""
        return self._extremes[self._read]

    def total(self, reason: Reason) -> tuple[int, int]:
        """How many of them were none for one reason, and in how many steps."""
        counts = self._counts.get(reason, np.zeros(1, np.int64))
        return int(counts.sum()), int((counts > 0).sum())


def sentences(ledgers: Iterable[Ledger]) -> list[str]:
    """Report what has been treated as missing in all data read so far, for each variable."""
    told = []
    groups: dict[str, list[Ledger]] = {}
    for ledger in ledgers:
        groups.setdefault(ledger.name, []).append(ledger)
    for name, group in groups.items():
        for reason, words in _WORDS.items():
            values, steps = (
                sum(numbers) for numbers in zip(*(one.total(reason) for one in group), strict=True)
            )
            if values:
                told.append(f"{name}: {values} values in {steps} fields are {words} and count as missing.")
        missing, read = sum(one.total("missing")[0] for one in group), sum(one.values for one in group)
        if missing:
            told.append(f"{name}: {percent(missing, read)} of the values are missing.")
        told += suspicions(name, np.concatenate([one.extremes for one in group]), read)
    return told
