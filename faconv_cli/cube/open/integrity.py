"""Check from its own headers whether a file is complete; the libraries skip or crash on incomplete ones."""

from __future__ import annotations

import math
import struct
from typing import BinaryIO, Final

_SEARCHED = 4096  # bytes; a bulletin header or padding may stand between GRIB messages
_LARGE_GRIB1 = 0x800000  # flag that ECMWF sets in GRIB 1 messages of more than 8 MB


def classic_size(file: BinaryIO) -> int | None:
    """Return the least size of a NetCDF-3 file in bytes, from its header; ``None`` while it is streamed.

    The whole header is checked, because the library reads zeros past the end of a truncated file and hangs on
    inconsistent headers. Format: NetCDF User's Guide, "File Format Specifications".

    Raises:
        ValueError: if the header is inconsistent.
        struct.error: if the header is truncated.
    """
    header = _ClassicHeader(file)
    records = header.number(signed=True)
    lengths = header.dimensions()
    header.attributes()
    parts = header.variables(lengths)
    fixed_end = max((begin + size for begin, size, unlimited in parts if not unlimited), default=file.tell())
    per_record = [(begin, size) for begin, size, unlimited in parts if unlimited]
    if records < 0:
        return None
    if not per_record or not records:
        return max(fixed_end, file.tell())
    single = len(per_record) == 1  # a single record variable is not padded to 4 bytes
    record_size = sum(size if single else -(-size // 4) * 4 for _, size in per_record)
    last_end = max(begin + size for begin, size in per_record)
    return max(fixed_end, last_end + (records - 1) * record_size)


class _ClassicHeader:
    """Reads the lists of a NetCDF-3 header (CDF-1, CDF-2, CDF-5); refuses counts larger than the file."""

    _SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
    _DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._limit = file.seek(0, 2)
        file.seek(0)
        version = _take(file, 4)[3]
        self._count_bytes = 8 if version == 5 else 4
        self._offset_bytes = 4 if version == 1 else 8

    def number(self, *, signed: bool = False, count: int | None = None) -> int:
        value = int.from_bytes(_take(self._file, count or self._count_bytes), signed=signed)
        if not signed and value > self._limit:
            raise ValueError(f"a count of {value}")
        return value

    def dimensions(self) -> list[int]:
        lengths = []
        for _ in range(self._items(self._DIMENSION)):
            self._name()
            lengths.append(int.from_bytes(_take(self._file, self._count_bytes)))
        return lengths

    def attributes(self) -> None:
        for _ in range(self._items(self._ATTRIBUTE)):
            self._name()
            self._skip(self._type_size() * self.number())

    def variables(self, lengths: list[int]) -> list[tuple[int, int, bool]]:
        """Return each variable's offset, size in bytes (of one record) and whether it has records."""
        parts = []
        for _ in range(self._items(self._VARIABLE)):
            self._name()
            dims = [self.number() for _ in range(self.number())]
            if any(dim >= len(lengths) for dim in dims) or any(lengths[dim] == 0 for dim in dims[1:]):
                raise ValueError("a variable uses dimensions that do not exist")
            self.attributes()
            unlimited = bool(dims) and lengths[dims[0]] == 0
            size = self._type_size() * math.prod(lengths[dim] for dim in dims[unlimited:])
            self._take_size()
            parts.append((self.number(count=self._offset_bytes), size, unlimited))
        return parts

    def _items(self, expected: int) -> int:
        tag, count = self.number(count=4), self.number()
        if tag != expected and (tag or count):
            raise ValueError(f"a list of kind {tag}")
        return count

    def _name(self) -> None:
        self._skip(self.number())

    def _type_size(self) -> int:
        kind = self.number(count=4)
        if kind not in self._SIZES:
            raise ValueError(f"type {kind}")
        return self._SIZES[kind]

    def _take_size(self) -> None:
        _take(self._file, self._count_bytes)  # redundant, and wrong by design for large variables

    def _skip(self, length: int) -> None:
        if self._file.seek(-(-length // 4) * 4, 1) > self._limit:
            raise struct.error("the file ends")


def grib_count(file: BinaryIO) -> int:
    """Count the messages of a GRIB file by walking over their sections.

    ecCodes silently skips a message without its end mark, and crashes on some inconsistent messages.
    Format: WMO Manual on Codes, FM 92 GRIB, editions 1 and 2.

    Raises:
        ValueError: if there is no message, or one is truncated or inconsistent.
    """
    offset = number = 0
    while True:
        file.seek(offset)
        gap = file.read(_SEARCHED)
        begin = gap.find(b"GRIB")
        if begin < 0:
            if not number:
                raise ValueError("it contains no GRIB message")
            return number
        number += 1
        try:
            length = _check_message(file, offset + begin)
        except (struct.error, ValueError):
            raise ValueError(f"GRIB message {number} is truncated or inconsistent") from None
        offset += begin + length


def _check_message(file: BinaryIO, begin: int) -> int:
    """Return the length of a message.

    Raises:
        ValueError: its sections do not add up to it, or it does not end where it says.
        struct.error: the file ends before.
    """
    file.seek(begin)
    head = _take(file, 8)
    if head[7] == 1:
        length, end = _walk_edition_1(file, begin, int.from_bytes(head[4:7]))
        fits = end <= length  # a message may be padded
    elif head[7] == 2:
        (length,) = struct.unpack(">Q", _take(file, 8))
        fits = _walk_edition_2(file, begin + 16, begin + length - 4) == begin + length - 4
    else:
        raise ValueError(f"GRIB edition {head[7]}")
    file.seek(begin + length - 4)
    if not fits or _take(file, 4) != b"7777":
        raise ValueError("the sections do not add up")
    return length


def _walk_edition_1(file: BinaryIO, begin: int, length: int) -> tuple[int, int]:
    """Return the length of the message and of its sections with the end mark."""
    file.seek(begin + 8)
    section = _take(file, 8)
    end = 8 + int.from_bytes(section[:3])
    for flag in (0x80, 0x40):  # grid description, bit map
        if section[7] & flag:
            end += _length_at(file, begin + end)
    data = _length_at(file, begin + end)
    if length & _LARGE_GRIB1 and data < 120:
        # the length is then in units of 120 bytes, and the data section's length holds the excess
        length = (length & ~_LARGE_GRIB1) * 120 - data + 4
        return length, length
    return length, end + data + 4


def _length_at(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    return int.from_bytes(_take(file, 3))


def _walk_edition_2(file: BinaryIO, at: int, end: int) -> int:
    """Return where the chain of sections ends; after section 7 it may restart at 2, 3 or 4."""
    before = 0
    while at < end:
        file.seek(at)
        length, number = struct.unpack(">IB", _take(file, 5))
        in_order = number == before + 1 or (before, number) in {(1, 3), (7, 2), (7, 3), (7, 4)}
        if length < 5 or not in_order:
            raise ValueError(f"section {number} after {before}")
        at, before = at + length, number
    return at


def _take(file: BinaryIO, count: int) -> bytes:
    """Read exactly ``count`` bytes."""
    taken = file.read(count)
    if len(taken) < count:
        raise struct.error("the file ends")
    return taken
