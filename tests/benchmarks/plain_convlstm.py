"""The ConvLSTM most people copy: one convolution on cat(x, h) and a loop in Python; the unit of speed."""

import torch
from torch import Tensor, nn


class PlainConvLSTM(nn.Module):
    """(b, t, c, h, w) -> ((b, t, f, h, w), None): 3×3 kernels, zero padding, no peepholes."""

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.hidden_channels = hidden_channels
        self.conv = nn.Conv2d(in_channels + hidden_channels, 4 * hidden_channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        h = c = x.new_zeros(x.shape[0], self.hidden_channels, *x.shape[-2:])
        hs = []
        for x_t in x.unbind(1):
            i, f, g, o = self.conv(torch.cat([x_t, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hs.append(h)
        return torch.stack(hs, 1), None
