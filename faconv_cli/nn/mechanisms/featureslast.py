"""Convolutions and time blocks in the layout of the fast paths: features last, (n, h, w, c).

There a convolution needs no reordering, each gate lies in one piece, and one padded buffer can hold
what a step reads. Blocks of steps are cut so that one gate of a block stays in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from faconv_cli.errors import UsageError
from faconv_cli.nn.padding import Padding

CPU_BLOCK_NUMBERS = 2**18  # 1 MiB in float32: the gates of a block stay in a core's second-level cache
GPU_BLOCK_NUMBERS = 2**26  # 256 MiB in float32: few launches, bounded memory


@dataclass(frozen=True)
class Halo:
    """The rim a k × k kernel sees beyond the grid: ``cells`` = k // 2 on each side, filled by ``padding``."""

    cells: int
    padding: Padding

    @classmethod
    def of_kernel(cls, kernel_size: int, padding: Padding) -> Halo:
        """Return the halo that keeps the grid's size.

        Raises:
            UsageError: an even kernel size has no centre.
        """
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UsageError(
                f"the kernel size is {kernel_size}",
                wanted="kernels need an odd size to stay centred",
                do="use 1, 3, 5 and so on",
            )
        return cls(kernel_size // 2, padding)

    def buffer(self, n: int, h: int, w: int, c: int, like: Tensor) -> Tensor:
        """Return zeros (n, h + 2 cells, w + 2 cells, c)."""
        return like.new_zeros(n, h + 2 * self.cells, w + 2 * self.cells, c)

    def interior(self, padded: Tensor) -> Tensor:
        """Return the view (n, h, w, c) of a buffer without its rim."""
        p, (_, height, width, _) = self.cells, padded.shape
        return padded[:, p : height - p, p : width - p]

    def rows(self, padded: Tensor, rows: slice) -> Tensor:
        """Return the view of a buffer that a kernel on these ``rows`` of its interior sees."""
        return padded[:, rows.start : rows.stop + 2 * self.cells]

    def wrap_(self, padded: Tensor) -> Tensor:
        """Fill the rim of a buffer from its interior, in place; zeros stay."""
        for axis in self._wrapped_axes():
            rim, source = self._rim(padded, axis)
            padded.index_copy_(axis, rim, padded.index_select(axis, source))
        return padded

    def pad(self, x: Tensor) -> Tensor:
        """Return ``x`` (n, h, w, c) in a buffer with its rim; the twin of `pad2d`."""
        if self.cells == 0:
            return x
        n, h, w, c = x.shape
        padded = self.buffer(n, h, w, c, x)
        self.interior(padded).copy_(x)
        return self.wrap_(padded)

    def fold_(self, grad: Tensor) -> Tensor:
        """Apply the adjoint of `pad` to ``grad``, a padded buffer that is used up: (n, h, w, c)."""
        for axis in reversed(self._wrapped_axes()):
            rim, source = self._rim(grad, axis)
            grad.index_add_(axis, source, grad.index_select(axis, rim))
        return self.interior(grad)

    def _wrapped_axes(self) -> tuple[int, ...]:
        """Axes of (n, h, w, c) that close a circle; longitude first, as its rim is part of the next."""
        return {"zeros": (), "longitude": (2,), "circular": (2, 1)}[self.padding] if self.cells else ()

    def _rim(self, padded: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Return the indices of the rim along ``axis``, and those of the interior that it repeats."""
        p, size, device = self.cells, padded.shape[axis] - 2 * self.cells, padded.device
        beyond = torch.cat([torch.arange(-p, 0, device=device), torch.arange(size, size + p, device=device)])
        return beyond + p, beyond % size + p


class StepInput:
    """What the gates of one step see: [x_t ; h_{t-1}] in one padded buffer, used again for each step.

    One convolution of both is no slower in this layout than a hoisted one of x for all steps beside one of
    h, and saves adding the two.

    Args:
        x: (t, b, h, w, c), all steps; the buffer takes its type.
        hidden: f.
        halo: the rim.
    """

    def __init__(self, x: Tensor, hidden: int, halo: Halo) -> None:
        self.channels, self.halo = x.shape[-1], halo
        _, b, h, w, _ = x.shape
        self.padded = halo.buffer(b, h, w, self.channels + hidden, x)

    def fill(self, x_t: Tensor, h: Tensor) -> Tensor:
        """Return the buffer (b, H, W, c + f) holding ``x_t`` (b, h, w, c) and ``h`` (b, h, w, f)."""
        seen = self.halo.interior(self.padded)
        seen[..., : self.channels] = x_t
        seen[..., self.channels :] = h
        return self.halo.wrap_(self.padded)

    def split(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x_t and h from that of the buffer, which is used up."""
        seen = self.halo.fold_(grad)
        return seen[..., : self.channels], seen[..., self.channels :]


def convolve(padded: Tensor, weight: Tensor, bias: Tensor, gates: int, dtype: torch.dtype) -> list[Tensor]:
    """Convolve a padded buffer once per gate, so that each gate lies in one piece.

    Args:
        padded: (n, H, W, c).
        weight: (gates f, c, k, k).
        bias: (gates f,).
        gates: number of equal parts of the weight.
        dtype: of the answer; the convolution runs in that of ``padded``.

    Returns:
        One contiguous (n, h, w, f) per gate.
    """
    weights, biases = weight.to(padded.dtype).chunk(gates), bias.to(padded.dtype).chunk(gates)
    if weight.shape[-1] == 1:  # a matrix product
        points, grid = padded.flatten(0, -2), padded.shape[:-1]
        products = (torch.addmm(b, points, w.flatten(1).mT) for w, b in zip(weights, biases, strict=True))
        parts = [product.view(*grid, -1) for product in products]
    else:
        seen = padded.permute(0, 3, 1, 2)
        parts = [F.conv2d(seen, w, b).permute(0, 2, 3, 1) for w, b in zip(weights, biases, strict=True)]
    return [part.to(dtype).contiguous() for part in parts]


def convolve_backward(
    grads: Sequence[Tensor] | Tensor, padded: Tensor, weight: Tensor, *, need_input: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `convolve` for its padded input (empty if not needed), weight and bias.

    Args:
        grads: the gradient (n, h, w, f) of each gate.
        padded: as for `convolve`.
        weight: as for `convolve`.
        need_input: give the first of the three.
    """
    grad = torch.cat(list(grads), -1)
    grad_bias = grad.flatten(0, -2).sum(0)
    grad, w = grad.to(padded.dtype), weight.to(padded.dtype)
    if weight.shape[-1] == 1:
        of_weight = (grad.flatten(0, -2).mT @ padded.flatten(0, -2)).view_as(weight)
        of_padded = grad @ w.flatten(1) if need_input else None
    else:
        seen, options = padded.permute(0, 3, 1, 2), ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
        of_seen, of_weight, _ = torch.ops.aten.convolution_backward(
            grad.permute(0, 3, 1, 2), seen, w, None, *options, [need_input, True, False]
        )
        of_padded = of_seen.permute(0, 2, 3, 1) if need_input else None
    return padded.new_empty(0) if of_padded is None else of_padded, of_weight.to(weight.dtype), grad_bias


def time_blocks(steps: int, like: Tensor) -> list[slice]:
    """Cut ``steps`` into blocks whose states, each of the size of ``like``, fit the cache together."""
    return _blocks(steps, like.numel(), like)


def row_blocks(like: Tensor) -> list[slice]:
    """Cut the rows of a state ``like`` (b, h, w, f) into blocks that fit the cache."""
    return _blocks(like.shape[1], like[:, :1].numel(), like)


def _blocks(count: int, numbers_each: int, like: Tensor) -> list[slice]:
    limit = CPU_BLOCK_NUMBERS if like.device.type == "cpu" else GPU_BLOCK_NUMBERS
    length = max(1, limit // max(1, numbers_each))
    return [slice(start, min(start + length, count)) for start in range(0, count, length)]


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """Write tanh as 1 - 2σ(-2x), several times faster than ATen's on a processor; ``out`` may be ``x``."""
    torch.mul(x, -2, out=out).sigmoid_()
    return torch.sub(out.new_ones(()), out, alpha=2, out=out)


def sigmoid_backward_(grad: Tensor, sigma: Tensor) -> Tensor:
    """Multiply ``grad`` by σ' = σ(1 - σ), in place."""
    torch.ops.aten.sigmoid_backward(grad, sigma, grad_input=grad)
    return grad


def tanh_backward_(grad: Tensor, tanh: Tensor) -> Tensor:
    """Multiply ``grad`` by tanh' = 1 - tanh², in place."""
    torch.ops.aten.tanh_backward(grad, tanh, grad_input=grad)
    return grad


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type convolutions of ``x`` run in: autocast's where it is on."""
    device = x.device.type
    narrow = x.dtype != torch.float64 and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if narrow else x.dtype


def zero_state(x: Tensor, channels: int) -> Tensor:
    """Return zeros (b, channels, h, w) for ``x`` (b, ..., h, w), in float32 at least: rounding adds up."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return x.new_zeros(x.shape[0], channels, *x.shape[-2:], dtype=dtype)


def fold_time(x: Tensor) -> Tensor:
    """Put ``x`` (b, t, c, h, w) time first, features last (t, b, h, w, c), in the type of convolutions."""
    return x.permute(1, 0, 3, 4, 2).to(compute_dtype(x))


def unfold_time(y: Tensor) -> Tensor:
    """Undo the order of `fold_time`."""
    return y.permute(1, 0, 4, 2, 3)


def glorot_(weight: Tensor) -> Tensor:
    """Initialise (f, c, k, k) as Keras does its kernels: uniform, by the fans of all gates together."""
    fan = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
    bound = math.sqrt(6 / fan)
    return torch.nn.init.uniform_(weight, -bound, bound)


def any_requires_grad(tensors: Sequence[Tensor | None]) -> bool:
    """Return whether autograd will need a backward pass over ``tensors``."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
