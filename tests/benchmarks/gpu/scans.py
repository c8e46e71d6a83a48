"""The linear scan of 67 MB by its ways, forward and with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from faconv_cli.nn.kernels import plain_path
from faconv_cli.nn.scans.scan import linear_scan, log_scan
from tests.benchmarks.gpu.timing import in_one_graph, medians

BYTES = 4


def time_scans(device: torch.device, copy_ceiling: float, *, quick: bool, limit: float) -> None:
    """Print milliseconds of each, with the share of the bandwidth ceiling.

    Forward reads a and b and writes h; the gradient reads a, h and its own and writes two.
    """
    numbers, rounds = (2**16, 2) if quick else (2**24, 10)
    for steps in (32, 256, 1024):
        a = torch.rand(steps, numbers // steps, device=device)
        b, upstream, h0 = torch.rand_like(a), torch.rand_like(a), torch.rand_like(a[0])
        logs = a.log(), b.log()
        works = {
            "forward": partial(_forward, a, b, h0),
            "no kernel, forward": _without_kernels(partial(_forward, a, b, h0)),
            "log scan, forward": lambda logs=logs, h0=h0: log_scan(*logs, h0),
            "forward + gradient": partial(_both, a, b, h0, upstream),
            "no kernel, forward + gradient": _without_kernels(partial(_both, a, b, h0, upstream)),
        }
        if device.type == "cuda":
            works |= {f"{name}, graph": in_one_graph(work, device) for name, work in works.items()}
        for work in works.values():
            work()
        seconds = medians(works, device, rounds, limit / 3)
        for name, one in seconds.items():
            moved = (8 if "gradient" in name else 3) * BYTES * numbers
            print(
                f"T {steps:4} {name:36} {one * 1e3:9.3f} ms {moved / one / 1e9:7.0f} GB/s "
                f"({moved / one / copy_ceiling:4.0%} of a copy's)",
                flush=True,
            )


def _without_kernels(work: Callable[[], object]) -> Callable[[], object]:
    def plain() -> None:
        with plain_path():
            work()

    return plain


@torch.no_grad()
def _forward(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    return linear_scan(a, b, h0)


def _both(a: Tensor, b: Tensor, h0: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    inputs = tuple(one.detach().requires_grad_() for one in (a, b, h0))
    h = linear_scan(*inputs)
    return torch.autograd.grad(h, inputs, upstream)
