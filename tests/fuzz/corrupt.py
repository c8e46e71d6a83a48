"""Ways to damage a file: what disks, transfers and stopped jobs do to it, and what a header fears most."""

import random

HEADER_BYTES = 400


def corrupt(good: bytes, seed: int) -> bytes:
    """Damage the bytes of a file; the same seed damages them in the same way."""
    rng = random.Random(seed)
    return bytes(rng.choice(WAYS)(bytearray(good), rng))


def single_bytes(data, rng):
    for _ in range(rng.choice([1, 2, 8])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def single_bits(data, rng):
    for _ in range(rng.choice([1, 3])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def header_bytes(data, rng):
    for _ in range(rng.choice([1, 2, 4])):
        data[rng.randrange(min(len(data), HEADER_BYTES))] = rng.randrange(256)
    return data


def run(data, rng):
    start, length = _span(data, rng, 64)
    data[start : start + length] = rng.randbytes(length)
    return data


def run_of_zeros(data, rng):
    start, length = _span(data, rng, 64)
    data[start : start + length] = bytes(length)
    return data


def extreme_number(data, rng):
    length = rng.choice([2, 4, 8])
    start = rng.randrange(len(data) - length)
    data[start : start + length] = rng.choice(
        [b"\xff" * 8, b"\x7f" + b"\xff" * 7, bytes(8), b"\x80" + bytes(7)]
    )[:length]
    return data


def truncation(data, rng):
    return data[: rng.randrange(1, len(data))]


def swapped_blocks(data, rng):
    first, length = _span(data, rng, len(data) // 4)
    second = rng.randrange(len(data) - length)
    one, other = data[first : first + length], data[second : second + length]
    data[second : second + length] = one
    data[first : first + length] = other
    return data


def copied_block(data, rng):
    first, length = _span(data, rng, len(data) // 4)
    second = rng.randrange(len(data) - length)
    data[second : second + length] = data[first : first + length]
    return data


def _span(data, rng, longest):
    length = rng.randrange(1, max(2, min(longest, len(data) // 2)))
    return rng.randrange(len(data) - length), length


WAYS = (
    single_bytes,
    single_bits,
    header_bytes,
    run,
    run_of_zeros,
    extreme_number,
    truncation,
    swapped_blocks,
    copied_block,
)
