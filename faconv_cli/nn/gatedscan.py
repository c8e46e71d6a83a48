"""Convolution, gates and recurrence of the MinConv cells in one pass over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faconv_cli.nn.featureslast import (
    Halo,
    any_requires_grad,
    bias_gradient,
    convolve,
    convolve_backward,
    time_blocks,
)
from faconv_cli.nn.scan import adjoint_scan_


class UpdateGate(Protocol):
    """How a cell makes its update gate z from the first of its preactivations, and the way back."""

    def activate(self, pre: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """Write to ``out`` (may be ``pre``) the activations that `update` and `backward` read."""

    def update(self, activations: Sequence[Tensor]) -> Tensor:
        """Give z."""

    def backward(self, activations: Sequence[Tensor], z: Tensor, grad_z: Tensor) -> list[Tensor]:
        """Give the gradients of the preactivations."""


def gated_scan(x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate) -> Tensor:
    """Give h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ g(v_t), with z and v from one convolution of x_t.

    Runs in blocks of time that stay in cache. Training keeps the activations of the gates and h;
    preactivations and adjoints live for one block only.

    Args:
        x: (t, b, h, w, c), features last.
        weight: (n f, c, k, k): the preactivations of the gate, then v.
        bias: (n f,).
        h0: (b, h, w, f), in the type that states are kept in.
        halo: the rim of a k × k kernel.
        gate: makes z of the first n - 1 preactivations.

    Returns:
        (t, b, h, w, f).
    """
    if any_requires_grad((x, weight, bias, h0)):
        return _GatedScan.apply(x, weight, bias, h0, halo, gate)  # type: ignore[no-any-return, no-untyped-call]
    return _run(x, weight, bias, h0, halo, gate, None)[1:]


def candidate(v: Tensor, out: Tensor) -> Tensor:
    """Write g(v) = v + ½ for v ≥ 0, else σ(v), as max(σ(v), v + ½); uses ``v`` up."""
    torch.sigmoid(v, out=out)
    return torch.maximum(out, v.add_(0.5), out=out)


def _run(
    x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate, kept: Tensor | None
) -> Tensor:
    """Give h_0 … h_T; write activations and candidates to ``kept`` (n, t, b, h, w, f) where given."""
    gates = len(weight) // h0.shape[-1]
    h = h0.new_empty(len(x) + 1, *h0.shape)
    h[0] = h0
    for block in time_blocks(len(x), h0):
        padded = halo.pad(x[block].flatten(0, 1))
        *pre, v = (part.view(-1, *h0.shape) for part in convolve(padded, weight, bias, gates, h0.dtype))
        *out, g = (*pre, h[1:][block]) if kept is None else kept[:, block]
        gate.activate(pre, out)
        z = gate.update(out)
        candidate(v, out=g)
        for t, z_t, g_t in zip(range(block.start, block.stop), z, g, strict=True):
            torch.lerp(h[t], g_t, z_t, out=h[t + 1])
    return h


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate
    ) -> Tensor:
        kept = h0.new_empty(len(weight) // h0.shape[-1], len(x), *h0.shape)
        h = _run(x, weight, bias, h0, halo, gate, kept)
        ctx.save_for_backward(x, weight, kept, h)
        ctx.halo, ctx.gate = halo, gate
        return h[1:]

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, kept, h = ctx.saved_tensors
        need_x = ctx.needs_input_grad[0]
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else None
        grad_weight, grad_bias = torch.zeros_like(weight), h.new_zeros(len(weight))
        carry = torch.zeros_like(h[0])
        for block in reversed(time_blocks(len(x), h[0])):
            grads, carry = _preactivation_gradients(ctx.gate, kept[:, block], h[block], grad[block], carry)
            grads = [part.flatten(0, 1) for part in grads]
            grad_bias += bias_gradient(grads)
            padded = ctx.halo.pad(x[block].flatten(0, 1))
            grad_padded = convolve_backward(grads, padded, weight, grad_weight, need_input=need_x)
            if grad_x is not None and grad_padded is not None:
                grad_x[block] = ctx.halo.fold_(grad_padded).view_as(grad_x[block])
        return grad_x, grad_weight, grad_bias.to(weight.dtype), carry, None, None


def _preactivation_gradients(
    gate: UpdateGate, kept: Tensor, h_before: Tensor, grad: Tensor, carry: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Go back through scan and gates of one block; gives also what it hands to the block before."""
    *activations, g = kept
    z = gate.update(activations)
    adjoint = grad.clone(memory_format=torch.contiguous_format)
    carry = adjoint_scan_(1 - z, adjoint, carry)
    grad_z = (g - h_before).mul_(adjoint)
    slope = torch.where(g < 0.5, torch.addcmul(g, g, g, value=-1), 1)
    grad_v = adjoint.mul_(z).mul_(slope)
    return [*gate.backward(activations, z, grad_z), grad_v], carry
