"""The linear recurrence h_t = a_t ⊙ h_{t-1} + b_t over time, the form every MinConv cell takes.

`linear_scan` runs it in linear space: exact to a few units of rounding at any length, free to take
negative numbers. `log_scan` is the formula of Horuz et al. 2025 (arXiv 2508.03614, after Heinsen 2023),
kept as the reference that tests compare with: in float32 it loses three digits over forty years of days.
The cells run both within one pass over time: `gatedscan`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faconv_cli.nn.kernels import usable


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Return h_1 … h_T of h_t = a_t ⊙ h_{t-1} + b_t, differentiable once.

    Args:
        a: (t, ...) factors.
        b: (t, ...) additions.
        h0: (...) the state before the first step.
    """
    return _LinearScan.apply(a, b, h0)  # type: ignore[no-any-return, no-untyped-call]


def log_scan(log_a: Tensor, log_b: Tensor, h0: Tensor) -> Tensor:
    """Return the same in logarithms: exp(A_t + logcumsumexp_s(log b_s - A_s)), A_t = Σ_{s≤t} log a_s.

    For a reference only. b and h0 must not be negative.
    """
    sums = torch.cat([torch.zeros_like(log_a[:1]), log_a.cumsum(0)])
    terms = torch.cat([h0.log()[None], log_b]) - sums
    return (sums + terms.logcumsumexp(0)).exp()[1:]


class _LinearScan(torch.autograd.Function):
    """Keeps a and h only; the gradient is the same recurrence, backwards in time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        ctx.in_kernels = usable(a) and a.dtype == b.dtype == h0.dtype == torch.float32
        if ctx.in_kernels:
            from faconv_cli.nn.kernels.scan import linear_scan_forward

            h = linear_scan_forward(a, b, h0)
        else:
            h, previous = b.clone(), h0
            for a_t, h_t in zip(a, h, strict=True):
                previous = h_t.addcmul_(a_t, previous)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h, h0 = ctx.saved_tensors
        if ctx.in_kernels:
            from faconv_cli.nn.kernels.scan import linear_scan_backward

            return linear_scan_backward(a, h, h0, grad)
        adjoint = grad.clone(memory_format=torch.contiguous_format)
        grad_h0 = adjoint_scan_(a, adjoint, torch.zeros_like(h0))
        grad_a = adjoint * torch.cat([h0[None], h[:-1]])
        return grad_a, adjoint, grad_h0


def adjoint_scan_(a: Tensor, adjoint: Tensor, carry: Tensor) -> Tensor:
    """Run λ_t += a_{t+1} ⊙ λ_{t+1} backwards over ``adjoint`` (t, ...), in place.

    ``carry`` is what the later steps hand to the last one; gives back what the first hands to its past.
    """
    for a_t, adjoint_t in zip(reversed(a.unbind()), reversed(adjoint.unbind()), strict=True):
        carry = adjoint_t.add_(carry) * a_t
    return carry
