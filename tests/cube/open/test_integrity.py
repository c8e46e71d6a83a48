import io
import random

import numpy as np
import pytest

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.open.integrity import classic_size, grib_count
from faconv_cli.errors import InputError


def grib1(body=40, flags=0x80, pad=0):
    """A message of edition 1: product section, grid section of 32 bytes, data; made of zeros."""
    product = (28).to_bytes(3) + bytes(4) + bytes([flags]) + bytes(20)
    grid = (32).to_bytes(3) + bytes(29) if flags & 0x80 else b""
    bitmap = (10).to_bytes(3) + bytes(7) if flags & 0x40 else b""
    inside = product + grid + bitmap + body.to_bytes(3) + bytes(body - 3) + bytes(pad)
    return b"GRIB" + (8 + len(inside) + 4).to_bytes(3) + b"\1" + inside + b"7777"


def grib2(numbers=(1, 3, 4, 5, 6, 7)):
    inside = b"".join((25).to_bytes(4) + bytes([n]) + bytes(20) for n in numbers)
    return b"GRIB" + bytes(3) + b"\2" + (16 + len(inside) + 4).to_bytes(8) + inside + b"7777"


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (grib1(), 1),
        (grib1(flags=0), 1),
        (grib1(flags=0xC0, pad=2), 1),
        (grib2(), 1),
        (grib2((1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 3, 4, 5, 6, 7)), 1),
        (b"\x01\r\r\n001\r\r\nbulletin\r\r\n" + grib1() + b"\r\r\n\x03" + grib2() + bytes(100), 2),
    ],
)
def test_whole_messages_are_counted(content, messages):
    assert grib_count(io.BytesIO(content)) == messages


def test_a_large_message_of_edition_1_counts_in_units_of_120_bytes():
    data, units = 44, 2
    head = (28).to_bytes(3) + bytes(4) + bytes([0]) + bytes(20)
    total = units * 120 - data + 4
    content = b"GRIB" + (0x800000 | units).to_bytes(3) + b"\1" + head + data.to_bytes(3)
    content += bytes(total - len(content) - 4) + b"7777"
    assert grib_count(io.BytesIO(content + grib2())) == 2
    with pytest.raises(ValueError, match="message 1"):
        grib_count(io.BytesIO(content[:-1]))


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"no message at all", "it contains no GRIB message"),
        (grib1()[:-1], "message 1 is truncated"),
        (grib2() + grib2()[:-30], "message 2 is truncated"),
        (grib2((1, 4, 3, 5, 6, 7)), "message 1"),
        (grib2()[:12] + bytes(4) + grib2()[16:], "message 1"),
        (grib2()[:7] + b"\3" + grib2()[8:], "message 1"),
        (grib1()[:8] + b"\xff" + grib1()[9:], "message 1"),
        (grib2().replace((25).to_bytes(4) + b"\5", (3).to_bytes(4) + b"\5"), "message 1"),
    ],
)
def test_messages_that_contradict_themselves_have_a_flaw(content, flaw):
    with pytest.raises(ValueError, match=flaw):
        grib_count(io.BytesIO(content))


def test_a_classic_file_still_written_has_no_size(write):
    content = bytearray(write(format="NETCDF3_CLASSIC").read_bytes())
    assert classic_size(io.BytesIO(content)) == len(content)
    content[4:8] = b"\xff" * 4
    assert classic_size(io.BytesIO(content)) is None


def test_corrupted_classic_files_give_a_message_or_a_cube(write, tmp_path):
    good = write(format="NETCDF3_CLASSIC").read_bytes()
    refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        content = bytearray(good)
        for _ in range(rng.choice([1, 2, 8])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path = tmp_path / f"{seed}.nc"
        path.write_bytes(content)
        try:
            cube = open_cube([path])
            assert np.shape(cube.read(0, 2))[1:] == cube.shape[1:]
        except InputError:
            refused += 1
    assert 20 < refused < 280
