"""What a file is that is no data file: an archive, a page that a server sent instead, another format."""

from __future__ import annotations

import zipfile
from pathlib import Path

UNPACK = "unpack it first"
_MAGIC = {
    b"PK\x03\x04": ("a zip archive", UNPACK),
    b"PK\x05\x06": ("an empty zip archive", "fetch it again"),
    b"\x1f\x8b": ("compressed with gzip", UNPACK),
    b"BZh": ("compressed with bzip2", UNPACK),
    b"\xfd7zXZ": ("compressed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", UNPACK),
    b"\x1f\x9d": ("compressed with compress (.Z)", UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", UNPACK),
    b"\x0e\x03\x13\x01": ("an HDF4 file", "convert it to NetCDF first"),
    b"BUFR": ("BUFR, observations without a grid", "take gridded data"),
    b"%PDF": ("a PDF document", "fetch the data"),
}
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"{")
_TAR = slice(257, 262)
_MOST_NAMED = 3
_FIRST_NAME = 30  # bytes before the name of a zip archive's first file


def what_is(head: bytes, path: Path) -> tuple[str, str] | None:
    """Return what a file is by its first bytes, and what to do; None if it may hold data."""
    for magic, told in _MAGIC.items():
        if head.startswith(magic):
            return _zip(path) if magic == b"PK\x03\x04" else told
    if head[_TAR] == b"ustar":
        return "a tar archive", UNPACK
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_PAGE):
        said = " ".join(head.decode("utf-8", "replace").split())[:80]
        return (
            f"neither NetCDF nor GRIB but text, as a server sends it in place of a file ({said!r})",
            "look at it, and fetch the file again, perhaps after a login or with a licence accepted",
        )
    return None


def _zip(path: Path) -> tuple[str, str]:
    """Name what is in a zip archive: the Climate Data Store sends several files in one, under any name."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a zip archive, cut short or damaged", "fetch it again"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"a zip archive of {', '.join(names[:_MOST_NAMED])}{more}", f"{UNPACK}, and name the files in it"


def is_checkpoint(path: Path) -> bool:
    """Recognise a checkpoint among zip archives, by its suffix or by the pickle that PyTorch puts first."""
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_NAME + 256)
    except OSError:
        return False  # open_cube says what is wrong with it
    length = int.from_bytes(head[26:28], "little")
    first = head[_FIRST_NAME : _FIRST_NAME + length]
    return head.startswith(b"PK\x03\x04") and (path.suffix == ".pt" or first.endswith(b"/data.pkl"))
