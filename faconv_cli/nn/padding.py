"""What a convolution sees beyond the edge of the grid."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Padding = Literal["zeros", "circular", "longitude"]


def pad2d(x: Tensor, cells: int, padding: Padding) -> Tensor:
    """Pad the last two axes (latitude, longitude) of ``x`` (..., h, w) by ``cells`` on each side.

    ``zeros`` pads both with zeros, ``circular`` wraps both, ``longitude`` wraps the last and pads the other
    with zeros: the globe without its poles. Wrapping may reach around more than once.
    """
    if padding == "zeros":
        return F.pad(x, (cells, cells, cells, cells))
    x = _wrap(x, -1, cells)
    return _wrap(x, -2, cells) if padding == "circular" else F.pad(x, (0, 0, cells, cells))


def _wrap(x: Tensor, axis: int, cells: int) -> Tensor:
    size = x.shape[axis]
    index = (torch.arange(-cells, size + cells, device=x.device)) % size
    return x.index_select(axis, index)
