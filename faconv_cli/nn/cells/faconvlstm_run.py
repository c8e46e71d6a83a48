"""The fast path of `FAConvLSTMCell`: the same equations over a whole sequence, gradients by hand.

Features lie last, so that a 1×1 convolution is one matrix product; what reads x only is done for all steps
at once; the gates go block by block of points, so that they stay in the cache; they are not kept for the
backward pass but made again from c and the mix. Instead of c the loop carries ĉ = −2c, and instead of
tanh(ag) the gate g = σ(−2ag): as tanh(v) = 1 − 2σ(−2v),

    ĉ = f⊙ĉ' + 4i⊙g − 2i        s = σ(ĉ)        h = o − 2o⊙s

The two small nonlinear mechanisms, recalibration and axial attention, are differentiated by autograd within.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from faconv_cli.nn.cells.faconvlstm_parts import FAConvLSTMParts
from faconv_cli.nn.mechanisms.featureslast import CPU_BLOCK_NUMBERS, GPU_BLOCK_NUMBERS, sigmoid_backward_
from faconv_cli.nn.mechanisms.mixing import Stencil, area_shares

Watch = Callable[[Tensor], None]  # shown h (b, F, h, w) before each attended step


class Run:
    """One call of the fast path: the cell as the loop wants it, and the small graphs of its steps."""

    in_blocks = True  # the gates go block by block

    def __init__(self, cell: FAConvLSTMParts, x: Tensor, weights: Tensor | None, *, keep: bool) -> None:
        self.cell, self.weights, self.keep = cell, weights, keep
        self.Px, self.Ph = cell.Px.weight.detach(), cell.Ph.weight.detach()
        self.stencil = Stencil(cell.mix)
        self.gates = Gates(cell, x[0, ..., 0].numel() if self.in_blocks else 0)
        self.shares = area_shares(weights, x[0, ..., 0])
        self.scales: list[Local] = []
        self.changes: dict[int, Local] = {}

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, steps: int, watch: Watch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all h (t, b, h, w, F); ĉ before and after all steps, or the last alone; m of all steps."""
        T, grid = x.shape[0], x.shape[1:4]
        m = self.stencil((x @ self.Px.T).flatten(0, 1)).reshape(T, *grid, -1)
        y = x.new_empty(T, *grid, h.shape[-1])
        chat = x.new_empty(T + 1 if self.keep else 1, *grid, h.shape[-1])
        torch.mul(c, -2, out=chat[0])
        for t in range(T):
            m[t] += self.stencil(h @ self.Ph.T)
            before, after = (t, t + 1) if self.keep else (0, 0)
            self.gates.forward(self._recalibrated(m[t]), chat[before], chat[after], y[t])
            if self.cell.attends(steps + t):
                watch(y[t].movedim(-1, 1))
                y[t] += self.change(y[t], t)
            h = y[t]
        return y, chat, m

    def _recalibrated(self, m: Tensor) -> Tensor:
        recalibrate = self.cell.recalibrate
        if recalibrate is None:
            return m
        mean = (self.shares.flatten(1)[:, None] @ m.flatten(1, 2))[:, 0]
        scale = Local("recalibrate", recalibrate, recalibrate.scale, mean, keep=self.keep)
        if self.keep:
            self.scales.append(scale)
        return m * scale.value[:, None, None]

    def change(self, h: Tensor, t: int) -> Tensor:
        """Return what the axial attention adds to ``h`` (b, h, w, F) at step t of this call."""
        axial = self.cell.axial
        assert axial is not None  # only an attended step comes here
        if not self.keep:
            return axial.change(h, self.weights)
        self.changes[t] = Local("axial", axial, partial(axial.change, weights=self.weights), h.clone())
        return self.changes[t].value

    def backward(
        self, grads: Sequence[Tensor], saved: Sequence[Tensor], *, x_wanted: bool
    ) -> dict[str, Tensor]:
        """Go back through time; give the gradients of x, h, c and the parameters by name."""
        (dy, dh, dc), (x, h, y, chat, m) = grads, saved
        dh, dc = (gradient.clone(memory_format=torch.contiguous_format) for gradient in (dh, dc / -2))
        dm, du = torch.empty_like(m), torch.empty_like(m)
        found: dict[str, Tensor] = {}
        self.gates.clear()
        for t in reversed(range(len(x))):
            dh += dy[t]
            if t in self.changes:
                dh += self.changes[t].backward(dh, found)
            scale = self.scales[t].value[:, None, None] if self.scales else None
            self.gates.backward(m[t] if scale is None else m[t] * scale, chat[t], chat[t + 1], dh, dc, dm[t])
            if scale is not None:
                dmean = self.scales[t].backward(torch.einsum("bhwr,bhwr->br", dm[t], m[t]), found)
                dm[t].mul_(scale).addcmul_(self.shares[..., None], dmean[:, None, None])
            du[t] = self.stencil.adjoint(dm[t])
            torch.mm(du[t].flatten(0, 2), self.Ph, out=dh.flatten(0, 2))
        found |= {"h": dh, "c": -2 * dc} | self.gates.gradients()
        if x_wanted:
            found["x"] = du @ self.Px
        return found | self.mix_gradients(x, h, y, dm, du)

    def mix_gradients(self, x: Tensor, h: Tensor, y: Tensor, dm: Tensor, du: Tensor) -> dict[str, Tensor]:
        """Return the gradients of Px, Ph and the depthwise kernels, over all steps at once."""
        u = x @ self.Px.T
        u[0] += h @ self.Ph.T
        u[1:] += y[:-1] @ self.Ph.T
        flat = partial(torch.flatten, end_dim=-2)
        dPh = flat(du[0]).T @ flat(h) + flat(du[1:]).T @ flat(y[:-1])
        kernel = self.kernel_gradient(u.flatten(0, 1), dm.flatten(0, 1))
        return {"Px.weight": flat(du).T @ flat(x), "Ph.weight": dPh, "mix.kernel": kernel}

    def kernel_gradient(self, u: Tensor, dm: Tensor) -> Tensor:
        """Return the gradient of the depthwise kernels for u and the gradient of m, both (n, h, w, R)."""
        return self.stencil.kernel_gradient(u, dm)


