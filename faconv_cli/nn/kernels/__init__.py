"""Triton kernels of the fast paths on a GPU; the plain path beside each is what they are tested against.

Triton is imported when a kernel is first wanted: without it, or without a GPU, the plain path runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

_PLAIN_ALONE = [False]


def usable(x: Tensor) -> bool:
    """Tell whether kernels can work on ``x``: float32 or narrower on a GPU, and Triton is there.

    Under Triton's interpreter (TRITON_INTERPRET=1) they work on the CPU as well, slowly: for tests.
    """
    there = x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    narrow = x.dtype in (torch.float32, torch.bfloat16)
    return there and narrow and not _PLAIN_ALONE[0] and _has_triton()


@contextmanager
def plain_path() -> Iterator[None]:
    """Within it no kernel is used: the reference of tests and benchmarks."""
    before, _PLAIN_ALONE[0] = _PLAIN_ALONE[0], True
    try:
        yield
    finally:
        _PLAIN_ALONE[0] = before


@cache
def _has_triton() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True
