"""The ConvLSTM most people copy, one convolution on cat(x, h) and a loop in Python: the unit of speed.

And the one of Keras: a convolution of x and one of h for each gate.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class PlainConvLSTM(nn.Module):
    """(b, t, c, h, w) -> ((b, t, f, h, w), None): 3×3 kernels, zero padding, no peepholes."""

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.hidden_channels = hidden_channels
        self.conv = nn.Conv2d(in_channels + hidden_channels, 4 * hidden_channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.loop(x, self.step)

    def loop(self, x: Tensor, step: Step) -> tuple[Tensor, None]:
        h, c = x.new_zeros(2, x.shape[0], self.hidden_channels, *x.shape[-2:])
        hs = []
        for x_t in x.unbind(1):
            h, c = step(x_t, h, c)
            hs.append(h)
        return torch.stack(hs, 1), None

    def step(self, x_t: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.conv(torch.cat([x_t, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class KerasStyleConvLSTM(PlainConvLSTM):
    """The same with Keras's eight convolutions a step, of x and of h for each of i, f, c, o."""

    def step(self, x_t: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_h = self.conv.weight.split([x_t.shape[1], h.shape[1]], 1)
        parts = zip(of_x.chunk(4), self.conv.bias.chunk(4), of_h.chunk(4), strict=True)
        i, f, g, o = (F.conv2d(x_t, wx, b, padding=1) + F.conv2d(h, wh, padding=1) for wx, b, wh in parts)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
