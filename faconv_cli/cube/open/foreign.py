"""Recognise files that are not data files: archives, web pages sent in place of a file, other formats."""

from __future__ import annotations

import zipfile
from pathlib import Path

UNPACK = "unpack it first"
_MAGIC = {
    b"PK\x03\x04": ("a zip archive", UNPACK),
    b"PK\x05\x06": ("an empty zip archive", "download it again"),
    b"\x1f\x8b": ("compressed with gzip", UNPACK),
    b"BZh": ("compressed with bzip2", UNPACK),
    b"\xfd7zXZ": ("compressed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", UNPACK),
    b"\x1f\x9d": ("compressed with compress (.Z)", UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", UNPACK),
    b"\x0e\x03\x13\x01": ("an HDF4 file", "convert it to NetCDF first"),
    b"BUFR": ("a BUFR file (observations without a grid)", "use gridded data instead"),
    b"%PDF": ("a PDF document", "download the data file itself"),
}
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"{")
_TAR = slice(257, 262)
_MOST_NAMED = 3
_FIRST_NAME = 30  # bytes before the name of a zip archive's first file


def what_is(head: bytes, path: Path) -> tuple[str, str] | None:
    """Return what a file is and what to do, from its first bytes; None if it may hold data."""
    for magic, told in _MAGIC.items():
        if head.startswith(magic):
            return _zip(path) if magic == b"PK\x03\x04" else told
    if head[_TAR] == b"ustar":
        return "a tar archive", UNPACK
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_PAGE):
        said = " ".join(head.decode("utf-8", "replace").split())[:80]
        return (
            f"neither NetCDF nor GRIB but text, such as a server sends in place of a file ({said!r})",
            "read the text, then download the file again, perhaps after logging in or accepting a licence",
        )
    return None


def _zip(path: Path) -> tuple[str, str]:
    """List what a zip archive contains: the Climate Data Store sends several files in one, under any name."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a truncated or damaged zip archive", "download it again"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"a zip archive of {', '.join(names[:_MOST_NAMED])}{more}", f"{UNPACK}, and name the files in it"


def is_checkpoint(path: Path) -> bool:
    """Return whether a zip archive is a checkpoint: by its suffix, or the pickle that PyTorch puts first."""
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_NAME + 256)
    except OSError:
        return False  # open_cube reports what is wrong with it
    length = int.from_bytes(head[26:28], "little")
    first = head[_FIRST_NAME : _FIRST_NAME + length]
    return head.startswith(b"PK\x03\x04") and (path.suffix == ".pt" or first.endswith(b"/data.pkl"))
