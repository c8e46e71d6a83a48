"""What the arguments of a command stand for: files, globs, folders, Zarr stores and URLs, as locations."""

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
    """Return whether a location is a URL, including chained ones of fsspec, and not a path."""
    return isinstance(location, str) and bool(_URL.match(location))


def is_store(folder: Path) -> bool:
    """Return whether a folder is a Zarr store, and not a folder of files."""
    return any((folder / marker).is_file() for marker in STORE_MARKERS)


def expand(arguments: Sequence[str | Path], *, folders: bool = True) -> tuple[list[str], list[str]]:
    """List the files, stores and URLs that arguments stand for, in their order, and say what was chosen.

    Globs that the shell left alone are matched (``**`` goes into folders) and sorted; a folder stands for the
    data files in it, by content or name, not for those in folders inside it.

    Args:
        arguments: as given.
        folders: look into them; else leave them to an engine.

    Raises:
        UsageError: no argument.
        InputError: a glob that matches nothing, a folder without data.
    """
    if not arguments:
        raise UsageError("no file was given", wanted="faconv needs data", do="give at least one file")
    found: dict[str, str] = {}
    notes: list[str] = []
    for argument in arguments:
        for location in _matches(_as_path(argument)):
            inside = [location] if is_url(location) or not folders else _in_folder(location, notes)
            for one in inside:
                identity = one if is_url(one) else str(Path(one).absolute())
                if identity in found:
                    notes.append(f"{one} is given twice and read once.")
                found.setdefault(identity, one)
    return list(found.values()), notes


def local_files(locations: Iterable[str]) -> list[Path]:
    """Those that are files or folders of this machine."""
    return [Path(location) for location in locations if not is_url(location)]


def beside(argument: str, suffix: str) -> Path:
    """Name an output after an argument: beside a file, a folder or a glob's first match, here for a URL."""
    first = next(iter(_matches(_as_path(argument))))
    if is_url(first):
        return Path(PurePosixPath(unquote(urlsplit(first.rpartition("::")[2]).path)).name).with_suffix(suffix)
    path = Path(first)
    if path.is_dir() and not is_store(path):
        folder = path.absolute().resolve()
        return folder.parent / (folder.name + suffix)
    return path.with_suffix(suffix)


def _as_path(argument: str | Path) -> str:
    """``file:///data/x.nc`` is a path as any other."""
    text = str(argument)
    return unquote(_LOCAL_URL.sub("", text)) if _LOCAL_URL.match(text) else text


def _matches(location: str) -> list[str]:
    """Match a glob; all else, and what exists under a name with such characters, stands for itself."""
    if not glob.has_magic(location) or (not is_url(location) and Path(location).exists()):
        return [location]
    found = _url_matches(location) if is_url(location) else _path_matches(location)
    if not found:
        raise InputError(
            f"no file matches {location}",
            wanted="a file name or pattern must match at least one file",
            do="check the path",
        )
    return found


def _path_matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute ones


def _url_matches(url: str) -> list[str]:
    if "?" in url and "*" not in url and "[" not in url:
        return [url]  # begins a query
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
            f"{folder} is a folder without data files",
            wanted="faconv reads NetCDF and GRIB files and Zarr stores in it, not in folders inside it",
            do="give the files, for example with a glob such as 'FOLDER/**/*.nc'",
        )
    passed = [path.name for path in inside if path not in taken]
    more = f"; passed over: {', '.join(passed[:_NAMED])}" if passed else ""
    more += f" and {len(passed) - _NAMED} more" if len(passed) > _NAMED else ""
    notes.append(f"{folder} is a folder of {len(taken)} data files{more}.")
    return [str(path) for path in taken]


def _holds_data(path: Path) -> bool:
    """By its first bytes, or by its name, so that a damaged file is not passed over in silence."""
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
