"""What the device can do at most: bytes of a large copy, FLOP of large matrix products, per second."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.benchmarks.gpu.timing import medians


def measure_ceilings(device: torch.device, *, quick: bool) -> dict[str, float]:
    """Give bytes/s of ``copy``, and FLOP/s of ``bfloat16``, ``tf32`` and ``float32`` products.

    A copy counts what it reads and what it writes. All on random numbers: zeros multiply faster.
    """
    numbers, side, rounds = (2**22, 256, 3) if quick else (2**28, 8192, 10)
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    a, b = torch.randn(2, side, side, device=device)
    a16, b16 = a.bfloat16(), b.bfloat16()
    works = {
        "copy": lambda: target.copy_(source),
        "bfloat16": lambda: a16 @ b16,
        "tf32": lambda: _product(a, b, narrow=True),
        "float32": lambda: _product(a, b, narrow=False),
    }
    for work in works.values():
        work()
    seconds = medians(works, device, rounds, 10)
    amounts = {"copy": 8 * numbers} | dict.fromkeys(("bfloat16", "tf32", "float32"), 2 * side**3)
    return {name: amounts[name] / seconds[name] for name in works}


def _product(a: Tensor, b: Tensor, *, narrow: bool) -> Tensor:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = narrow
    try:
        return a @ b
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
