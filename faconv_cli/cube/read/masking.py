"""Mask and count values that mean missing data although the library does not mask them.

The library already turns values declared by ``_FillValue`` and ``missing_value`` into NaN. Also masked are

- the default fill of NetCDF where nothing was written or declared: 9.97e36 in floats, -32767 in shorts, and
  so on (not in bytes, where any value may be real: NetCDF User's Guide, "Fill Values");
- values outside ``valid_min``, ``valid_max`` or ``valid_range`` (CF conventions, section 2.5.1);
- infinities, and any other value of 1e30 or more;
- exactly 1e20 and 9.999e20, the fill values of CMIP and GrADS;
- values given with ``--missing-value``.

Other values that may be fill are reported but kept: see `suspects`.
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
    "named": "equal to --missing-value",
    "infinite": "infinite",
    "invalid": "outside the valid range declared in the file",
}
_FILLED_TYPES = {"i2", "u2", "i4", "u4", "i8", "u8"}


@dataclass(frozen=True)
class Screen:
    """Which decoded values of a variable mean missing data.

    Attributes:
        fill: undeclared default fill, as a decoded value; None if the variable cannot hold it.
        named: values that the user gives as missing, as decoded values.
        low, high: values below or above are invalid.
        tolerance: rounding error of decoded values, from packing.
        flaws: which of the variable's attributes are ignored or reinterpreted.
    """

    fill: float | None = None
    named: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    tolerance: float = 0.0
    flaws: tuple[str, ...] = ()

    @classmethod
    def of(cls, variable: xr.Variable, named: Sequence[float] = ()) -> Screen:
        """Return the screen for a decoded variable, from its attributes and encoding.

        Args:
            variable: the decoded variable.
            named: values that the user gives as missing.
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
            flaw = "its valid range is not two numbers in ascending order and is ignored"
            return replace(plain, fill=fill, flaws=(*plain.flaws, flaw))
        if packed.packs and all(
            np.asarray(bound).dtype.kind != "f" for bound in bounds if np.isfinite(bound)
        ):
            low, high = sorted(map(packed.decoded, (low, high)))
        return replace(plain, fill=fill, low=low, high=high)

    def masked(self, fields: npt.NDArray[Any], found: Found) -> npt.NDArray[Any]:
        """Return decoded fields (..., t, y, x) with NaN for masked values; the same array if there are none.

        The number of masked values in each step is added to ``found``.
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
            # undeclared fill is counted elsewhere
            outside &= np.abs(fields) <= LARGEST
            yield "invalid", outside if filled is None else outside & ~filled

    def _slack(self, value: float) -> float:
        """Return half a packing step, or the rounding error of a bound in single precision."""
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
        """Return a bound of the valid range as a number; its type may differ in sign from the data."""
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
    """Return the two bounds that the attributes declare, infinite by default; another number if invalid."""
    # one by one: in an array with an infinity, an integer would become a float and no longer count as packed
    ends = [np.ravel(attributes.get(*end)) for end in (("valid_min", -np.inf), ("valid_max", np.inf))]
    bounds = [bound for end in ends for bound in end]
    bounds = list(np.ravel(attributes["valid_range"])) if "valid_range" in attributes else bounds
    return bounds if all(np.asarray(bound).dtype.kind in "fiu" for bound in bounds) else []


def _other(signed: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{signed.itemsize}")


class Found:
    """Counts of masked values in some steps, by reason."""

    def __init__(self) -> None:
        self.counts: dict[Reason, npt.NDArray[np.int64]] = {}
        self.extremes: Extremes = np.zeros((0, 6))

    def add(self, reason: Reason, flawed: npt.NDArray[np.bool_]) -> None:
        """Add values (..., t, y, x) masked for one reason."""
        per_step = flawed.sum(axis=(-2, -1))
        per_step = per_step.reshape(-1, per_step.shape[-1]).sum(axis=0)
        self.counts[reason] = self.counts.get(reason, 0) + per_step

    def add_at(self, step: int, steps: int, reason: Reason, count: int) -> None:
        """Add the count of one step."""
        self.counts.setdefault(reason, np.zeros(steps, np.int64))[step] += count


def certainly_none(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return a mask of values that are infinite, at least 1e30, or equal to a known fill in float32."""
    with np.errstate(invalid="ignore"):
        beyond: npt.NDArray[np.bool_] = np.abs(values) >= _LEAST_CERTAIN
    if beyond.any():
        with np.errstate(over="ignore"):
            size = np.abs(values).astype(np.float32)
        beyond &= (size >= LARGEST) | np.isin(size, _CERTAIN)
    return beyond


def first_valid(versions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return at each point the first valid version of (version, ...), or the last if none is valid."""
    return reduce(lambda kept, more: np.where(np.isnan(kept) | certainly_none(kept), more, kept), versions)


def mask_beyond(fields: npt.NDArray[np.float32], found: Found) -> None:
    """Set values of fields (t, y, x) that are certainly fill to NaN, in place; count all NaN values."""
    missing = np.zeros(len(fields), np.int64)
    for step, field in enumerate(fields):  # one step at a time fits in the processor cache
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
    """Counts of masked values of a channel in one file, over the steps that have been read.

    A step that is read several times counts once.

    Args:
        name: name of the variable.
        steps: number of time steps in the file.
    """

    def __init__(self, name: str, steps: int) -> None:
        self.name, self._points = name, 0
        self._read = np.zeros(steps, bool)
        self._counts: dict[Reason, npt.NDArray[np.int64]] = {}
        self._extremes: Extremes = np.zeros((steps, 6))

    def enter(self, start: int, fields: npt.NDArray[np.float32], found: Found) -> None:
        """Record what was found in the steps from ``start`` on, which were read as ``fields`` (t, y, x)."""
        steps = slice(start, start + len(fields))
        self._read[steps], self._points = True, int(np.prod(fields.shape[1:]))
        for reason in {*self._counts, *found.counts}:
            counts = self._counts.setdefault(reason, np.zeros(len(self._read), np.int64))
            counts[steps] = found.counts.get(reason, 0)
        self._extremes[steps] = found.extremes if len(found.extremes) else 0

    @property
    def values(self) -> int:
        """Number of values read."""
        return int(self._read.sum()) * self._points

    @property
    def extremes(self) -> Extremes:
        """Extremes (n, 6) of the fields that were read, from `suspects.extremes`."""
        return self._extremes[self._read]

    def total(self, reason: Reason) -> tuple[int, int]:
        """Return the number of values masked for one reason, and the number of steps with any."""
        counts = self._counts.get(reason, np.zeros(1, np.int64))
        return int(counts.sum()), int((counts > 0).sum())


def sentences(ledgers: Iterable[Ledger]) -> list[str]:
    """Report, for each variable, what was treated as missing in all steps that have been read."""
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
                told.append(f"{name}: {values} values in {steps} fields are {words}; they count as missing.")
        missing, read = sum(one.total("missing")[0] for one in group), sum(one.values for one in group)
        if missing:
            told.append(f"{name}: {percent(missing, read)} of the values are missing.")
        told += suspicions(name, np.concatenate([one.extremes for one in group]), read)
    return told
