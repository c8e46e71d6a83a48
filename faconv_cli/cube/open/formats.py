"""What kind of file a location is, whether it is whole, and its data sets, opened lazily."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import netCDF4
import xarray as xr
from xarray.backends import CachingFileManager, NetCDF4DataStore

from faconv_cli.cube.open.declared import decoded
from faconv_cli.cube.open.foreign import what_is
from faconv_cli.cube.open.integrity import classic_size, grib_count
from faconv_cli.cube.open.opened import Opened
from faconv_cli.cube.open.paths import is_store, is_url
from faconv_cli.cube.open.remote import open_url
from faconv_cli.cube.open.stores import open_store, with_coordinates_of
from faconv_cli.cube.open.urls import need
from faconv_cli.errors import FaconvError, InputError, UsageError, first_line
from faconv_cli.files import is_utf8, netcdf_lock
from faconv_cli.guard import reading

CHUNK_CACHE_BYTES = 2**26  # of one open file
_GRIB_PREAMBLE = 4096  # bytes; a bulletin's header may stand before the first message


def open_datasets(location: str, engine: str | None = None) -> list[Opened]:
    """Open a file, store or URL lazily, times still encoded; one data set per hypercube of a GRIB.

    Args:
        location: a path or a URL.
        engine: of xarray, to be used whatever the content is, without our checks of it.

    Raises:
        InputError: no such file, not one, empty, of another format, or cut short.
        UsageError: an engine that is not installed.
    """
    try:
        with reading(location):
            if engine is not None:
                return _open_with_engine(location, engine)
            if not is_url(location):
                return _open_path(Path(location))
            opened = open_url(location)
            return _open_path(opened) if isinstance(opened, Path) else opened
    except FaconvError:
        raise
    except Exception as error:  # whatever a library meets in a damaged file
        raise _damaged(location, first_line(error)) from error


def _open_with_engine(location: str, engine: str) -> list[Opened]:
    engines = xr.backends.list_engines()
    if engine not in engines:
        raise UsageError(
            f"--engine {engine} is not installed",
            wanted=f"xarray has {', '.join(engines)} here",
            do="choose one of them",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = xr.open_dataset(location, engine=engine, decode_cf=False, cache=False)
        return [Opened(decoded(raw, location))]


def _open_path(path: Path) -> list[Opened]:
    if not is_store(path):
        return _opener(path)(path)
    need("zarr", str(path), "Zarr stores")
    return open_store(str(path))


def _opener(path: Path) -> Callable[[Path], list[Opened]]:
    if not is_utf8(path):
        raise InputError(
            f"the name {str(path)!r} is not UTF-8",
            wanted="the NetCDF library can only open names in UTF-8",
            do="rename the file",
        )
    try:
        with path.open("rb") as file:
            head = file.read(_GRIB_PREAMBLE)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}", wanted="the file must be readable", do="check the path"
        ) from None
    if not head:
        raise InputError(
            f"{path} is empty", wanted="faconv reads NetCDF, GRIB and Zarr", do="download or write it again"
        )
    if head[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05"):
        return _open_classic
    if head[:4] == b"\x89HDF" or b"\x89HDF" in (head[512:516], head[1024:1028], head[2048:2052]):
        return _open_netcdf
    foreign = what_is(head, path)
    if foreign:
        what, do = foreign
        raise InputError(f"{path} is {what}", wanted="faconv reads NetCDF, GRIB and Zarr", do=do)
    if b"GRIB" in head:
        return _open_grib
    raise InputError(
        f"{path} is neither NetCDF nor GRIB (it begins with {head[:12]!r})",
        wanted="faconv recognises formats by content, not by name",
        do="check that the download succeeded",
    )


def _open_netcdf(path: Path) -> list[Opened]:
    """Open a file's variables, and each of its groups that has some as a data set of its own."""
    lock: Any = netcdf_lock()
    manager: Any = CachingFileManager(_open_with_small_caches, str(path), mode="r", lock=lock)
    file = manager.acquire()  # holds the lock itself, which cannot be held twice
    with lock:
        groups = [group.path for group in _groups(file) if group.variables]
    with warnings.catch_warnings():
        # attributes that contradict each other or name what is not there: conventions.py judges them
        warnings.simplefilter("ignore")
        datasets = {group: _open_group(manager, group, path) for group in groups or ["/"]}
    return [Opened(dataset, manager.close, group=group) for group, dataset in datasets.items()]


def _groups(group: netCDF4.Dataset) -> Iterator[netCDF4.Dataset]:
    """A group and all groups in it."""
    yield group
    for inner in group.groups.values():
        yield from _groups(inner)


def _open_group(manager: Any, group: str, path: Path) -> xr.Dataset:
    """Open a group with the coordinates of those it lies in, whose dimensions it may use."""
    store = NetCDF4DataStore(manager, group=group, lock=netcdf_lock())  # type: ignore[no-untyped-call]
    dataset = decoded(xr.open_dataset(store, decode_cf=False, cache=False), str(path))
    for outer in PurePosixPath(group).parents:
        dataset = with_coordinates_of(dataset, _open_group(manager, str(outer), path))
    return dataset


def _open_with_small_caches(path: str, mode: Literal["r"]) -> netCDF4.Dataset:
    """Open a file whose variables share one cache of chunks, where the library gives 64 MiB to each."""
    file = netCDF4.Dataset(path, mode)
    variables = (variable for group in _groups(file) for variable in group.variables.values())
    fields = [variable for variable in variables if variable.ndim > 2]
    if file.data_model.startswith("NETCDF4"):
        for variable in fields:
            variable.set_var_chunk_cache(size=CHUNK_CACHE_BYTES // len(fields))
    return file


def _open_classic(path: Path) -> list[Opened]:
    """NetCDF-3, whose library reads zeros past the end of a file that was cut short."""
    with path.open("rb") as file:
        expected = classic_size(file)
    size = path.stat().st_size
    if expected is not None and size < expected:
        raise _damaged(path, f"{size} bytes of {expected}")
    return _open_netcdf(path)


def _open_grib(path: Path) -> list[Opened]:
    from faconv_cli.cube.open.grib import open_grib

    with path.open("rb") as file:
        try:
            count = grib_count(file)
        except ValueError as error:
            raise _damaged(path, str(error)) from None
    return open_grib(path, count)


def _damaged(path: Path | str, why: str) -> InputError:
    return InputError(
        f"{path} cannot be read ({why})",
        wanted="the file seems damaged or cut short",
        do="download or write it again",
    )
