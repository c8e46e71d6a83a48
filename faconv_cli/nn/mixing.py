"""Spatial mixing per channel: dilated depthwise branches, squeeze-and-excitation, area-weighted means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faconv_cli.errors import UsageError
from faconv_cli.nn.padding import Padding, pad2d


def masked_mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Average ``x`` (b, c, h, w) over its grid to (b, c).

    Args:
        x: (b, c, h, w).
        weights: (h, w) or (b, h, w), area times validity in any scale; None: uniform. Where all are 0 the
            mean is 0.
    """
    if weights is None:
        return x.mean((-2, -1))
    weights = weights.to(x.dtype).expand(x.shape[0], *x.shape[-2:])
    shares = weights / weights.sum((-2, -1), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.einsum("bchw,bhw->bc", x, shares)


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
                f"kernel size {kernel_size}", wanted="the mix needs an odd one", do="take 3, 5 or 7"
            )
        if not dilations or min(dilations) < 1:
            raise UsageError(
                f"dilations {tuple(dilations)}",
                wanted="at least one is needed, each 1 or more",
                do="take 1, 2, 4",
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

    def scale(self, m: Tensor, weights: Tensor | None = None) -> Tensor:
        """Give s (b, R) for ``m`` (b, R, h, w); ``weights`` as in `masked_mean`."""
        return torch.sigmoid(self.excite(torch.relu(self.squeeze(masked_mean(m, weights)))))

    def forward(self, m: Tensor, weights: Tensor | None = None) -> Tensor:
        """Rescale each channel of ``m`` (b, R, h, w)."""
        return self.scale(m, weights)[..., None, None] * m
