"""Resolve the arguments of a command (files, globs, folders, Zarr stores, URLs) to locations."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from faconv_cli.cube.open.urls import file_system
from faconv_cli.errors import InputError, UsageError

STORE_MARKERS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")  # Zarr 3, and Zarr 2
_URL = re.compile(r"[a-z][a-z0-9+.-]*(://|::)", re.I)
_LOCAL_URL = re.compile(r"(file|local)://", re.I)
_DATA_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF", b"GRIB")
_DATA_SUFFIXES = {".nc", ".nc3", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".grb", ".grb2", ".grib", ".grib2"}
_NAMED = 5  # names in a note


def is_url(location: str | Path) -> bool:
    """Return whether a location is a URL (chained fsspec URLs included) rather than a path."""
    return isinstance(location, str) and bool(_URL.match(location))


def is_store(folder: Path) -> bool:
    """Return whether a folder is a Zarr store rather than a folder of files."""
    return any((folder / marker).is_file() for marker in STORE_MARKERS)


def expand(arguments: Sequence[str | Path], *, folders: bool = True) -> tuple[list[str], list[str]]:
    """List the files, stores and URLs that the arguments stand for, in order, with notes on the selection.

    Globs that the shell did not expand are matched (``**`` includes subfolders) and sorted. A folder stands
    for the data files directly in it, recognised by content or name; its subfolders are not searched.

    Args:
        arguments: the arguments of the command.
        folders: whether to list the files in folders; if not, folders are left to an engine.

    Raises:
        UsageError: if there is no argument.
        InputError: if a glob matches nothing or a folder holds no data.
    """
    if not arguments:
        raise UsageError(
            "No file was named", wanted="faconv needs at least one data file", do="name a file, folder or URL"
        )
    found: dict[str, str] = {}
    notes: list[str] = []
    for argument in arguments:
        for location in _matches(_as_path(argument)):
            inside = [location] if is_url(location) or not folders else _in_folder(location, notes)
            for one in inside:
                identity = one if is_url(one) else str(Path(one).absolute())
                if identity in found:
                    notes.append(f"{one} is named twice; it is read once.")
                found.setdefault(identity, one)
    return list(found.values()), notes


def local_files(locations: Iterable[str]) -> list[Path]:
    """Return the locations that are local files or folders."""
    return [Path(location) for location in locations if not is_url(location)]


def beside(argument: str, suffix: str) -> Path:
    """Return an output path beside a file, a folder or a glob's first match; for a URL, in this folder."""
    first = next(iter(_matches(_as_path(argument))))
    if is_url(first):
        return Path(PurePosixPath(unquote(urlsplit(first.rpartition("::")[2]).path)).name).with_suffix(suffix)
    path = Path(first)
    if path.is_dir() and not is_store(path):
        folder = path.absolute().resolve()
        return folder.parent / (folder.name + suffix)
    return path.with_suffix(suffix)


def _as_path(argument: str | Path) -> str:
    """Return a ``file://`` URL as a plain path; leave all else as it is."""
    text = str(argument)
    return unquote(_LOCAL_URL.sub("", text)) if _LOCAL_URL.match(text) else text


def _matches(location: str) -> list[str]:
    """Match a glob; return other locations, and existing files with glob characters in their name, as is."""
    if not glob.has_magic(location) or (not is_url(location) and Path(location).exists()):
        return [location]
    found = _url_matches(location) if is_url(location) else _path_matches(location)
    if not found:
        raise InputError(
            f"No file matches {location}",
            wanted="a pattern must match at least one file",
            do="check the folder and the pattern, for example with ls",
        )
    return found


def _path_matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob rejects absolute patterns


def _url_matches(url: str) -> list[str]:
    if "?" in url and "*" not in url and "[" not in url:
        return [url]  # a lone "?" starts the query of a URL
    system, path = file_system(url)
    return [system.unstrip_protocol(match) for match in sorted(system.glob(path))]


def _in_folder(location: str, notes: list[str]) -> list[str]:
    folder = Path(location)
    if not folder.is_dir() or is_store(folder):
        return [location]
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    taken = [path for path in inside if _holds_data(path)]
    if not taken:
        raise InputError(
            f"The folder {folder} contains no data files",
            wanted="faconv reads NetCDF and GRIB files and Zarr stores in a folder, not in its subfolders",
            do="name the files, for example with a glob such as 'FOLDER/**/*.nc'",
        )
    passed = [path.name for path in inside if path not in taken]
    more = f"; skipped: {', '.join(passed[:_NAMED])}" if passed else ""
    more += f" and {len(passed) - _NAMED} more" if len(passed) > _NAMED else ""
    notes.append(f"The folder {folder} contains {len(taken)} data files{more}.")
    return [str(path) for path in taken]


def _holds_data(path: Path) -> bool:
    """Return whether a file holds data, by its first bytes or its name.

    The name counts so that a damaged file raises an error instead of being skipped silently.
    """
    if path.is_dir():
        return is_store(path)
    if not path.is_file():
        return False
    if path.suffix.lower() in _DATA_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_DATA_MAGIC)
    except OSError:
        return False
