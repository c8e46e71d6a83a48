"""Zarr stores: what the arrays say of themselves, which fill value is missing data, and groups in a store."""

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
    """Open a Zarr store of format 2 or 3, a folder or a URL; each group that holds arrays is a data set.

    The arrays' own metadata count, not the copy of them that was consolidated when the store was written: a
    store that has grown since is read whole. At a URL, where each array is a request, only the coordinates
    are compared with the copy.

    Raises:
        InputError: a store at a URL that has grown, and cannot be listed.
    """
    with warnings.catch_warnings():
        # of metadata that are not consolidated, and of attributes that conventions.py judges
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
        f"{location}: the consolidated metadata are stale ({told[0]}); those of the arrays are used."
    ]


def _own_dimensions(group: Group) -> list[Array[Any]]:
    """Arrays of one dimension: the coordinates are among them, and grow with the record."""
    return [array for inner in _groups(group) for _, array in inner.arrays() if array.ndim == 1]


def _outgrown(root: Group, array: Array[Any]) -> str:
    """Return how an array differs from its consolidated metadata; "" if it does not."""
    import zarr

    try:
        own = zarr.open_array(array.store_path, mode="r", zarr_format=root.metadata.zarr_format)
    except FileNotFoundError:
        return f"there is no {array.basename}"
    if own.shape == array.shape:
        return ""
    return f"{array.basename} has {own.shape[0]} values, and they say {array.shape[0]}"


def _listed(location: str, told: str) -> Group:
    """Open a store without its consolidated metadata."""
    import zarr

    group = zarr.open_group(location, mode="r", use_consolidated=False)
    if not any(True for _ in group.arrays()):
        raise InputError(
            f"{location}: the consolidated metadata are stale ({told})",
            wanted="this server cannot list the arrays, so faconv depends on these metadata",
            do="consolidate them again with zarr.consolidate_metadata",
        )
    return group


def _groups(group: Group) -> Iterator[Group]:
    """A group and all groups in it."""
    yield group
    for _, inner in sorted(group.groups()):
        yield from _groups(inner)


def _open_group(root: Group, group: Group) -> list[Opened]:
    """Open the arrays of a group, with the coordinates of those it lies in."""
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
    note = f"The fill value 0 of the Zarr store is a value of {', '.join(zeros)}, not missing data."
    return [Opened(dataset, notes=(note,) if zeros else (), group=group.name)]


def _lies_in(group: Group, other: Group) -> bool:
    return PurePosixPath(other.path) in PurePosixPath(group.path).parents


def with_coordinates_of(dataset: xr.Dataset, above: xr.Dataset) -> xr.Dataset:
    """Add the coordinates of a group that another lies in, for the dimensions that have none there."""
    missing = [dim for dim in dataset.dims if dim not in dataset.variables and dim in above.coords]
    return dataset.assign_coords({dim: above[dim] for dim in missing})


def _decoded(group: Group) -> tuple[xr.Dataset, list[str]]:
    """Decode a group lazily; and name the fields of format 2 whose fill value 0 xarray would mask."""
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
    # by name, as consolidated metadata are: a folder lists them in any order, and channels follow it
    return decoded(raw[sorted(map(str, raw.variables))], group.basename or str(group.store)), sorted(zeros)


def missing_value(array: Array[Any]) -> Any:
    """Return the value that stands for missing data in an array; None where none does.

    An attribute ``_FillValue`` says so. Else Zarr's own ``fill_value``, which stands where nothing was
    written, is missing data unless it is 0: that is what libraries put there when nobody asked for anything,
    and a day without rain.
    """
    if array.dtype.kind not in "fiu":
        return None
    told, fill = array.attrs.get("_FillValue"), array.fill_value
    if told is None:
        return None if fill is None or fill == 0 else fill
    return _number(told, array) if isinstance(told, str) else told


def _number(text: str, array: Array[Any]) -> float:
    """Read a number from an attribute: ``NaN``, or in xarray's own code for format 3."""
    from xarray.backends.zarr import FillValueCoder

    try:
        return float(text)
    except ValueError:
        return float(FillValueCoder.decode(text, array.dtype))


def _unwritten(location: str, group: Group) -> Iterator[str]:
    """Report fields with chunks that were never written, which read as 0.

    So does what has no fill value, ``null`` in format 2, as xarray writes whole numbers.
    """
    for name, array in group.arrays():
        if array.ndim < 3 or array.fill_value not in (0, None) or missing_value(array) == 0:
            continue
        stored = array.shards or array.chunks
        count = math.prod(-(-size // of) for size, of in zip(array.shape, stored, strict=True))
        missing = count - _files_in(Path(location) / array.path)
        if missing > 0:
            value = array.attrs.get("add_offset", 0)  # of packed values, whose number is 0
            yield f"{name}: {missing} of {count} chunks were never written: they are {value}."


def _files_in(folder: Path) -> int:
    """Count the chunks of an array, which are all files in its folder but its metadata."""
    return sum(not name.startswith((".z", "zarr.json")) for _, _, names in os.walk(folder) for name in names)
