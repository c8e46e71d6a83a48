"""Open Zarr stores: stale consolidated metadata, fill values that mean missing data, and groups."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import xarray as xr

from faconv_cli.cube.open.declared import decoded
from faconv_cli.cube.open.opened import Opened
from faconv_cli.cube.open.paths import is_url
from faconv_cli.errors import InputError, first_line

if TYPE_CHECKING:
    from zarr import Array, Group


def open_store(location: str) -> list[Opened]:
    """Open a Zarr store of format 2 or 3, a folder or a URL, as one data set per group with arrays.

    The arrays' own metadata are used rather than the consolidated copy, so that a store that has grown since
    consolidation is read in full. At a URL, where each array costs a request, only the coordinates are
    compared with the copy.

    Raises:
        InputError: if a store at a URL has grown and cannot be listed.
    """
    with warnings.catch_warnings():
        # about metadata that are not consolidated, and attributes that conventions.py checks
        warnings.simplefilter("ignore")
        root, notes = _open_root(location)
        opened = [one for group in _groups(root) for one in _open_group(root, group)]
        if not is_url(location):
            notes += [note for group in _groups(root) for note in _unwritten(location, group)]
    first = opened[0]
    return [first._replace(notes=(*notes, *first.notes)), *opened[1:]]


def _open_root(location: str) -> tuple[Group, list[str]]:
    import zarr

    kept = zarr.open_group(location, mode="r")
    if kept.metadata.consolidated_metadata is None:
        return kept, []
    told = [text for text in (_outgrown(kept, array) for array in _own_dimensions(kept)) if text]
    if not told:
        return (kept if is_url(location) else zarr.open_group(location, mode="r", use_consolidated=False)), []
    return _listed(location, told[0]), [
        f"{location}: the consolidated metadata are stale ({told[0]}); the metadata of each array are read "
        "instead."
    ]


def _own_dimensions(group: Group) -> list[Array[Any]]:
    """Return the one-dimensional arrays, among them the coordinates, which grow with the record."""
    return [array for inner in _groups(group) for _, array in inner.arrays() if array.ndim == 1]


def _outgrown(root: Group, array: Array[Any]) -> str:
    """Return how an array differs from its consolidated metadata; "" if it does not."""
    import zarr

    try:
        own = zarr.open_array(array.store_path, mode="r", zarr_format=root.metadata.zarr_format)
    except FileNotFoundError:
        return f"{array.basename} does not exist"
    if own.shape == array.shape:
        return ""
    return f"{array.basename} has {own.shape[0]} values, not {array.shape[0]}"


def _listed(location: str, told: str) -> Group:
    """Open a store without its consolidated metadata."""
    import zarr

    group = zarr.open_group(location, mode="r", use_consolidated=False)
    if not any(True for _ in group.arrays()):
        raise InputError(
            f"{location}: the consolidated metadata are stale ({told})",
            wanted="this server cannot list the arrays, so the consolidated metadata must be up to date",
            do="consolidate them again with zarr.consolidate_metadata",
        )
    return group


def _groups(group: Group) -> Iterator[Group]:
    """Yield a group and all groups inside it."""
    yield group
    for _, inner in sorted(group.groups()):
        yield from _groups(inner)


def _open_group(root: Group, group: Group) -> list[Opened]:
    """Open the arrays of a group, with the coordinates of its parent groups."""
    if group.path != root.path and not any(True for _ in group.arrays()):
        return []
    try:
        dataset, zeros = _decoded(group)
    except KeyError as error:
        if group.path == root.path:
            raise
        return [Opened(xr.Dataset(), notes=(f"Group {group.path} is skipped: {first_line(error)}.",))]
    for outer in reversed([other for other in _groups(root) if _lies_in(group, other)]):
        dataset = with_coordinates_of(dataset, _decoded(outer)[0])
    note = (
        f"The fill value 0 of the Zarr store is read as a value of {', '.join(zeros)}, not as missing data."
    )
    return [Opened(dataset, notes=(note,) if zeros else (), group=group.name)]


def _lies_in(group: Group, other: Group) -> bool:
    return PurePosixPath(other.path) in PurePosixPath(group.path).parents


def with_coordinates_of(dataset: xr.Dataset, above: xr.Dataset) -> xr.Dataset:
    """Add coordinates of a parent group for the dimensions that have none in the data set."""
    missing = [dim for dim in dataset.dims if dim not in dataset.variables and dim in above.coords]
    return dataset.assign_coords({dim: above[dim] for dim in missing})


def _decoded(group: Group) -> tuple[xr.Dataset, list[str]]:
    """Decode a group lazily; also return the fields of format 2 whose fill value 0 xarray would mask."""
    store = xr.backends.ZarrStore(group, mode="r", use_zarr_fill_value_as_mask=True)
    raw = xr.open_dataset(store, decode_cf=False, cache=False)
    zeros = []
    for name, array in group.arrays():
        attributes = raw.variables[name].attrs
        attributes.pop("_FillValue", None)
        missing = missing_value(array)
        if missing is not None:
            attributes["_FillValue"] = missing
        elif array.metadata.zarr_format == 2 and array.ndim > 2 and array.fill_value == 0:
            zeros.append(name)
    # sorted by name, as in consolidated metadata: a folder lists arrays in any order, and the order of the
    # channels follows it
    return decoded(raw[sorted(map(str, raw.variables))], group.basename or str(group.store)), sorted(zeros)


def missing_value(array: Array[Any]) -> Any:
    """Return the value that means missing data in an array, or None if there is none.

    This is the attribute ``_FillValue`` if present. Otherwise it is Zarr's own ``fill_value``, which fills
    chunks that were never written, unless that is 0: libraries set 0 by default, and 0 is also a dry day.
    """
    if array.dtype.kind not in "fiu":
        return None
    told, fill = array.attrs.get("_FillValue"), array.fill_value
    if told is None:
        return None if fill is None or fill == 0 else fill
    return _number(told, array) if isinstance(told, str) else told


def _number(text: str, array: Array[Any]) -> float:
    """Read a number from an attribute: ``NaN``, or xarray's encoding for format 3."""
    from xarray.backends.zarr import FillValueCoder

    try:
        return float(text)
    except ValueError:
        return float(FillValueCoder.decode(text, array.dtype))


def _unwritten(location: str, group: Group) -> Iterator[str]:
    """Report the fields with chunks that were never written and are read as 0.

    Arrays without a fill value (``null`` in format 2, as xarray writes integers) are read in the same way.
    """
    for name, array in group.arrays():
        if array.ndim < 3 or array.fill_value not in (0, None) or missing_value(array) == 0:
            continue
        stored = array.shards or array.chunks
        count = math.prod(-(-size // of) for size, of in zip(array.shape, stored, strict=True))
        missing = count - _files_in(Path(location) / array.path)
        if missing > 0:
            value = array.attrs.get("add_offset", 0)  # a packed 0 decodes to the offset
            yield f"{name}: {missing} of {count} chunks were never written; they are read as {value}."


def _files_in(folder: Path) -> int:
    """Count the chunks of an array: all files in its folder except its metadata."""
    return sum(not name.startswith((".z", "zarr.json")) for _, _, names in os.walk(folder) for name in names)
