"""Convolution, gates and recurrence of the MinConv cells in one pass over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from faconv_cli.nn.kernels import usable
from faconv_cli.nn.mechanisms.featureslast import (
    Halo,
    any_requires_grad,
    convolve,
    convolve_backward,
    row_blocks,
    time_blocks,
)
from faconv_cli.nn.padding import pad2d
from faconv_cli.nn.scans.scan import adjoint_scan_


class UpdateGate(Protocol):
    """How a cell makes its update gate z from the first of its preactivations, and the way back.

    Attributes:
        normalized: z is i' of f and i, else σ of one: what a kernel must know.
    """

    normalized: bool

    def activate_(self, gates: Sequence[Tensor]) -> Tensor:
        """Turn preactivations into activations, in place, and give z (which may be one of them)."""

    def update(self, activations: Sequence[Tensor]) -> Tensor:
        """Return z again."""

    def backward(self, activations: Sequence[Tensor], z: Tensor, grad_z: Tensor) -> list[Tensor]:
        """Return the gradients of the preactivations; uses ``grad_z`` up."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiler would unroll the steps
def gated_scan(x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate) -> Tensor:
    """Return h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ g(v_t), with z and v from one convolution of x_t.

    Runs in blocks of steps and rows that stay in cache. Training keeps the activations of the gates and h;
    preactivations and adjoints live for one block only. On a GPU one kernel does all steps of a block, and
    training keeps the preactivations instead.

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
    if usable(h0) and h0.dtype == torch.float32:
        return _in_kernels(x, weight, bias, h0, halo, gate)
    if any_requires_grad((x, weight, bias, h0)):
        return _GatedScan.apply(x, weight, bias, h0, halo, gate)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(x, weight, bias, h0, halo, gate, keep=False)[0][1:]


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate, *, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return h_0 … h_T, and where kept the activations and candidates of each block in a row."""
    maps, kept = len(weight) // h0.shape[-1], []
    h = h0.new_empty(len(x) + 1, *h0.shape)
    h[0] = h0
    for block in time_blocks(len(x), h0):
        padded = halo.pad(x[block].flatten(0, 1))
        for rows in row_blocks(h0):
            parts = convolve(halo.rows(padded, rows), weight, bias, maps, h0.dtype)
            *gates, v = (part.view(-1, len(h0), *part.shape[1:]) for part in parts)
            z = gate.activate_(gates)
            g = torch.maximum(v.sigmoid(), v.add_(0.5), out=v)  # v + ½ for v ≥ 0, else σ(v)
            for t, z_t, g_t in zip(range(block.start, block.stop), z, g, strict=True):
                torch.lerp(h[t][:, rows], g_t, z_t, out=h[t + 1][:, rows])
            if keep:
                kept += [*gates, g]
    return h, kept


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate
    ) -> Tensor:
        h, kept = _forward(x, weight, bias, h0, halo, gate, keep=True)
        ctx.save_for_backward(x, weight, h, *kept)
        ctx.halo, ctx.gate = halo, gate
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, h, *kept = ctx.saved_tensors
        maps, halo, need_x = len(weight) // h.shape[-1], ctx.halo, ctx.needs_input_grad[0]
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else None
        grad_weight, grad_bias = torch.zeros_like(weight), h.new_zeros(len(weight))
        carry = torch.zeros_like(h[0])
        for block in reversed(time_blocks(len(x), h[0])):
            padded = halo.pad(x[block].flatten(0, 1))
            grad_padded = torch.zeros_like(padded) if need_x else None
            for rows in reversed(row_blocks(h[0])):
                grads, carry[:, rows] = _preactivation_gradients(
                    ctx.gate, kept[-maps:], h[block][:, :, rows], grad[block][:, :, rows], carry[:, rows]
                )
                del kept[-maps:]
                of_seen, of_weight, of_bias = convolve_backward(
                    [part.flatten(0, 1) for part in grads], halo.rows(padded, rows), weight, need_input=need_x
                )
                grad_weight += of_weight
                grad_bias += of_bias
                if grad_padded is not None:
                    halo.rows(grad_padded, rows).add_(of_seen)
            if grad_x is not None and grad_padded is not None:
                grad_x[block] = halo.fold_(grad_padded).view_as(grad_x[block])
        return grad_x, grad_weight, grad_bias.to(weight.dtype), carry, None, None


def _in_kernels(x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, gate: UpdateGate) -> Tensor:
    """Return the same as `gated_scan`: one convolution and one kernel for all steps of a block."""
    h, hs = h0.contiguous(), []
    for block in time_blocks(len(x), h0):
        pre = _convolution(x[block].flatten(0, 1), weight, bias, halo)
        pre = pre.view(-1, *h0.shape[:-1], pre.shape[-1])
        hs.append(_KernelScan.apply(pre, h, gate.normalized))  # type: ignore[no-untyped-call]
        h = hs[-1][-1]
    return hs[0] if len(hs) == 1 else torch.cat(hs)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor, halo: Halo) -> Tensor:
    """Return all preactivations (n, h, w, maps f) of ``x`` (n, h, w, c) in one piece, for autograd."""
    if weight.shape[-1] == 1:
        return F.linear(x, weight.flatten(1), bias)
    zeros, seen = halo.padding == "zeros", x.permute(0, 3, 1, 2)
    padded = seen if zeros else pad2d(seen, halo.cells, halo.padding)
    return F.conv2d(padded, weight, bias, padding=halo.cells if zeros else 0).permute(0, 2, 3, 1).contiguous()


class _KernelScan(torch.autograd.Function):
    """Keeps the preactivations and h; the gates are made again on the way back."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, h0: Tensor, normalized: bool) -> Tensor:
        from faconv_cli.nn.kernels.gatedscan import gated_scan_forward

        h = h0.new_empty(len(pre), *h0.shape)
        gated_scan_forward(pre, h0, h, normalized=normalized)
        ctx.save_for_backward(pre, h0, h)
        ctx.normalized = normalized
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        from faconv_cli.nn.kernels.gatedscan import gated_scan_backward

        pre, h0, h = ctx.saved_tensors
        carry = torch.zeros_like(h0)
        grad_pre = gated_scan_backward(pre, h0, h, grad.contiguous(), carry, normalized=ctx.normalized)
        return grad_pre, carry, None


def _preactivation_gradients(
    gate: UpdateGate, kept: Sequence[Tensor], h_before: Tensor, grad: Tensor, carry: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Go back through scan and gates of one block; gives also what it hands to the block before."""
    *activations, g = kept
    z = gate.update(activations)
    adjoint = grad.clone(memory_format=torch.contiguous_format)
    carry = adjoint_scan_(1 - z, adjoint, carry)
    grad_z = (g - h_before).mul_(adjoint)
    grad_g = adjoint.mul_(z)
    is_linear = torch.ge(g, 0.5, out=torch.empty_like(g))  # as 0 or 1: lerp is faster than where
    grad_v = torch.ops.aten.sigmoid_backward(grad_g, g).lerp_(grad_g, is_linear)
    return [*gate.backward(activations, z, grad_z), grad_v], carry
