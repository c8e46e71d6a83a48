"""The fast path of `FAConvLSTMCell` on a GPU: `faconvlstm_run` with a step in three launches each way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faconv_cli.nn.cells.faconvlstm_parts import FAConvLSTMParts
from faconv_cli.nn.cells.faconvlstm_run import Run, Watch
from faconv_cli.nn.kernels import faconvlstm as kernels
from faconv_cli.nn.kernels.mixing import blocks, kernel_gradient, mix_


class FusedRun(Run):
    """One call; float32, on the device of ``x``."""

    in_blocks = False

    def __init__(self, cell: FAConvLSTMParts, x: Tensor, weights: Tensor | None, *, keep: bool) -> None:
        super().__init__(cell, x, weights, keep=keep)
        T, b, R, grid = x.shape[0], x.shape[1], cell.Px.out_features, x.shape[2:4]
        self.kernel = self.stencil.kernel.contiguous()
        self.flipped = self.kernel.flip(-2, -1).contiguous()
        self.shares = self.shares.contiguous()
        self.mean, self.scale = x.new_empty(2, T, b, R)
        self.sums = None if cell.recalibrate is None else x.new_empty(b, blocks(grid), R)

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, steps: int, watch: Watch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all h (t, b, h, w, F); ĉ before and after all steps, or the last alone; m of all steps."""
        T, grid, mix = x.shape[0], x.shape[1:4], self.cell.mix
        u = (x @ self.Px.T).flatten(0, 1)
        m = mix_(u, self.kernel, mix.dilations, mix.padding, torch.empty_like(u)).view(T, *grid, -1)
        y = x.new_empty(T, *grid, h.shape[-1])
        chat = x.new_empty(T + 1 if self.keep else 1, *grid, h.shape[-1])
        torch.mul(c, -2, out=chat[0])
        u = h @ self.Ph.T
        for t in range(T):
            mix_(
                u, self.kernel, mix.dilations, mix.padding, m[t], add=True, shares=self.shares, sums=self.sums
            )
            if self.sums is not None:
                kernels.squeeze(self.sums, *self._squeeze_weights(), self.mean[t], self.scale[t])
            before, after = (chat[t], chat[t + 1]) if self.keep else (chat[0], chat[0])
            attends = self.cell.attends(steps + t)
            following = None if attends or t + 1 == T else u
            kernels.gates(
                m[t], self._scale(t), self.gates.P, self.gates.w, self.Ph, before, after, y[t], following
            )
            if attends:
                watch(y[t].movedim(-1, 1))
                y[t] += self.change(y[t], t)
                torch.mm(y[t].flatten(0, 2), self.Ph.T, out=u.flatten(0, 2))
        return y, chat, m

    def backward(
        self, grads: Sequence[Tensor], saved: Sequence[Tensor], *, x_wanted: bool
    ) -> dict[str, Tensor]:
        """Go back through time; give the gradients of x, h, c and the parameters by name."""
        (dy, dh, dc), (x, h, y, chat, m) = grads, saved
        dy, mix = dy.contiguous(), self.cell.mix
        dh, dc = dh + dy[-1], (dc / -2).contiguous()
        dm, du = torch.empty_like(m), torch.empty_like(m)
        found: dict[str, Tensor] = {}
        b, programs = len(dh), kernels.programs(len(dh), dh[0, ..., 0].numel())
        dP = dh.new_zeros(b * programs, *self.gates.P.shape)
        dw = dh.new_zeros(b * programs, 3, dh.shape[-1])
        parts = dh.new_empty(b, programs, m.shape[-1])
        dscale, dmean = torch.empty_like(self.scale), torch.empty_like(self.mean)
        for t in reversed(range(len(x))):
            if t in self.changes:
                dh += self.changes[t].backward(dh, found)
            scale, before, after = self._scale(t), chat[t], chat[t + 1]
            own = (self.gates.P, self.gates.w)
            kernels.gates_backward(m[t], scale, *own, before, after, dh, dc, dm[t], dP, dw, parts)
            if self.sums is not None:
                kernels.squeeze_backward(
                    parts, *self._squeeze_weights(), self.mean[t], self.scale[t], dscale[t], dmean[t]
                )
            earlier = dy[t - 1] if t else None
            kernels.adjoint(
                dm[t],
                self.flipped,
                mix.dilations,
                mix.padding,
                scale,
                self.shares,
                dmean[t],
                self.Ph,
                earlier,
                du[t],
                dh,
            )
        self.gates.dP, self.gates.dw = dP.sum(0), dw.sum(0)
        if self.sums is not None:
            found |= self._squeeze_gradients(dscale)
            dm.mul_(self.scale[:, :, None, None]).addcmul_(self.shares[..., None], dmean[:, :, None, None])
        found |= {"h": dh, "c": -2 * dc} | self.gates.gradients()
        if x_wanted:
            found["x"] = du @ self.Px
        return found | self.mix_gradients(x, h, y, dm, du)

    def kernel_gradient(self, u: Tensor, dm: Tensor) -> Tensor:
        """Return the gradient of the depthwise kernels for u and the gradient of m, both (n, h, w, R)."""
        mix = self.cell.mix
        return kernel_gradient(u, dm, self.kernel.shape[-1], mix.dilations, mix.padding)

    def _scale(self, t: int) -> Tensor | None:
        return None if self.sums is None else self.scale[t]

    def _squeeze_weights(self) -> tuple[Tensor, Tensor]:
        assert self.cell.recalibrate is not None  # there are sums
        return self.cell.recalibrate.squeeze.weight.detach(), self.cell.recalibrate.excite.weight.detach()

    def _squeeze_gradients(self, dscale: Tensor) -> dict[str, Tensor]:
        """The gradients of the recalibration's weights from those of s (t, b, R), all steps at once."""
        assert self.cell.recalibrate is not None
        parameters = {
            f"recalibrate.{name}": one
            for name, one in self.cell.recalibrate.named_parameters()
            if one.requires_grad
        }
        if not parameters:
            return {}
        with torch.enable_grad():
            scale = self.cell.recalibrate.scale(self.mean)
        return dict(zip(parameters, torch.autograd.grad(scale, [*parameters.values()], dscale), strict=True))
