"""Open GRIB files: each message belongs to one data set, or the user is told why not."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from cfgrib import cfmessage, dataset, messages
from cfgrib.xarray_plugin import ECCODES_LOCK, CfGribDataStore

from faconv_cli.cube.open.gribindex import grib_index, index_folder, index_lock, quiet_cfgrib
from faconv_cli.cube.open.opened import ACCUMULATED, STREAM, Opened
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.open.scanning import ByColumns, is_by_columns, misplaced, with_axes

_MOST_COMPARED = 16  # pairs of duplicate messages whose values are compared
_UNKNOWN = 0  # the paramId that ecCodes gives to every parameter that is not in its tables
_FINAL, _PRELIMINARY = "0001", "0005"  # experiment versions of ERA5 and ERA5T
_VERSION = "experimentVersionNumber"
_CODES: dict[str, tuple[str, ...]] = {  # numbers of a parameter, by the edition of GRIB
    "1": ("table2Version", "indicatorOfParameter"),
    "2": ("discipline", "parameterCategory", "parameterNumber"),
}
# keys that all messages of one data set share: cfgrib looks only at the first two sets, and ignores the
# stream, the grid, and which of the unknown parameters it is
_COMMON = (
    "paramId",
    *dataset.GLOBAL_ATTRIBUTES_KEYS,
    *dataset.DATA_ATTRIBUTES_KEYS,
    "md5GridSection",
    "stream",
)
# keys that distinguish the messages of a data set: in cfgrib, a later message with the same keys replaces
# the earlier one
_CELL = ("number", "level:float", "time", "step", "directionNumber", "frequencyNumber")
_MORE = ("stream", _VERSION, "startStep", *_CODES["1"], *_CODES["2"])
_INDEX_KEYS = [*dataset.INDEX_KEYS, "time", "step", *_MORE]
_COMPUTED = cfmessage.COMPUTED_KEYS | {
    "startStep": (
        functools.partial(cfmessage.from_grib_step, step_key="startStep:int"),
        cfmessage.to_grib_dummy,
    )
}
_HEADS = (
    "mars",
    "ls",
    "time",
    "vertical",
    "parameter",
    "geography",
)  # namespaces of keys other than the values
_PRODUCT = (  # keys in none of these: the percentile, threshold or ensemble statistic of a field
    "percentileValue",
    "derivedForecast",
    "probabilityTypeName",
    "scaledValueOfLowerLimit",
    "scaledValueOfUpperLimit",
    "productDefinitionTemplateNumber",
)

Header = tuple[Any, ...]


class _Message(NamedTuple):
    """A message in the index: its keys and its place in the file."""

    header: Header
    place: Any


def open_grib(path: Path, count: int) -> list[Opened]:
    """Open a GRIB file lazily, as one data set per parameter, grid, level type, step type, stream and so on.

    Where a step has both final and preliminary data (the experiment versions of ERA5), the final data are
    kept. Other messages that a cube cannot tell apart are kept once if their values are equal; if not, their
    variable is refused.

    Args:
        path: the file.
        count: number of messages in the file, from `grib_count`.

    Raises:
        ValueError: if ecCodes finds fewer messages.
    """
    with index_lock(index_folder()) as folder, quiet_cfgrib(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cfgrib triggers warnings about future defaults of xarray
        stream = messages.FileStream(str(path.resolve()), errors="raise")
        where = grib_index(path, folder)
        index = dataset.open_fileindex(stream, where, _INDEX_KEYS, computed_keys=_COMPUTED)
        keys = _Keys({key: place for place, key in enumerate(index.index_keys)})
        found = [_Message(header, place) for header, places in index.iter_index() for place in places]
        read = {m.place[0] if isinstance(m.place, tuple) else m.place for m in found}
        if len(read) < count:
            raise ValueError(f"ecCodes reads {len(read)} of {count} messages")
        return [_open_part(index, keys, part) for part in _parts(found, keys)]


@dataclass(frozen=True)
class _Keys:
    """Looks up keys in the headers of an index."""

    places: Mapping[str, int]

    def of(self, message: _Message, keys: Sequence[str]) -> Header:
        return tuple(message.header[self.places[key]] for key in keys)

    def one(self, message: _Message, key: str) -> Any:
        return message.header[self.places[key]]


def _parts(found: Sequence[_Message], keys: _Keys) -> list[list[_Message]]:
    """Group messages into data sets, sorted by parameter as cfgrib sorts them."""
    parts: dict[Header, list[_Message]] = {}
    for message in found:
        parts.setdefault((*keys.of(message, _COMMON), _code(message, keys)), []).append(message)
    return sorted(parts.values(), key=lambda part: str(keys.one(part[0], "paramId")).zfill(9))


def _code(message: _Message, keys: _Keys) -> str:
    """Return the numbers that identify an unknown parameter in the file; "" if ecCodes knows it."""
    if keys.one(message, "paramId") != _UNKNOWN:
        return ""
    codes = keys.of(message, _CODES[str(keys.one(message, "edition"))])
    return "_".join(map(str, codes))


def _open_part(index: Any, keys: _Keys, part: list[_Message]) -> Opened:
    taken, notes, refusal = _one_each(index, keys, part)
    entries = [(message.header, [message.place]) for message in taken]
    first = index.get_field(taken[0].place)
    store = _Store(ByColumns if is_by_columns(first) else messages.FileIndex, index, entries)
    cube = with_axes(xr.open_dataset(store, decode_times=False, cache=False), first)
    refusal = misplaced(first, str(index.fieldset.path)) or refusal
    code, (name,) = _code(part[0], keys), map(str, cube.data_vars)
    if code:
        cube = cube.rename({name: f"unknown_{code}"})
        notes.append(
            f"unknown_{code}: ecCodes does not know this parameter, so it is named by its GRIB numbers."
        )
        (name,) = map(str, cube.data_vars)
    cube[name].attrs |= {STREAM: str(keys.one(part[0], "stream"))}
    told = tuple(f"{name}: {note}" if code == "" else note for note in notes)
    refused = {name: refusal} if refusal else {}
    return Opened(_with_lengths(cube, keys, taken), notes=told, refused=refused)


class _Store(CfGribDataStore):  # type: ignore[misc]
    """The messages of an index as an xarray store."""

    def __init__(self, kind: type, index: Any, entries: list[tuple[Header, list[Any]]]) -> None:
        part = kind(index.fieldset, index.index_keys, field_ids_index=entries)
        self.lock = ECCODES_LOCK
        self.ds = dataset.open_from_index(part, errors="raise", squeeze=False)


def _one_each(
    index: Any, keys: _Keys, part: list[_Message]
) -> tuple[list[_Message], list[str], Refusal | None]:
    """Select one message for each place in the cube; note what became of the others, or why none is."""
    cells: dict[Header, list[_Message]] = {}
    for message in part:
        cells.setdefault(keys.of(message, _CELL), []).append(message)
    final = {cell: _without_preliminary(own, keys) for cell, own in cells.items()}
    dropped = len(part) - sum(map(len, final.values()))
    again = [(own[0], other) for own in final.values() for other in own[1:]]
    taken, notes = [own[0] for own in final.values()], []
    early = sum(keys.one(message, _VERSION) == _PRELIMINARY for message in taken)
    if dropped:
        notes.append(
            f"{dropped} messages of preliminary data are skipped, because final data exist (expver)."
        )
    if early and early < len(taken):
        notes.append(f"{early} of {len(taken)} messages are preliminary data (experiment version 0005).")
    if not again:
        return taken, notes, None
    refusal = _contradiction(index, again)
    how = f" ({_MOST_COMPARED} of them compared)" if len(again) > _MOST_COMPARED else ""
    notes.append(f"{len(again)} duplicate messages with equal values{how} are skipped.")
    return (taken, notes[:-1], refusal) if refusal else (taken, notes, None)


def _without_preliminary(cell: list[_Message], keys: _Keys) -> list[_Message]:
    versions = {keys.one(message, _VERSION) for message in cell}
    if versions != {_FINAL, _PRELIMINARY}:
        return cell
    return [message for message in cell if keys.one(message, _VERSION) == _FINAL]


def _contradiction(index: Any, pairs: list[tuple[_Message, _Message]]) -> Refusal | None:
    """Return why duplicate messages cannot be reduced to one, or None if their values are equal."""
    compared = np.unique(np.linspace(0, len(pairs) - 1, _MOST_COMPARED).astype(int))
    for one, other in (pairs[number] for number in compared):
        fields = [index.get_field(message.place) for message in (one, other)]
        if np.array_equal(fields[0]["values"], fields[1]["values"]):
            continue
        odd = _differing(*fields)
        do = f"grib_copy -w {odd[0][0]}={odd[0][1]}" if odd else "grib_copy"
        told = "; ".join(f"{key} {first} and {second}" for key, first, second in odd[:3])
        return Refusal(
            f"{index.fieldset.path} has {len(pairs)} messages of {fields[0]['shortName']} with the time, "
            f"level and member of others but different values (they differ in {told or 'nothing else'})",
            "each field may occur only once",
            f"select one kind first, for example with {do} IN.grib OUT.grib",
            stage=6,
            wrong=True,
        )
    return None


def _differing(one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """Return the keys in which two messages differ, with both values; MARS keys if any of those differ."""
    for keys in (*map(one.context.message_grib_keys, _HEADS), _PRODUCT):
        both = [(key, *(field.context.message_get(key, str, None) for field in (one, other))) for key in keys]
        found = [(key, first, second) for key, first, second in both if first != second]
        if found:
            return found
    return []


def _with_lengths(cube: xr.Dataset, keys: _Keys, taken: list[_Message]) -> xr.Dataset:
    """Add the hours over which each step is accumulated or averaged, where the messages give a length."""
    hours = np.zeros((cube.sizes["time"], cube.sizes["step"])) if {"time", "step"} <= set(cube.dims) else None
    if hours is None:
        return cube
    rows = {float(value): row for row, value in enumerate(cube["time"].to_numpy())}
    columns = {float(value): column for column, value in enumerate(cube["step"].to_numpy())}
    for message in taken:
        time, end, start = keys.of(message, ("time", "step", "startStep"))
        if start != "undef":
            hours[rows[float(time)], columns[float(end)]] = end - start
    return cube.assign_coords({ACCUMULATED: (("time", "step"), hours)}) if hours.any() else cube
