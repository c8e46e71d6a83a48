"""MinConvGRU: one gate that reads x alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from faconv_cli.nn.cells.minconv import MinConvCell, MinConvLayer2d
from faconv_cli.nn.mechanisms.featureslast import sigmoid_backward_
from faconv_cli.nn.scans.gatedscan import UpdateGate


class SigmoidGate:
    """z = σ(k)."""

    normalized = False

    def activate_(self, gates: Sequence[Tensor]) -> Tensor:
        """Turn k into z."""
        return gates[0].sigmoid_()

    def update(self, activations: Sequence[Tensor]) -> Tensor:
        """Return z."""
        return activations[0]

    def backward(self, activations: Sequence[Tensor], z: Tensor, grad_z: Tensor) -> list[Tensor]:
        """Return the gradient of k."""
        return [sigmoid_backward_(grad_z, z)]


class MinConvGRUCell(MinConvCell):
    """One layer of MinConvGRU (Horuz, Otte, Butz, Karlbauer 2025, arXiv 2508.03614).

        k, v = W*x + b            one k×k convolution, C → 2F
        z = σ(k)
        h = (1 - z)⊙h' + z⊙g(v)   g(v) = v + ½ for v ≥ 0, else σ(v)

    The authors scan in logarithms from log g(h0); ours is linear, and starts from h0 itself.
    """

    preactivations = 2

    def update_gate(self, *preactivations: Tensor) -> Tensor:
        """Return z = σ(k)."""
        (k,) = preactivations
        return k.sigmoid()

    def scan_arguments(self) -> tuple[Tensor, Tensor, UpdateGate]:
        """Return weight and bias as they are."""
        assert self.convolution.bias is not None
        return self.convolution.weight, self.convolution.bias, SigmoidGate()


class MinConvGRU2d(MinConvLayer2d):
    """A stack of `MinConvGRUCell` layers, see `MinConvLayer2d` for arguments and errors."""

    cell = MinConvGRUCell
