"""Choose the fast path of `FAConvLSTMCell`: `faconvlstm_run`, or `faconvlstm_fused`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faconv_cli.nn.cells.faconvlstm_parts import FAConvLSTMParts
from faconv_cli.nn.cells.faconvlstm_run import Run, Watch
from faconv_cli.nn.kernels import usable


def run_fast(
    cell: FAConvLSTMParts, x: Tensor, h: Tensor, c: Tensor, steps: int, weights: Tensor | None, watch: Watch
) -> tuple[Tensor, Tensor, Tensor]:
    """Run ``cell`` over ``x`` (b, t, C, h, w) from ``h``, ``c`` (b, F, h, w): all h, last h, last c."""
    x, h, c = (tensor.movedim(-3, -1).contiguous() for tensor in (x.transpose(0, 1), h, c))
    inputs = (x, h, c, *cell.parameters())
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        y, h, c = _FastRun.apply(cell, steps, weights, watch, *inputs)  # type: ignore[no-untyped-call]
    else:
        y, c, _ = _make_run(cell, x, weights, keep=False).forward(x, h, c, steps, watch)
        y, h, c = y, y[-1].clone(), c[-1] / -2
    return y.transpose(0, 1).movedim(-1, -3), h.movedim(-1, -3), c.movedim(-1, -3)


def _make_run(cell: FAConvLSTMParts, x: Tensor, weights: Tensor | None, *, keep: bool) -> Run:
    if usable(x) and x.dtype == torch.float32:
        # late, as it needs Triton
        from faconv_cli.nn.cells.faconvlstm_fused import FusedRun

        return FusedRun(cell, x, weights, keep=keep)
    return Run(cell, x, weights, keep=keep)


class _FastRun(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: FAConvLSTMParts,
        steps: int,
        weights: Tensor | None,
        watch: Watch,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        run = _make_run(cell, x, weights, keep=True)
        y, chat, m = run.forward(x, h, c, steps, watch)
        ctx.save_for_backward(x, h, y, chat, m)
        ctx.run, ctx.names = run, [name for name, _ in cell.named_parameters()]
        return y, y[-1].clone(), chat[-1] / -2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.run.backward(outputs, ctx.saved_tensors, x_wanted=ctx.needs_input_grad[4])
        return (None, None, None, None, *(gradients.get(name) for name in ["x", "h", "c", *ctx.names]))
