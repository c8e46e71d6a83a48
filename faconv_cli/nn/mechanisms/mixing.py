"""Spatial mixing per channel: dilated depthwise branches, squeeze-and-excitation, area-weighted means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from faconv_cli.errors import UsageError
from faconv_cli.nn.mechanisms.featureslast import Halo
from faconv_cli.nn.padding import Padding, pad2d


def area_shares(weights: Tensor | None, like: Tensor) -> Tensor:
    """Return each point's share (b, h, w) of ``weights``, (h, w), (b, h, w) or None; ``like`` is (b, h, w).

    The shares of a grid add up to 1, or are all 0 where the weights are.
    """
    if weights is None:
        return torch.full_like(like, 1 / like[0].numel(), requires_grad=False)
    weights = weights.to(like.dtype).expand(like.shape)
    return weights / weights.sum((-2, -1), keepdim=True).clamp(min=torch.finfo(like.dtype).tiny)


def masked_mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Average ``x`` (b, c, h, w) over its grid to (b, c).

    Args:
        x: (b, c, h, w).
        weights: (h, w) or (b, h, w), area times validity in any scale; None: uniform. Where all are 0 the
            mean is 0.
    """
    return torch.einsum("bchw,bhw->bc", x, area_shares(weights, x[:, 0]))


class DilatedMix(nn.Module):
    """m = Σ_{d∈D} DW_d(u): depthwise k×k branches of several dilations, added; linear, without a bias.

    Args:
        channels: R.
        kernel_size: k, odd.
        dilations: D, in cells.
        padding: what lies beyond the edge.

    Raises:
        UsageError: an even kernel, no dilation, or one below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        *,
        dilations: Sequence[int] = (1, 2, 4),
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UsageError(
                f"the kernel size is {kernel_size}", wanted="the mix needs an odd size", do="use 3, 5 or 7"
            )
        if not dilations or min(dilations) < 1:
            raise UsageError(
                f"the dilations are {tuple(dilations)}",
                wanted="at least one is needed, and each must be 1 or more",
                do="use 1, 2, 4",
            )
        self.dilations, self.padding = tuple(dilations), padding
        self.reach = max(dilations) * (kernel_size // 2)
        self.kernel = nn.Parameter(torch.empty(len(dilations), channels, 1, kernel_size, kernel_size))
        # unit gain: as many independent terms as there are taps in all branches
        nn.init.normal_(self.kernel, std=1 / math.sqrt(len(dilations) * kernel_size**2))

    def forward(self, u: Tensor) -> Tensor:
        """Mix ``u`` (b, R, h, w) over its neighbourhoods."""
        k = self.kernel.shape[-1]
        branches = (
            F.conv2d(pad2d(u, d * (k // 2), self.padding), kernel, dilation=d, groups=u.shape[1])
            for d, kernel in zip(self.dilations, self.kernel, strict=True)
        )
        return sum(branches, start=torch.zeros((), dtype=u.dtype, device=u.device))


class Stencil:
    """The fast twin of `DilatedMix` for features-last grids (n, h, w, R), with its gradients; no autograd.

    Branches of small dilations are added up to one dense kernel: more taps, but one pass over the grid.
    """

    def __init__(self, mix: DilatedMix) -> None:
        self.mix = mix
        self.kernel = mix.kernel.detach()
        taps = self.kernel.shape[-1] ** 2 * len(mix.dilations)
        self.branches = list(zip(self.kernel, mix.dilations, strict=True))
        if (2 * mix.reach + 1) ** 2 <= 4 * taps:
            self.branches = [(self._dense(), 1)]
        self.flipped = [(kernel.flip(-2, -1), d) for kernel, d in self.branches]

    def _dense(self) -> Tensor:
        _, R, _, k, _ = self.kernel.shape
        reach = self.mix.reach
        dense = self.kernel.new_zeros(R, 1, 2 * reach + 1, 2 * reach + 1)
        for kernel, d in self.branches:
            first = reach - d * (k // 2)
            dense[..., first : first + d * k : d, first : first + d * k : d] += kernel
        return dense

    def __call__(self, u: Tensor) -> Tensor:
        """Mix ``u`` (n, h, w, R)."""
        return self._convolve(u, self.branches)

    def adjoint(self, m: Tensor) -> Tensor:
        """Return the gradient of u for that of m: every padding here is its own transpose."""
        return self._convolve(m, self.flipped)

    def _convolve(self, u: Tensor, branches: list[tuple[Tensor, int]]) -> Tensor:
        found = None
        for kernel, d in branches:
            reach = d * (kernel.shape[-1] // 2)
            zeros = self.mix.padding == "zeros"
            seen = (u if zeros else Halo(reach, self.mix.padding).pad(u)).movedim(-1, 1)
            branch = F.conv2d(seen, kernel, padding=reach if zeros else 0, dilation=d, groups=u.shape[-1])
            found = branch if found is None else found.add_(branch)
        assert found is not None  # there is a branch at least
        return found.movedim(1, -1).contiguous()

    def kernel_gradient(self, u: Tensor, dm: Tensor) -> Tensor:
        """Return the gradient of the kernels (D, R, 1, k, k) for ``u`` and the gradient of m (n, h, w, R).

        A dilated branch is an undilated one on each of d × d interleaved grids, which is much faster.
        """
        gradient, dm, (_, h, w, R) = torch.zeros_like(self.kernel), dm.movedim(-1, 1), u.shape
        for branch, d in enumerate(self.mix.dilations):
            padded = Halo(d * (self.kernel.shape[-1] // 2), self.mix.padding).pad(u).movedim(-1, 1)
            for y, x in product(range(min(d, h)), range(min(d, w))):
                gradient[branch] += conv2d_weight(  # type: ignore[no-untyped-call]
                    padded[..., y::d, x::d],
                    list(self.kernel.shape[1:]),
                    dm[..., y::d, x::d],
                    groups=R,
                )
        return gradient


class SqueezeExcitation(nn.Module):
    """s = σ(W2 relu(W1 mean_hw m)), m̃ = s ⊙ m (Hu, Shen, Sun 2018), with an area-weighted, masked mean.

    Args:
        channels: R; the hidden layer has a quarter of them, at least one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def scale(self, mean: Tensor) -> Tensor:
        """Return s (b, R) for the ``mean`` of m over its grid (b, R)."""
        return torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))

    def forward(self, m: Tensor, weights: Tensor | None = None) -> Tensor:
        """Rescale each channel of ``m`` (b, R, h, w); ``weights`` as in `masked_mean`."""
        return self.scale(masked_mean(m, weights))[..., None, None] * m
