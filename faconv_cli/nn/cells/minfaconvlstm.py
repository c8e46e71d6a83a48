"""MinFAConvLSTM: FAConvLSTM's factorised, attentive gates computed from x alone, MinConvLSTM's scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from faconv_cli.errors import UsageError
from faconv_cli.nn.cells.minconvlstm import NormalizedGate, input_share
from faconv_cli.nn.layer import AttentionMaps, LayerOutput, RecurrentLayer2d
from faconv_cli.nn.mechanisms.axial import AxialAttention
from faconv_cli.nn.mechanisms.featureslast import Halo, fold_time, unfold_time, zero_state
from faconv_cli.nn.mechanisms.mixing import DilatedMix, SqueezeExcitation, Stencil
from faconv_cli.nn.padding import Padding
from faconv_cli.nn.scans.gatedscan import gated_scan


class MinFAConvLSTMState(NamedTuple):
    """h (b, f, h, w), and the number of steps done: the absolute index of the next one."""

    h: Tensor
    steps: int


class MinFAConvLSTMCell(nn.Module):
    """One MinFAConvLSTM layer, ours: the two papers joined (arXiv 2601.10914 and arXiv 2508.03614).

        u = Px*x                            1×1, C → R
        m = Σ_{d∈D} DW_d(u)                 depthwise k×k; one mix for all gates
        m̃ = σ(W2 relu(W1 mean_hw m)) ⊙ m    area-weighted, masked mean
        each K-th step:  m̃ ← m̃ + γ·Up(Col(Row(Down(m̃))))
        f, i, v = Pg m̃ + b                  1×1, R → 3F
        f' = σ(f) / (σ(f) + σ(i))           i' = 1 - f'
        h = f'⊙h' + i'⊙g(v)                 g(v) = v + ½ for v ≥ 0, else σ(v)

    No step waits for another but in the scan. FAConvLSTM attends within h and feeds it back, which would
    make the recurrence sequential again. Here the attended steps attend within m̃, before the gates: what
    they gather enters the memory and stays there for the steps between, as it does in FAConvLSTM, where a
    readout of h would be seen at the attended steps only. There are no peepholes, as gates do not read
    the memory. The K-th step counts from the absolute step index, 0 included.

    Args:
        in_channels: C.
        hidden_channels: F.
        kernel_size: k.
        padding: what the mix sees beyond the edge.
        bottleneck: R.
        dilations: D.
        squeeze_excitation: m̃ as above, else m̃ = m.
        axial: with the attended steps, else without.
        attention_every: K.
        attention_heads: heads of the axial attention.
        attention_pool: side of the blocks the axial attention works on, in cells.

    Raises:
        UsageError: an argument that has no meaning.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        *,
        padding: Padding = "zeros",
        bottleneck: int = 16,
        dilations: Sequence[int] = (1, 2, 4),
        squeeze_excitation: bool = True,
        axial: bool = True,
        attention_every: int = 4,
        attention_heads: int = 2,
        attention_pool: int = 1,
    ) -> None:
        super().__init__()
        if attention_every < 1:
            raise UsageError(
                f"attention_every is {attention_every}",
                wanted="it is a number of time steps",
                do="use 1 or more",
            )
        self.hidden_channels, self.attention_every = hidden_channels, attention_every
        self.Px = nn.Linear(in_channels, bottleneck, bias=False)
        self.mix = DilatedMix(bottleneck, kernel_size, dilations=dilations, padding=padding)
        self.recalibrate = SqueezeExcitation(bottleneck) if squeeze_excitation else None
        self.axial = (
            AxialAttention(bottleneck, bottleneck, heads=attention_heads, pool=attention_pool)
            if axial
            else None
        )
        self.Pg = nn.Linear(bottleneck, 3 * hidden_channels)
        nn.init.xavier_uniform_(self.Px.weight)
        for gate in self.Pg.weight.data.chunk(3):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.Pg.bias)

    def init_state(self, x: Tensor) -> MinFAConvLSTMState:
        """Return zeros (b, f, h, w) at step 0 for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        return MinFAConvLSTMState(zero_state(x, self.hidden_channels), 0)

    def step(
        self, x_t: Tensor, state: MinFAConvLSTMState, weights: Tensor | None = None
    ) -> tuple[Tensor, MinFAConvLSTMState]:
        """Advance by one step, as the equations are written: ``x_t`` (b, c, h, w) to h_t (b, f, h, w)."""
        m = self.mix(_conv1x1(x_t, self.Px))
        if self.recalibrate is not None:
            m = self.recalibrate(m, weights)
        if self.axial is not None and state.steps % self.attention_every == 0:
            m = self.axial(m, weights)
        f, i, v = _conv1x1(m, self.Pg).to(state.h.dtype).chunk(3, 1)
        z = input_share(f.sigmoid(), i.sigmoid())
        h = (1 - z) * state.h + z * torch.where(v >= 0, v + 0.5, v.sigmoid())
        return h, MinFAConvLSTMState(h, state.steps + 1)

    def run(
        self,
        x: Tensor,
        state: MinFAConvLSTMState | None = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w), all steps in parallel but the scan; see `RecurrentLayer2d.run`."""
        state = self.init_state(x) if state is None else state
        steps, batch = x.shape[1], x.shape[0]
        m = self._features(fold_time(x).flatten(0, 1), _repeat(weights, steps))
        m = m.view(steps, batch, *m.shape[1:])
        first, maps = -state.steps % self.attention_every, None
        if self.axial is not None and first < steps:
            attended = m[first :: self.attention_every]
            area, grids = _repeat(weights, len(attended)), attended.clone().flatten(0, 1)
            if attention:
                maps = _by_sequence(self.axial.maps(grids.movedim(-1, 1), area, queries), batch)
            attended += self.axial.change(grids, area).view_as(attended)
        h0, gates = state.h.movedim(1, -1), self.Pg.weight[..., None, None]
        no_halo, gate = Halo(0, "zeros"), NormalizedGate()
        y = unfold_time(gated_scan(m, gates, self.Pg.bias, h0, no_halo, gate))
        return LayerOutput(y, MinFAConvLSTMState(y[:, -1], state.steps + steps), maps)

    def _features(self, x: Tensor, weights: Tensor | None) -> Tensor:
        """Return m̃ (n, h, w, R) before attention, for ``x`` (n, h, w, c); free to be changed in place."""
        m: Tensor = _mix(self.Px(x), self.mix).movedim(-1, 1)
        m = m.clone() if self.recalibrate is None else self.recalibrate(m, weights)
        return m.movedim(1, -1)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # gradients are by hand
