"""Open data at a URL through fsspec: Zarr stores and NetCDF-4 in pieces, all else fetched whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from faconv_cli.cube.open.declared import decoded
from faconv_cli.cube.open.opened import Opened
from faconv_cli.cube.open.paths import STORE_MARKERS
from faconv_cli.cube.open.stores import open_store
from faconv_cli.cube.open.urls import file_system, need
from faconv_cli.errors import InputError, first_line

_FETCHED_WHOLE = ("simplecache::", "filecache::")
_SIGNATURES = {b"CDF": "NetCDF-3", b"GRI": "GRIB", b"PK\x03": "a zip archive", b"\x1f\x8b": "compressed"}


def open_url(url: str) -> list[Opened] | Path:
    """Open the data at a URL; return a path if they were fetched whole, as ``simplecache::URL`` asks.

    Raises:
        InputError: if there is nothing at the URL, or the format cannot be read in pieces.
        UsageError: if no installed package knows the protocol.
    """
    system, path = file_system(url)
    if any(system.exists(f"{path.rstrip('/')}/{marker}") for marker in STORE_MARKERS):
        need("zarr", url, "Zarr stores")
        return open_store(url)
    if url.startswith(_FETCHED_WHOLE):
        import fsspec

        return Path(fsspec.open_local(url))
    try:
        with system.open(path, "rb") as file:
            head = file.read(8)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{url} cannot be opened ({first_line(error)})",
            wanted="a URL must lead to a Zarr store or a file",
            do="check the URL, for example in a browser",
        ) from None
    if head[:4] == b"\x89HDF":
        return [Opened(_open_hdf5(url, system.open(path, "rb")))]
    kind = next((kind for magic, kind in _SIGNATURES.items() if head.startswith(magic)), None)
    raise InputError(
        f"{url} is {kind or f'neither Zarr nor NetCDF (it begins with {head!r})'}",
        wanted="from a URL, faconv reads Zarr and NetCDF-4, which can be read in pieces",
        do="download the file first, or put simplecache:: before the URL" if kind else "check the URL",
    )


def _open_hdf5(url: str, file: Any) -> xr.Dataset:
    need("h5netcdf", url, "NetCDF-4 at a URL", extra="h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in formats.py
        return decoded(xr.open_dataset(file, engine="h5netcdf", decode_cf=False, cache=False), url)
