"""Gates and recurrence of the MinConv cells over all steps in one launch, and the way back.

Both read the preactivations as one convolution leaves them, (t, points, maps F): those of the gate, then v.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS, AHEAD = 128, 1, 4
TINY: Any = tl.constexpr(torch.finfo(torch.float32).tiny)


@triton.jit
def _update(pre, at, F, inside, NORMALIZED: tl.constexpr):
    """Return z, and σ(f) and σ(i) where it is their share."""
    first = tl.sigmoid(tl.load(pre + at, inside, 0.0).to(tl.float32))
    if NORMALIZED:
        second = tl.sigmoid(tl.load(pre + at + F, inside, 0.0).to(tl.float32))
        return second / tl.maximum(first + second, TINY), first, second
    return first, first, first


@triton.jit
def _forward(pre, h0, h, steps, n, F, NORMALIZED: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr):
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    zero = lane - lane  # steps in 64 bits: a record times its steps is longer than 32 bits count
    maps = 3 if NORMALIZED else 2
    place = (lane // F) * (maps * F) + lane % F
    state = tl.load(h0 + lane, inside, 0.0)
    for t in tl.range(0, steps, num_stages=AHEAD):
        at = place + (zero + t) * n * maps
        z, _, _ = _update(pre, at, F, inside, NORMALIZED)
        v = tl.load(pre + at + (maps - 1) * F, inside, 0.0).to(tl.float32)
        state = state + z * (tl.where(v >= 0, v + 0.5, tl.sigmoid(v)) - state)
        tl.store(h + lane + (zero + t) * n, state, inside)


@triton.jit
def _backward(
    pre,
    h0,
    h,
    grad,
    carry,
    grad_pre,
    steps,
    n,
    F,
    NORMALIZED: tl.constexpr,
    BLOCK: tl.constexpr,
    AHEAD: tl.constexpr,
):
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    zero = lane - lane  # steps in 64 bits: a record times its steps is longer than 32 bits count
    maps = 3 if NORMALIZED else 2
    place = (lane // F) * (maps * F) + lane % F
    kind = grad_pre.dtype.element_ty
    handed = tl.load(carry + lane, inside, 0.0)
    for back in tl.range(0, steps, num_stages=AHEAD):
        t = zero + (steps - 1 - back)
        at = place + t * n * maps
        before = tl.load(h + lane + (t - 1) * n, inside & (t > 0), 0.0)
        before += tl.load(h0 + lane, inside & (t == 0), 0.0)
        z, first, second = _update(pre, at, F, inside, NORMALIZED)
        v = tl.load(pre + at + (maps - 1) * F, inside, 0.0).to(tl.float32)
        low = tl.sigmoid(v)
        adjoint = tl.load(grad + lane + t * n, inside, 0.0) + handed
        of_k = adjoint * (tl.where(v >= 0, v + 0.5, low) - before) * z * (1 - z)
        of_v = adjoint * z * tl.where(v >= 0, 1.0, low * (1 - low))
        if NORMALIZED:
            tl.store(grad_pre + at, (of_k * (first - 1)).to(kind), inside)
            tl.store(grad_pre + at + F, (of_k * (1 - second)).to(kind), inside)
        else:
            tl.store(grad_pre + at, of_k.to(kind), inside)
        tl.store(grad_pre + at + (maps - 1) * F, of_v.to(kind), inside)
        handed = adjoint * (1 - z)
    tl.store(carry + lane, handed, inside)


def gated_scan_forward(pre: Tensor, h0: Tensor, h: Tensor, *, normalized: bool) -> None:
    """Write h_1 … h_T (t, b, h, w, F) for preactivations (t, b, h, w, maps F) and ``h0`` (b, h, w, F)."""
    n, F = h0.numel(), h0.shape[-1]
    grid = (triton.cdiv(n, BLOCK),)
    _forward[grid](pre, h0, h, len(pre), n, F, normalized, BLOCK, AHEAD, num_warps=WARPS)


def gated_scan_backward(
    pre: Tensor, h0: Tensor, h: Tensor, grad: Tensor, carry: Tensor, *, normalized: bool
) -> Tensor:
    """Return the gradient of ``pre`` from that of h; ``carry`` (b, h, w, F) holds what later steps hand back.

    It then holds what the first step hands to its past.
    """
    grad_pre, n, F = torch.empty_like(pre), h0.numel(), h0.shape[-1]
    _backward[(triton.cdiv(n, BLOCK),)](
        pre, h0, h, grad, carry, grad_pre, len(pre), n, F, normalized, BLOCK, AHEAD, num_warps=WARPS
    )
    return grad_pre
