"""FAConvLSTM: a ConvLSTM whose gates share one bottlenecked, multi-scale, recalibrated spatial mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.nn.cells.faconvlstm_fast import run_fast
from faconv_cli.nn.cells.faconvlstm_parts import FAConvLSTMParts
from faconv_cli.nn.cells.faconvlstm_run import Watch
from faconv_cli.nn.kernels import usable
from faconv_cli.nn.layer import AttentionMaps, LayerOutput, RecurrentLayer2d
from faconv_cli.nn.padding import Padding


class FAConvLSTMState(NamedTuple):
    """h and c (b, f, h, w), and the number of steps done: the absolute index of the next one."""

    h: Tensor
    c: Tensor
    steps: int


class FAConvLSTMCell(FAConvLSTMParts):
    """One FAConvLSTM layer: our reading of the abstract of Nji & Wang 2026 (arXiv 2601.10914).

        u = Px*x + Ph*h'                    1×1, C + F → R
        m = Σ_{d∈D} DW_d(u)                 depthwise k×k; one mix for the four gates
        m̃ = σ(W2 relu(W1 mean_hw m)) ⊙ m    area-weighted, masked mean
        ai, af, ag, ao = Pg m̃ + b           1×1, R → 4F
        i = σ(ai + wci⊙c')   f = σ(af + wcf⊙c')   c = f⊙c' + i⊙tanh(ag)
        o = σ(ao + wco⊙c)    h = o⊙tanh(c)
        each K-th step:  h ← h + γ·Up(Col(Row(Down(h))))

    The K-th step counts from the absolute step index, 0 included.

    Args:
        in_channels: C.
        hidden_channels: F.
        kernel_size: k.
        padding: what the mix sees beyond the edge.
        bottleneck: R.
        dilations: D.
        squeeze_excitation: m̃ as above, else m̃ = m.
        peephole: with wci, wcf, wco (per channel), else without.
        axial: with the attended steps, else without.
        attention_every: K.
        attention_heads: heads of the axial attention.
        attention_pool: side of the blocks the axial attention works on, in cells.

    Raises:
        UsageError: an argument that has no meaning.
    """

    def init_state(self, x: Tensor) -> FAConvLSTMState:
        """Return zeros (b, f, h, w) at step 0 for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        zeros = x.new_zeros(x.shape[0], self.hidden_channels, *x.shape[-2:])
        return FAConvLSTMState(zeros, zeros, 0)

    def step(
        self, x_t: Tensor, state: FAConvLSTMState, weights: Tensor | None = None
    ) -> tuple[Tensor, FAConvLSTMState]:
        """Advance by one step, as the equations are written: ``x_t`` (b, c, h, w) to h_t (b, f, h, w)."""
        y, state = self._loop(x_t[:, None], state, weights, lambda h: None)
        return y[:, 0], state

    def run(
        self,
        x: Tensor,
        state: FAConvLSTMState | None = None,
        weights: Tensor | None = None,
        *,
        attention: bool = False,
        queries: Tensor | None = None,
    ) -> LayerOutput:
        """Run over ``x`` (b, t, c, h, w); see `RecurrentLayer2d.run`.

        The fast path has gradients of the first order and one precision: under autocast the loop runs, but
        where there are kernels, which keep to float32 and are faster still.
        """
        state = state or self.init_state(x)
        maps: list[AttentionMaps] = []

        def watch(h: Tensor) -> None:
            if attention and self.axial is not None:
                maps.append(self.axial.maps(h, weights, queries))

        in_kernels = usable(x)
        if torch.is_autocast_enabled(x.device.type) and not in_kernels:
            y, state = self._loop(x, state, weights, watch)
        else:
            x, h, c = (one.float() if in_kernels else one for one in (x, state.h, state.c))
            with torch.autocast(x.device.type, enabled=False):
                y, h, c = run_fast(self, x, h, c, state.steps, weights, watch)
            state = FAConvLSTMState(h, c, state.steps + x.shape[1])
        return LayerOutput(y, state, _join(maps))

    def _loop(
        self, x: Tensor, state: FAConvLSTMState, weights: Tensor | None, watch: Watch
    ) -> tuple[Tensor, FAConvLSTMState]:
        hs, (h, c, steps) = [], state
        for x_t in x.unbind(1):
            h, c = self._recur(x_t, h, c, weights)
            if self.axial is not None and self.attends(steps):
                watch(h)
                h = self.axial(h, weights)
            hs.append(h)
            steps += 1
        return torch.stack(hs, 1), FAConvLSTMState(h, c, steps)

    def _recur(self, x_t: Tensor, h: Tensor, c: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        u = _conv1x1(x_t, self.Px) + _conv1x1(h, self.Ph)
        m = self.mix(u)
        if self.recalibrate is not None:
            m = self.recalibrate(m, weights)
        ai, af, ag, ao = _conv1x1(m, self.Pg).chunk(4, 1)
        w = self.peepholes
        wci, wcf, wco = (0, 0, 0) if w is None else w[..., None, None]
        i = torch.sigmoid(ai + wci * c)
        f = torch.sigmoid(af + wcf * c)
        c = f * c + i * torch.tanh(ag)
        o = torch.sigmoid(ao + wco * c)
        return o * torch.tanh(c), c


class FAConvLSTM2d(RecurrentLayer2d):
    """A stack of `FAConvLSTMCell` layers with the signature of `ConvLSTM2d`, free of batch and grid size.

    The arguments are those that `RecurrentLayer2d` lists and:

    Args:
        kernel_size: k of the depthwise branches, odd.
        bottleneck, dilations, squeeze_excitation, peephole, axial, attention_every, attention_heads,
            attention_pool: as for `FAConvLSTMCell`.

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
        peephole: bool = True,
        axial: bool = True,
        attention_every: int = 4,
        attention_heads: int = 2,
        attention_pool: int = 1,
    ) -> None:
        layers = [
            FAConvLSTMCell(
                in_channels if number == 0 else hidden_channels,
                hidden_channels,
                kernel_size,
                padding=padding,
                bottleneck=bottleneck,
                dilations=dilations,
                squeeze_excitation=squeeze_excitation,
                peephole=peephole,
                axial=axial,
                attention_every=attention_every,
                attention_heads=attention_heads,
                attention_pool=attention_pool,
            )
            for number in range(num_layers)
        ]
        super().__init__(
            layers, in_channels, hidden_channels, return_sequences=return_sequences, return_state=return_state
        )


def _conv1x1(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply ``linear`` to the channels of ``x`` (b, c, h, w)."""
    return F.conv2d(x, linear.weight[..., None, None], linear.bias)


def _join(maps: list[AttentionMaps]) -> AttentionMaps | None:
    """Put the maps of the attended steps in a row."""
    if not maps:
        return None
    received, teleconnection = zip(*maps, strict=True)
    return AttentionMaps(
        torch.cat(received, 1), None if teleconnection[0] is None else torch.cat(teleconnection, 1)
    )
