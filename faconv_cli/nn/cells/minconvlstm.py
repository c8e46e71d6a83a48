"""MinConvLSTM: forget and input gates that read x alone and sum to 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faconv_cli.nn.cells.minconv import MinConvCell, MinConvLayer2d
from faconv_cli.nn.mechanisms.featureslast import sigmoid_backward_
from faconv_cli.nn.scans.gatedscan import UpdateGate


def input_share(sigma_f: Tensor, sigma_i: Tensor) -> Tensor:
    """Return i' = σ(i) / (σ(f) + σ(i)); 0, not NaN, where both have vanished."""
    return sigma_i / (sigma_f + sigma_i).clamp_(min=torch.finfo(sigma_i.dtype).tiny)


class NormalizedGate:
    """z = i' = σ(i) / (σ(f) + σ(i))."""

    normalized = True

    def activate_(self, gates: Sequence[Tensor]) -> Tensor:
        """Turn f and i into σ(f) and σ(i)."""
        return input_share(*(gate.sigmoid_() for gate in gates))

    def update(self, activations: Sequence[Tensor]) -> Tensor:
        """Return i'."""
        return input_share(*activations)

    def backward(self, activations: Sequence[Tensor], z: Tensor, grad_z: Tensor) -> list[Tensor]:
        """Return the gradients of f and i: i' = σ(k) with dk/df = σ(f) - 1 and dk/di = 1 - σ(i)."""
        sigma_f, sigma_i = activations
        grad_k = sigmoid_backward_(grad_z, z)
        return [(sigma_f - 1).mul_(grad_k), (1 - sigma_i).mul_(grad_k)]


class MinConvLSTMCell(MinConvCell):
    """One layer of MinConvLSTM (Horuz, Otte, Butz, Karlbauer 2025, arXiv 2508.03614).

        f, i, v = W*x + b                     one k×k convolution, C → 3F
        f' = σ(f) / (σ(f) + σ(i))             i' = 1 - f'
        h = f'⊙h' + i'⊙g(v)                   g(v) = v + ½ for v ≥ 0, else σ(v)

    The authors scan in logarithms from log g(h0); ours is linear, and starts from h0 itself.
    """

    preactivations = 3

    def update_gate(self, *preactivations: Tensor) -> Tensor:
        """Return i' = 1 - f'."""
        f, i = preactivations
        return input_share(f.sigmoid(), i.sigmoid())

    def scan_arguments(self) -> tuple[Tensor, Tensor, UpdateGate]:
        """Return weight and bias as they are."""
        assert self.convolution.bias is not None
        return self.convolution.weight, self.convolution.bias, NormalizedGate()


class MinConvLSTM2d(MinConvLayer2d):
    """A stack of `MinConvLSTMCell` layers, see `MinConvLayer2d` for arguments and errors."""

    cell = MinConvLSTMCell
