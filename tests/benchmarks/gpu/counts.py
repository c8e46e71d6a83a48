"""Operations and bytes of each network, counted by hand from its equations and sizes."""

from __future__ import annotations

from typing import NamedTuple

K, R, DILATIONS, EVERY = 3, 16, 3, 4  # kernel, bottleneck, dilations, attended steps: the defaults
BYTES = 4  # of a state: float32 in either precision


class Size(NamedTuple):
    """Batch, steps, channels, rows, columns, hidden channels."""

    b: int
    t: int
    c: int
    h: int
    w: int
    f: int


SIZES = {
    "a": Size(4, 24, 7, 41, 41, 64),
    "b": Size(1, 32, 4, 181, 360, 32),
    "c": Size(8, 32, 1, 32, 64, 64),
    "tiny": Size(1, 3, 2, 9, 12, 8),
}


def flop(name: str, size: Size, *, training: bool) -> float:
    """Give two for each multiply-add of convolutions and products; a backward pass does twice as many."""
    steps = size.b * size.t * size.h * size.w
    return 2 * (3 if training else 1) * steps * _multiply_adds(name, size)


def least_bytes(name: str, size: Size, *, training: bool) -> float:
    """Give the fewest bytes that go through memory, where each step reads h and c and writes them.

    A scan keeps its state on the chip: it reads x and writes h. Training reads x and h again, the gradient
    of every h, and carries gradients of h and c as it carried these: ConvLSTM reads c of all steps as well.
    """
    steps, scans = size.b * size.t * size.h * size.w, name.startswith("Min")
    states = (1 if scans else 4) + (0 if not training else 2 if scans else 8)
    return BYTES * steps * (size.c * (2 if training else 1) + states * size.f)


def _multiply_adds(name: str, size: Size) -> float:
    """Count them for a point and step."""
    c, f = size.c, size.f
    if name == "FAConvLSTM":
        return (c + f) * R + DILATIONS * K**2 * R + 4 * f * R + _attention(f, size)
    if name == "MinFAConvLSTM":
        return c * R + DILATIONS * K**2 * R + 3 * f * R + _attention(R, size)
    if name == "MinConvGRU":
        return 2 * f * K**2 * c
    return 4 * f * K**2 * (c + f)  # ConvLSTM, however it is written


def _attention(channels: int, size: Size) -> float:
    """Down, up, two times query, key, value and output, and the scores of rows and columns."""
    return (2 * channels * R + 8 * R**2 + 2 * R * (size.h + size.w)) / EVERY
