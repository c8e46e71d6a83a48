"""ConvLSTM, as a fast path and as its equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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


class ConvLSTMState(NamedTuple):
    """h and c, each (b, f, h, w)."""

    h: Tensor
    c: Tensor


class ConvLSTMCell(nn.Module):
    """One layer of ConvLSTM (Shi et al. 2015, arXiv 1506.04214).

        i = σ(Wxi*x + Whi*h' + wci⊙c' + bi)      f = σ(Wxf*x + Whf*h' + wcf⊙c' + bf)
        c = f⊙c' + i⊙tanh(Wxc*x + Whc*h' + bc)
        o = σ(Wxo*x + Who*h' + wco⊙c + bo)       h = o⊙tanh(c)

    Without peepholes (wci, wcf, wco) this is Keras's ConvLSTM2D, and it starts as that does: glorot
    uniform on x, orthogonal on h, forget bias 1, the gates in the order i, f, c, o. Where we differ:
    peepholes are per channel, as a weight per point would tie the layer to one grid; they start at 0.

    Args:
        in_channels: C.
        hidden_channels: F.
        kernel_size: k of both convolutions, odd.
        padding: what they see beyond the edge.
        peephole: gates also read c.

    Raises:
        UsageError: an even kernel size.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        *,
        padding: Padding = "zeros",
        peephole: bool = False,
    ) -> None:
        super().__init__()
        self.halo = Halo.of_kernel(kernel_size, padding)
        self.hidden_channels = hidden_channels
        kernel = (kernel_size, kernel_size)
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_channels, in_channels, *kernel))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * hidden_channels, hidden_channels, *kernel))
        self.bias = nn.Parameter(torch.empty(4 * hidden_channels))
        self.peepholes = nn.Parameter(torch.empty(3, hidden_channels)) if peephole else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as Keras does; peepholes at 0."""
        glorot_(self.input_weight)
        nn.init.orthogonal_(self.recurrent_weight)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.data.chunk(4)[1])
        if self.peepholes is not None:
            nn.init.zeros_(self.peepholes)

    def init_state(self, x: Tensor) -> ConvLSTMState:
        """Return zeros (b, f, h, w) for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        return ConvLSTMState(zero_state(x, self.hidden_channels), zero_state(x, self.hidden_channels))

    def step(
        self, x_t: Tensor, state: ConvLSTMState, weights: Tensor | None = None
    ) -> tuple[Tensor, ConvLSTMState]:
        """Advance by one step, as the equations are written; ``weights`` is not used."""
        x, h = (pad2d(v, self.halo.cells, self.halo.padding) for v in (x_t, state.h))
        pre = F.conv2d(x, self.input_weight, self.bias) + F.conv2d(h, self.recurrent_weight)
        pre_i, pre_f, pre_c, pre_o = pre.to(state.c.dtype).chunk(4, 1)
        wci, wcf, wco = (0, 0, 0) if self.peepholes is None else self.peepholes[..., None, None]
        i, f = torch.sigmoid(pre_i + wci * state.c), torch.sigmoid(pre_f + wcf * state.c)
        c = f * state.c + i * torch.tanh(pre_c)
        h = torch.sigmoid(pre_o + wco * c) * torch.tanh(c)
        return h, ConvLSTMState(h, c)

    def run(
        self,
        x: Tensor,
        state: ConvLSTMState | None = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w): `step` repeated, but faster; gives no maps."""
        state = self.init_state(x) if state is None else state
        weight = torch.cat([self.input_weight, self.recurrent_weight], 1)
        h0, c0 = (v.movedim(1, -1) for v in state)
        h, c = _recur(fold_time(x), weight, self.bias, self.peepholes, h0, c0, self.halo)
        y = unfold_time(h)
        return LayerOutput(y, ConvLSTMState(y[:, -1], c.movedim(-1, 1)))


class ConvLSTM2d(RecurrentLayer2d):
    """A stack of `ConvLSTMCell` layers, free of batch and grid size.

    >>> layer = ConvLSTM2d(in_channels=3, hidden_channels=8, padding="longitude")
    >>> y, state = layer(torch.randn(2, 10, 3, 16, 32))
    >>> y.shape
    torch.Size([2, 10, 8, 16, 32])
    >>> y, state = layer(torch.randn(2, 5, 3, 16, 32), state)  # the next five steps

    The arguments are those that `RecurrentLayer2d` lists and:

    Args:
        peephole: gates also read the cell state c.

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
        peephole: bool = False,
    ) -> None:
        widths = [in_channels] + [hidden_channels] * (num_layers - 1)
        layers = [
            ConvLSTMCell(width, hidden_channels, kernel_size, padding=padding, peephole=peephole)
            for width in widths
        ]
        super().__init__(
            layers, in_channels, hidden_channels, return_sequences=return_sequences, return_state=return_state
        )

    @classmethod
    def from_keras_weights(
        cls, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor, *, padding: Padding = "zeros"
    ) -> ConvLSTM2d:
        """Make the one layer that computes what a Keras ``ConvLSTM2D(padding="same")`` does.

        Args:
            kernel: (k, k, C, 4F), the first of ``layer.get_weights()`` as a tensor; gates i, f, c, o.
            recurrent_kernel: (k, k, F, 4F), the second.
            bias: (4F,), the third.
            padding: "zeros" is Keras's "same".
        """
        layer = cls(kernel.shape[2], recurrent_kernel.shape[2], kernel.shape[0], padding=padding)
        to_torch = (3, 2, 0, 1)
        layer.layers[0].load_state_dict(
            {
                "input_weight": kernel.permute(to_torch),
                "recurrent_weight": recurrent_kernel.permute(to_torch),
                "bias": bias,
            }
        )
        return layer


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiler would unroll the steps
def _recur(
    x: Tensor, weight: Tensor, bias: Tensor, peepholes: Tensor | None, h0: Tensor, c0: Tensor, halo: Halo
) -> tuple[Tensor, Tensor]:
    """Return h_1 … h_T (t, b, h, w, f) and c_T (b, h, w, f) for ``x`` (t, b, h, w, c), features last."""
    if any_requires_grad((x, weight, bias, peepholes, h0, c0)):
        return _Recurrence.apply(x, weight, bias, peepholes, h0, c0, halo)  # type: ignore[no-any-return, no-untyped-call]
    h, c, _ = _forward(x, weight, bias, peepholes, h0, c0, halo, keep=False)
    return h[1:], c


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    peepholes: Tensor | None,
    h0: Tensor,
    c0: Tensor,
    halo: Halo,
    *,
    keep: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return h_0 … h_T, c_T, and where kept i, f, tanh(..), o and c before of each step in a row."""
    kept: list[Tensor] = []
    h, c = h0.new_empty(len(x) + 1, *h0.shape), c0.clone(memory_format=torch.contiguous_format)
    h[0] = h0
    seen = StepInput(x, h0.shape[-1], halo)
    for t, x_t in enumerate(x):
        gates = convolve(seen.fill(x_t, h[t]), weight, bias, 4, h0.dtype)
        c_before, c = c, torch.empty_like(c) if keep else c
        _gates_(gates, peepholes, c_before, c, h[t + 1])
        if keep:
            kept += [*gates, c_before]
    return h, c, kept


def _gates_(
    gates: Sequence[Tensor], peepholes: Tensor | None, c_before: Tensor, c: Tensor, h: Tensor
) -> None:
    """Activate the four ``gates`` in place, and write c and h; ``c`` may be ``c_before``."""
    i, f, g, o = gates
    if peepholes is not None:
        i.addcmul_(c_before, peepholes[0])
        f.addcmul_(c_before, peepholes[1])
    torch.mul(f.sigmoid_(), c_before, out=c).addcmul_(i.sigmoid_(), tanh(g, out=g))
    if peepholes is not None:
        o.addcmul_(c, peepholes[2])
    tanh(c, out=h).mul_(o.sigmoid_())


class _Recurrence(torch.autograd.Function):
    """Keeps activated gates, c and h; goes back through time by hand."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        peepholes: Tensor | None,
        h0: Tensor,
        c0: Tensor,
        halo: Halo,
    ) -> tuple[Tensor, Tensor]:
        h, c, kept = _forward(x, weight, bias, peepholes, h0, c0, halo, keep=True)
        ctx.save_for_backward(x, weight, peepholes, h, c, *kept)
        ctx.halo = halo
        return h[1:], c.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, peepholes, h, c, *kept = ctx.saved_tensors
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        grad_weight, grad_bias = torch.zeros_like(weight), h.new_zeros(len(weight))
        grad_peepholes = None if peepholes is None else torch.zeros_like(peepholes)
        seen = StepInput(x, h.shape[-1], ctx.halo)
        grads, carry_h = h.new_empty(4, *h.shape[1:]), torch.zeros_like(h[0])
        carry_c, adjoint = grad_c.clone(memory_format=torch.contiguous_format), torch.empty_like(h[0])
        for t in reversed(range(len(x))):
            torch.add(grad_h[t], carry_h, out=adjoint)
            *gates, c_before = kept[5 * t : 5 * t + 5]
            _gates_backward(gates, peepholes, c_before, c, adjoint, carry_c, grads)
            if grad_peepholes is not None:
                grad_peepholes += _peephole_gradient(grads, c_before, c)
            grad_seen, of_weight, of_bias = convolve_backward(grads, seen.fill(x[t], h[t]), weight)
            grad_weight += of_weight
            grad_bias += of_bias
            grad_x[t], carry_h = seen.split(grad_seen)
            c = c_before
        return grad_x, grad_weight, grad_bias, grad_peepholes, carry_h, carry_c, None