def _mix(u: Tensor, mix: DilatedMix) -> Tensor:
    """Apply ``mix`` to features-last grids (n, h, w, R) by its fast twin, in full precision always."""
    return _Mix.apply(u.to(mix.kernel.dtype), mix.kernel, mix)  # type: ignore[no-any-return, no-untyped-call]


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, kernel: Tensor, mix: DilatedMix) -> Tensor:
        ctx.save_for_backward(u)
        ctx.stencil = Stencil(mix)
        with torch.autocast(u.device.type, enabled=False):
            return ctx.stencil(u)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (u,) = ctx.saved_tensors
        return ctx.stencil.adjoint(grad), ctx.stencil.kernel_gradient(u, grad), None


class MinFAConvLSTM2d(RecurrentLayer2d):
    """A stack of `MinFAConvLSTMCell` layers with the signature of `ConvLSTM2d`, free of batch and grid size.

    The arguments are those that `RecurrentLayer2d` lists and:

    Args:
        kernel_size: k of the depthwise branches, odd.
        bottleneck, dilations, squeeze_excitation, axial, attention_every, attention_heads, attention_pool:
            as for `MinFAConvLSTMCell`.

    Raises:
        UsageError: an argument that has no meaning.
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
        bottleneck: int = 16,
        dilations: Sequence[int] = (1, 2, 4),
        squeeze_excitation: bool = True,
        axial: bool = True,
        attention_every: int = 4,
        attention_heads: int = 2,
        attention_pool: int = 1,
    ) -> None:
        layers = [
            MinFAConvLSTMCell(
                width,
                hidden_channels,
                kernel_size,
                padding=padding,
                bottleneck=bottleneck,
                dilations=dilations,
                squeeze_excitation=squeeze_excitation,
                axial=axial,
                attention_every=attention_every,
                attention_heads=attention_heads,
                attention_pool=attention_pool,
            )
            for width in [in_channels] + [hidden_channels] * (num_layers - 1)
        ]
        super().__init__(
            layers, in_channels, hidden_channels, return_sequences=return_sequences, return_state=return_state
        )


def _conv1x1(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply ``linear`` to the channels of ``x`` (n, c, h, w)."""
    return F.conv2d(x, linear.weight[..., None, None], linear.bias)


def _repeat(weights: Tensor | None, steps: int) -> Tensor | None:
    """Repeat weights (b, h, w) for steps that come before the batch: (steps b, h, w)."""
    return weights if weights is None or weights.ndim == 2 else weights.repeat(steps, 1, 1)


def _by_sequence(maps: AttentionMaps, batch: int) -> AttentionMaps:
    """Turn maps of (n b) grids, one attended step each, to those of b sequences of n."""
    received, teleconnection = (
        None if one is None else one.view(-1, batch, *one.shape[2:]).transpose(0, 1) for one in maps
    )
    assert received is not None  # axial attention always has them
    return AttentionMaps(received, teleconnection)
