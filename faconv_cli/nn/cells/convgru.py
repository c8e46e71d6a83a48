"""ConvGRU, as a fast path and as its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from faconv_cli.nn.layer import LayerOutput, RecurrentLayer2d
from faconv_cli.nn.mechanisms.featureslast import (
    Halo,
    StepInput,
    any_requires_grad,
    convolve,
    convolve_backward,
    fold_time,
    glorot_,
    sigmoid_backward_,
    tanh,
    tanh_backward_,
    unfold_time,
    zero_state,
)
from faconv_cli.nn.padding import Padding, pad2d


class ConvGRUCell(nn.Module):
    """One layer of ConvGRU (Ballas, Yao, Pal, Courville 2016, arXiv 1511.06432).

        z = σ(Wz*[x, h'] + bz)       r = σ(Wr*[x, h'] + br)
        n = tanh(Wn*[x, r⊙h'] + bn)  h = (1 - z)⊙h' + z⊙n

    Starts as Keras's recurrent layers do: glorot uniform on x, orthogonal on h. The state is h.

    Args:
        in_channels: C.
        hidden_channels: F.
        kernel_size: k of all convolutions, odd.
        padding: what they see beyond the edge.

    Raises:
        UsageError: an even kernel size.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int = 3, *, padding: Padding = "zeros"
    ) -> None:
        super().__init__()
        self.halo = Halo.of_kernel(kernel_size, padding)
        self.hidden_channels = hidden_channels
        kernel = (kernel_size, kernel_size)
        self.input_weight = nn.Parameter(torch.empty(3 * hidden_channels, in_channels, *kernel))
        self.recurrent_weight = nn.Parameter(torch.empty(3 * hidden_channels, hidden_channels, *kernel))
        self.bias = nn.Parameter(torch.zeros(3 * hidden_channels))
        glorot_(self.input_weight)
        nn.init.orthogonal_(self.recurrent_weight)

    def init_state(self, x: Tensor) -> Tensor:
        """Return zeros (b, f, h, w) for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        return zero_state(x, self.hidden_channels)

    def step(self, x_t: Tensor, state: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Advance by one step, as the equations are written; ``weights`` is not used."""
        weight = torch.cat([self.input_weight, self.recurrent_weight], 1)
        gates = 2 * self.hidden_channels  # z and r; what follows is n's

        def convolve_with(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            seen = pad2d(torch.cat([x_t, h.to(x_t.dtype)], 1), self.halo.cells, self.halo.padding)
            return F.conv2d(seen, weight, bias).to(state.dtype)

        z, r = convolve_with(state, weight[:gates], self.bias[:gates]).sigmoid().chunk(2, 1)
        n = convolve_with(r * state, weight[gates:], self.bias[gates:]).tanh()
        h = (1 - z) * state + z * n
        return h, h

    def run(
        self,
        x: Tensor,
        state: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w): `step` repeated, but faster; gives no maps."""
        h0 = (self.init_state(x) if state is None else state).movedim(1, -1)
        weight = torch.cat([self.input_weight, self.recurrent_weight], 1)
        y = unfold_time(_recur(fold_time(x), weight, self.bias, h0, self.halo))
        return LayerOutput(y, y[:, -1])


class ConvGRU2d(RecurrentLayer2d):
    """A stack of `ConvGRUCell` layers with the signature of `ConvLSTM2d`, free of batch and grid size.

    The arguments are those that `RecurrentLayer2d` lists.

    Raises:
        UsageError: an even kernel size.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        *,
        num_layers: int = 1,
        padding: Padding = "zeros",
        return_sequences: bool = True,
        return_state: bool = True,
    ) -> None:
        widths = [in_channels] + [hidden_channels] * (num_layers - 1)
        layers = [ConvGRUCell(width, hidden_channels, kernel_size, padding=padding) for width in widths]
        super().__init__(
            layers, in_channels, hidden_channels, return_sequences=return_sequences, return_state=return_state
        )


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiler would unroll the steps
def _recur(x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo) -> Tensor:
    """Return h_1 … h_T (t, b, h, w, f) for ``x`` (t, b, h, w, c) and ``h0`` (b, h, w, f), features last."""
    if any_requires_grad((x, weight, bias, h0)):
        return _Recurrence.apply(x, weight, bias, h0, halo)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(x, weight, bias, h0, halo, keep=False)[0][1:]


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo, *, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return h_0 … h_T, and where kept z, r, n of each step in a row."""
    gates, kept = 2 * h0.shape[-1], []
    h = h0.new_empty(len(x) + 1, *h0.shape)
    h[0] = h0
    seen = StepInput(x, h0.shape[-1], halo)
    for t, x_t in enumerate(x):
        pre = convolve(seen.fill(x_t, h[t]), weight[:gates], bias[:gates], 2, h0.dtype)
        z, r = (preactivation.sigmoid_() for preactivation in pre)
        (n,) = convolve(seen.fill(x_t, r * h[t]), weight[gates:], bias[gates:], 1, h0.dtype)
        torch.lerp(h[t], tanh(n, out=n), z, out=h[t + 1])
        if keep:
            kept += [z, r, n]
    return h, kept


class _Recurrence(torch.autograd.Function):
    """Keeps z, r, n and h; goes back through time by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, halo: Halo) -> Tensor:
        h, kept = _forward(x, weight, bias, h0, halo, keep=True)
        ctx.save_for_backward(x, weight, h, *kept)
        ctx.halo = halo
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, h, *kept = ctx.saved_tensors
        gates = 2 * h.shape[-1]
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        grad_weight, grad_bias = torch.zeros_like(weight), h.new_zeros(len(weight))
        seen = StepInput(x, h.shape[-1], ctx.halo)
        carry = torch.zeros_like(h[0])
        for t in reversed(range(len(x))):
            z, r, n = kept[3 * t : 3 * t + 3]
            adjoint = carry + grad_h[t]
            grad_n = tanh_backward_(adjoint * z, n)
            grad_z = sigmoid_backward_((n - h[t]).mul_(adjoint), z)
            of_new = convolve_backward([grad_n], seen.fill(x[t], r * h[t]), weight[gates:])
            grad_x_new, grad_reset = seen.split(of_new[0])
            grad_r = sigmoid_backward_(grad_reset * h[t], r)
            of_gates = convolve_backward([grad_z, grad_r], seen.fill(x[t], h[t]), weight[:gates])
            grad_x_gates, grad_h_gates = seen.split(of_gates[0])
            torch.add(grad_x_new, grad_x_gates, out=grad_x[t])
            carry = (adjoint * (1 - z)).addcmul_(grad_reset, r).add_(grad_h_gates)
            grad_weight += torch.cat([of_gates[1], of_new[1]])
            grad_bias += torch.cat([of_gates[2], of_new[2]])
        return grad_x, grad_weight, grad_bias, carry, None
