"""Triton kernels of the fast paths on a GPU; the plain path beside each is what they are tested against.

Triton is imported when a kernel is first wanted: without it, without a GPU, or where it cannot compile, the
plain path runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

_PLAIN_ALONE = [False]
_log = logging.getLogger("faconv")


def usable(x: Tensor) -> bool:
    """Return whether kernels can work on ``x``: float32 or narrower on a GPU, and Triton is there.

    Under Triton's interpreter (TRITON_INTERPRET=1) they work on the CPU as well, slowly: for tests.
    """
    there = x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    narrow = x.dtype in (torch.float32, torch.bfloat16)
    return there and narrow and not _PLAIN_ALONE[0] and _compiles(x.device)


@contextmanager
def plain_path() -> Iterator[None]:
    """Within it no kernel is used: the reference of tests and benchmarks."""
    before, _PLAIN_ALONE[0] = _PLAIN_ALONE[0], True
    try:
        yield
    finally:
        _PLAIN_ALONE[0] = before


@cache
def _compiles(device: torch.device) -> bool:
    """Try a small kernel: Triton needs a C compiler, and a GPU that it knows."""
    try:
        from faconv_cli.nn.kernels.scan import linear_scan_forward

        ones = torch.ones(1, 1, device=device)
        linear_scan_forward(ones, ones, ones[0])
    except ImportError:
        return False
    except Exception as error:  # whatever a compiler or driver says; the answer is the same without kernels
        _log.warning("no kernels on %s, which is slower: %s", device, str(error).strip().split("\n")[0])
        return False
    return True
