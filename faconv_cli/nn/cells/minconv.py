"""What the three MinConv cells have in common: gates that read x alone, and a scan over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faconv_cli.nn.layer import LayerOutput, RecurrentLayer2d
from faconv_cli.nn.mechanisms.featureslast import Halo, fold_time, unfold_time, zero_state
from faconv_cli.nn.padding import Padding, pad2d
from faconv_cli.nn.scans.gatedscan import UpdateGate, gated_scan


class MinConvCell(nn.Module):
    """h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ g(v_t), of which a cell only says how z comes from x_t.

    g(v) = v + ½ for v ≥ 0, else σ(v). The state is h (b, f, h, w).

    Args:
        in_channels: C.
        hidden_channels: F.
        kernel_size: k of the one convolution, odd.
        padding: what it sees beyond the edge.

    Raises:
        UsageError: an even kernel size.
    """

    preactivations: int  # maps of F channels that the convolution makes, v the last

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int = 3, *, padding: Padding = "zeros"
    ) -> None:
        super().__init__()
        self.halo = Halo.of_kernel(kernel_size, padding)
        self.hidden_channels = hidden_channels
        self.convolution = nn.Conv2d(in_channels, self.preactivations * hidden_channels, kernel_size)

    def update_gate(self, *preactivations: Tensor) -> Tensor:
        """Return z from all preactivations but v, as the equations are written."""
        raise NotImplementedError

    def scan_arguments(self) -> tuple[Tensor, Tensor, UpdateGate]:
        """Return weight, bias and gate for `gated_scan`."""
        raise NotImplementedError

    def init_state(self, x: Tensor) -> Tensor:
        """Return zeros (b, f, h, w) for ``x`` (b, t, c, h, w) or (b, c, h, w)."""
        return zero_state(x, self.hidden_channels)

    def step(self, x_t: Tensor, state: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Advance by one step, as the equations are written; ``weights`` is not used."""
        padded = pad2d(x_t, self.halo.cells, self.halo.padding)
        *gates, v = self.convolution(padded).to(state.dtype).chunk(self.preactivations, 1)
        z = self.update_gate(*gates)
        g = torch.where(v >= 0, v + 0.5, v.sigmoid())
        h = (1 - z) * state + z * g
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
        """Run over ``x`` (b, t, c, h, w), all steps in parallel but the scan; gives no maps."""
        h0 = self.init_state(x) if state is None else state
        weight, bias, gate = self.scan_arguments()
        y = unfold_time(gated_scan(fold_time(x), weight, bias, h0.movedim(1, -1), self.halo, gate))
        return LayerOutput(y, y[:, -1])


class MinConvLayer2d(RecurrentLayer2d):
    """A stack of MinConv cells with the signature of `ConvLSTM2d`, free of batch and grid size.

    The arguments are those that `RecurrentLayer2d` lists.

    Raises:
        UsageError: an even kernel size.
    """

    cell: type[MinConvCell]

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
        layers = [self.cell(width, hidden_channels, kernel_size, padding=padding) for width in widths]
        super().__init__(
            layers, in_channels, hidden_channels, return_sequences=return_sequences, return_state=return_state
        )