def _gates_backward(
    gates: Sequence[Tensor],
    peepholes: Tensor | None,
    c_before: Tensor,
    c: Tensor,
    grad_h: Tensor,
    grad_c: Tensor,
    out: Tensor,
) -> None:
    """Write the gradients of the four preactivations to ``out``, and that of c before to ``grad_c``."""
    i, f, g, o = gates
    grad_i, grad_f, grad_g, grad_o = out
    tanh_c = tanh(c, out=grad_i)
    sigmoid_backward_(torch.mul(grad_h, tanh_c, out=grad_o), o)
    grad_c.add_(tanh_backward_(grad_h.mul_(o), tanh_c))
    if peepholes is not None:
        grad_c.addcmul_(grad_o, peepholes[2])
    sigmoid_backward_(torch.mul(grad_c, g, out=grad_i), i)
    sigmoid_backward_(torch.mul(grad_c, c_before, out=grad_f), f)
    tanh_backward_(torch.mul(grad_c, i, out=grad_g), g)
    grad_c.mul_(f)
    if peepholes is not None:
        grad_c.addcmul_(grad_i, peepholes[0]).addcmul_(grad_f, peepholes[1])


def _peephole_gradient(grads: Tensor, c_before: Tensor, c: Tensor) -> Tensor:
    """Sum over all points what i and f have of c before the step, and o of c after it: (3, f)."""
    grad_i, grad_f, _, grad_o = grads
    products = ((grad_i, c_before), (grad_f, c_before), (grad_o, c))
    return torch.stack([(grad * state).flatten(0, -2).sum(0) for grad, state in products])
