"""Recognise the format of a location, check that it is complete, and open its data sets lazily."""

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

CHUNK_CACHE_BYTES = 2**26  # per open file
_GRIB_PREAMBLE = 4096  # bytes; a bulletin header may stand before the first message


def open_datasets(location: str, engine: str | None = None) -> list[Opened]:
    """Open a file, store or URL lazily, with times still encoded; a GRIB file gives a data set per hypercube.

    Args:
        location: a path or a URL.
        engine: xarray engine to use whatever the content is; the checks of this module are then skipped.

    Raises:
        InputError: if the file is missing, not a file, empty, of another format, or truncated.
        UsageError: if the engine is not installed.
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
    except Exception as error:  # libraries raise many kinds of error on a damaged file
        raise _damaged(location, first_line(error)) from error


def _open_with_engine(location: str, engine: str) -> list[Opened]:
    engines = xr.backends.list_engines()
    if engine not in engines:
        raise UsageError(
            f"--engine {engine} is not an installed xarray engine",
            wanted=f"installed engines are {', '.join(engines)}",
            do="choose one of them, or install the package of the engine",
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
            f"The file name {str(path)!r} is not UTF-8",
            wanted="the NetCDF library opens only files with UTF-8 names",
            do="rename the file",
        )
    try:
        with path.open("rb") as file:
            head = file.read(_GRIB_PREAMBLE)
    except OSError as error:
        raise InputError(
            f"{path} cannot be opened ({error.strerror or error})",
            wanted="the file must exist and be readable",
            do="check the path and its permissions, for example with ls -l",
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
        wanted="faconv recognises a file by its content, not by its name",
        do="check that the download succeeded, or name an xarray engine that reads it with --engine",
    )


def _open_netcdf(path: Path) -> list[Opened]:
    """Open a file as one data set for each group that has variables."""
    lock: Any = netcdf_lock()
    manager: Any = CachingFileManager(_open_with_small_caches, str(path), mode="r", lock=lock)
    file = manager.acquire()  # takes the lock itself; outside "with lock" because it cannot be taken twice
    with lock:
        groups = [group.path for group in _groups(file) if group.variables]
    with warnings.catch_warnings():
        # about attributes that are inconsistent or name missing variables: conventions.py checks them
        warnings.simplefilter("ignore")
        datasets = {group: _open_group(manager, group, path) for group in groups or ["/"]}
    return [Opened(dataset, manager.close, group=group) for group, dataset in datasets.items()]


def _groups(group: netCDF4.Dataset) -> Iterator[netCDF4.Dataset]:
    """Yield a group and all groups inside it."""
    yield group
    for inner in group.groups.values():
        yield from _groups(inner)


def _open_group(manager: Any, group: str, path: Path) -> xr.Dataset:
    """Open a group, with the coordinates of its parent groups, whose dimensions it may use."""
    store = NetCDF4DataStore(manager, group=group, lock=netcdf_lock())  # type: ignore[no-untyped-call]
    dataset = decoded(xr.open_dataset(store, decode_cf=False, cache=False), str(path))
    for outer in PurePosixPath(group).parents:
        dataset = with_coordinates_of(dataset, _open_group(manager, str(outer), path))
    return dataset


def _open_with_small_caches(path: str, mode: Literal["r"]) -> netCDF4.Dataset:
    """Open a file whose variables share one chunk cache; by default the library gives 64 MiB to each."""
    file = netCDF4.Dataset(path, mode)
    variables = (variable for group in _groups(file) for variable in group.variables.values())
    fields = [variable for variable in variables if variable.ndim > 2]
    if file.data_model.startswith("NETCDF4"):
        for variable in fields:
            variable.set_var_chunk_cache(size=CHUNK_CACHE_BYTES // len(fields))
    return file


def _open_classic(path: Path) -> list[Opened]:
    """Open a NetCDF-3 file; its size is checked, because the library reads zeros past a truncated end."""
    with path.open("rb") as file:
        expected = classic_size(file)
    size = path.stat().st_size
    if expected is not None and size < expected:
        raise _damaged(path, f"it has {size} of {expected} bytes")
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
        wanted="the file seems to be damaged or truncated",
        do="download or write it again",
    )
