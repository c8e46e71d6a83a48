"""MinConvExpLSTM: exponential gates, made to sum to 1; MinConvGRU under another name."""

from __future__ import annotations

import torch
from torch import Tensor

from faconv_cli.nn.cells.minconv import MinConvCell, MinConvLayer2d
from faconv_cli.nn.cells.minconvgru import SigmoidGate
from faconv_cli.nn.scans.gatedscan import UpdateGate


class MinConvExpLSTMCell(MinConvCell):
    """One layer of MinConvExpLSTM (Horuz, Otte, Butz, Karlbauer 2025, arXiv 2508.03614).

        f, i, v = W*x + b                one k×k convolution, C → 3F
        f' = e^f / (e^f + e^i)           i' = 1 - f'
        h = f'⊙h' + i'⊙g(v)              g(v) = v + ½ for v ≥ 0, else σ(v)

    As i' = σ(i - f), this is MinConvGRU with k = i - f; and as W is linear, `run` convolves with
    Wi - Wf once: a third less work than the equations ask for.
    """

    preactivations = 3

    def update_gate(self, *preactivations: Tensor) -> Tensor:
        """Return i' = 1 - f'."""
        return torch.stack(preactivations).softmax(0)[1]

    def scan_arguments(self) -> tuple[Tensor, Tensor, UpdateGate]:
        """Return the weight and bias of k = i - f, and of v."""
        assert self.convolution.bias is not None
        weight_f, weight_i, weight_v = self.convolution.weight.chunk(3)
        bias_f, bias_i, bias_v = self.convolution.bias.chunk(3)
        weight, bias = torch.cat([weight_i - weight_f, weight_v]), torch.cat([bias_i - bias_f, bias_v])
        return weight, bias, SigmoidGate()


class MinConvExpLSTM2d(MinConvLayer2d):
    """A stack of `MinConvExpLSTMCell` layers, see `MinConvLayer2d` for arguments and errors."""

    cell = MinConvExpLSTMCell
