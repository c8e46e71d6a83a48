"""The linear recurrence over all steps in one launch: each program carries its numbers through time."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS, AHEAD = 128, 1, 4  # numbers and warps of a program; steps that are loaded ahead


@triton.jit
def _forward(a, b, h0, h, steps, n, BLOCK: tl.constexpr, AHEAD: tl.constexpr):
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    zero = lane - lane  # steps in 64 bits: a record times its steps is longer than 32 bits count
    state = tl.load(h0 + lane, inside, 0.0)
    for t in tl.range(0, steps, num_stages=AHEAD):
        at = lane + (zero + t) * n
        state = tl.load(a + at, inside, 0.0) * state + tl.load(b + at, inside, 0.0)
        tl.store(h + at, state, inside)


@triton.jit
def _backward(a, h, h0, grad, grad_a, grad_b, grad_h0, steps, n, BLOCK: tl.constexpr, AHEAD: tl.constexpr):
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    zero = lane - lane  # steps in 64 bits: a record times its steps is longer than 32 bits count
    carry = tl.zeros([BLOCK], tl.float32)
    for back in tl.range(0, steps - 1, num_stages=AHEAD):
        at = lane + (zero + (steps - 1 - back)) * n
        adjoint = tl.load(grad + at, inside, 0.0) + carry
        tl.store(grad_b + at, adjoint, inside)
        tl.store(grad_a + at, adjoint * tl.load(h + at - n, inside, 0.0), inside)
        carry = adjoint * tl.load(a + at, inside, 0.0)
    adjoint = tl.load(grad + lane, inside, 0.0) + carry
    tl.store(grad_b + lane, adjoint, inside)
    tl.store(grad_a + lane, adjoint * tl.load(h0 + lane, inside, 0.0), inside)
    tl.store(grad_h0 + lane, adjoint * tl.load(a + lane, inside, 0.0), inside)


def linear_scan_forward(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Return h_1 … h_T (t, ...) of h_t = a_t ⊙ h_{t-1} + b_t."""
    a, b, h0 = (one.contiguous() for one in (a, b, h0))
    h, n = torch.empty_like(b), h0.numel()
    _forward[(triton.cdiv(n, BLOCK),)](a, b, h0, h, len(a), n, BLOCK, AHEAD, num_warps=WARPS)
    return h


def linear_scan_backward(a: Tensor, h: Tensor, h0: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h0 from that of h; the same recurrence backwards."""
    a, h, h0, grad = (one.contiguous() for one in (a, h, h0, grad))
    found, n = (torch.empty_like(a), torch.empty_like(a), torch.empty_like(h0)), h0.numel()
    _backward[(triton.cdiv(n, BLOCK),)](a, h, h0, grad, *found, len(a), n, BLOCK, AHEAD, num_warps=WARPS)
    return found