class Local:
    """A small mechanism at one step, differentiated by autograd: its graph lives as long as this."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        function: Callable[[Tensor], Tensor],
        given: Tensor,
        *,
        keep: bool = True,
    ) -> None:
        self.given = given.detach().requires_grad_(keep)
        self.parameters = {f"{name}.{key}": p for key, p in module.named_parameters() if p.requires_grad}
        with torch.set_grad_enabled(keep):
            self.answer = function(self.given)
        self.value = self.answer.detach()

    def backward(self, gradient: Tensor, found: dict[str, Tensor]) -> Tensor:
        """Return the gradient of the input; add those of the parameters to ``found``."""
        inputs = (self.given, *self.parameters.values())
        first, *others = torch.autograd.grad(self.answer, inputs, gradient, retain_graph=True)
        for name, other in zip(self.parameters, others, strict=True):
            found[name] = found[name] + other if name in found else other
        return first


class Gates:
    """Expand and gates of a cell: Pg and b as one matrix (R + 1, F) a gate, as m̃ is followed by a 1."""

    def __init__(self, cell: FAConvLSTMParts, points: int) -> None:
        F, R = cell.hidden_channels, cell.Pg.in_features
        P, b = cell.Pg.weight.detach().view(4, F, R), cell.Pg.bias.detach().view(4, F, 1)
        self.sign = P.new_ones(4, 1, 1)  # 1, 1, -2, 1, without a copy from the host: a CUDA graph has none
        self.sign[2] = -2
        self.P = (torch.cat([P, b], -1) * self.sign).mT.contiguous()
        self.w = None if cell.peepholes is None else cell.peepholes.detach() / -2
        self.mixed = P.new_ones(points, R + 1)
        size = max(1, (CPU_BLOCK_NUMBERS if P.device.type == "cpu" else GPU_BLOCK_NUMBERS) // F)
        self.blocks = [slice(start, min(start + size, points)) for start in range(0, points, size)]
        self.room = P.new_empty(10 * min(size, points) * F)
        self.one = P.new_ones(())

    def forward(self, m: Tensor, c: Tensor, c_out: Tensor, h_out: Tensor) -> None:
        """From m̃ (b, h, w, R) and ĉ' (b, h, w, F) make ĉ and h in place."""
        self.mixed[:, :-1] = m.reshape(len(self.mixed), -1)
        c, c_out, h_out = (tensor.flatten(0, 2) for tensor in (c, c_out, h_out))
        for part in self.blocks:
            i, f, g, o, s = self._activate(self.mixed[part], c[part])
            after = torch.mul(c[part], f, out=c_out[part]).addcmul_(i, g, value=4).sub_(i, alpha=2)
            self._open(o, s, after)
            torch.addcmul(o, o, s, value=-2, out=h_out[part])

    def _activate(self, mixed: Tensor, c: Tensor) -> Tensor:
        """Return i, f, g, the unfinished o and room for s (5, n, F)."""
        planes = self.room[: 5 * c.numel()].view(5, *c.shape)
        torch.bmm(mixed.expand(4, -1, -1), self.P, out=planes[:4])
        if self.w is not None:
            planes[0].addcmul_(c, self.w[0])
            planes[1].addcmul_(c, self.w[1])
        planes[:3].sigmoid_()
        return planes

    def _open(self, o: Tensor, s: Tensor, c: Tensor) -> None:
        """Finish o and s, which see the new ĉ."""
        if self.w is not None:
            o.addcmul_(c, self.w[2])
        o.sigmoid_()
        torch.sigmoid(c, out=s)

    def clear(self) -> None:
        """Begin a backward pass."""
        self.dP, self.dw = torch.zeros_like(self.P), self.P.new_zeros(3, self.P.shape[-1])

    def backward(self, m: Tensor, c: Tensor, c_out: Tensor, dh: Tensor, dc: Tensor, dm_out: Tensor) -> None:
        """From the gradients of h and ĉ make that of ĉ' in place of ``dc`` and that of m̃ in ``dm_out``."""
        self.mixed[:, :-1] = m.reshape(len(self.mixed), -1)
        c, c_out, dh, dc, dm_out = (tensor.flatten(0, 2) for tensor in (c, c_out, dh, dc, dm_out))
        for part in self.blocks:
            planes = self._activate(self.mixed[part], c[part])
            self._open(planes[3], planes[4], c_out[part])
            da = self._preactivations(planes, c[part], dh[part], dc[part])
            self.dP.baddbmm_(self.mixed[part].mT.expand(4, -1, -1), da)
            if self.w is not None:
                self.dw[:2] += torch.mul(da[:2], c[part], out=planes[:2]).sum(1)
                self.dw[2] += torch.mul(da[3], c_out[part], out=planes[2]).sum(0)
            dm = torch.mm(da[0], self.P[0, :-1].T, out=dm_out[part])
            for gate in (1, 2, 3):
                dm.addmm_(da[gate], self.P[gate, :-1].T)

    def _preactivations(self, planes: Tensor, c: Tensor, dh: Tensor, dc: Tensor) -> Tensor:
        """Return the gradients (4, n, F) before the activations; turn ``dc`` from ĉ to ĉ'."""
        i, f, g, o, s = planes
        room = self.room[planes.numel() : 2 * planes.numel()].view_as(planes)
        da, ds = room[:4], room[4]
        torch.add(self.one, s, alpha=-2, out=da[3]).mul_(dh)
        sigmoid_backward_(da[3], o)
        sigmoid_backward_(torch.mul(dh, o, out=ds), s)
        dc.sub_(ds, alpha=2)
        if self.w is not None:
            dc.addcmul_(da[3], self.w[2])
        torch.sub(g, 0.5, out=da[0]).mul_(dc).mul_(4)
        torch.mul(dc, c, out=da[1])
        torch.mul(dc, i, out=da[2]).mul_(4)
        sigmoid_backward_(da[:3], planes[:3])
        dc.mul_(f)
        if self.w is not None:
            dc.addcmul_(da[0], self.w[0]).addcmul_(da[1], self.w[1])
        return da

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of Pg, b and the peepholes by name."""
        dP = self.dP.mT * self.sign
        found = {"Pg.weight": dP[..., :-1].flatten(0, 1), "Pg.bias": dP[..., -1].flatten()}
        return found if self.w is None else found | {"peepholes": self.dw / -2}
