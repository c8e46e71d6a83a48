"""The weights and mechanisms of a FAConvLSTM cell, which its loop and its fast paths share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from faconv_cli.errors import UsageError
from faconv_cli.nn.mechanisms.axial import AxialAttention
from faconv_cli.nn.mechanisms.mixing import DilatedMix, SqueezeExcitation
from faconv_cli.nn.padding import Padding


class FAConvLSTMParts(nn.Module):
    """The parts of `FAConvLSTMCell`, whose docstring gives the equations and the arguments."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        *,
        padding: Padding = "zeros",
        bottleneck: int = 16,
        dilations: Sequence[int] = (1, 2, 4),
        squeeze_excitation: bool = True,
        peephole: bool = True,
        axial: bool = True,
        attention_every: int = 4,
        attention_heads: int = 2,
        attention_pool: int = 1,
    ) -> None:
        super().__init__()
        if attention_every < 1:
            raise UsageError(
                f"attention_every is {attention_every}",
                wanted="it is a number of time steps",
                do="use 1 or more",
            )
        self.hidden_channels, self.attention_every = hidden_channels, attention_every
        self.Px = nn.Linear(in_channels, bottleneck, bias=False)
        self.Ph = nn.Linear(hidden_channels, bottleneck, bias=False)
        self.mix = DilatedMix(bottleneck, kernel_size, dilations=dilations, padding=padding)
        self.recalibrate = SqueezeExcitation(bottleneck) if squeeze_excitation else None
        self.Pg = nn.Linear(bottleneck, 4 * hidden_channels)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden_channels)) if peephole else None
        self.axial = (
            AxialAttention(hidden_channels, bottleneck, heads=attention_heads, pool=attention_pool)
            if axial
            else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start remembering (forget bias 1), with saturation-free gates and without peepholes."""
        nn.init.xavier_uniform_(self.Px.weight)
        nn.init.orthogonal_(self.Ph.weight)
        for gate in self.Pg.weight.data.chunk(4):
            nn.init.xavier_uniform_(gate)
        nn.init.zeros_(self.Pg.bias)
        nn.init.ones_(self.Pg.bias.data.chunk(4)[1])

    def attends(self, step: int) -> bool:
        """Return whether the step with this absolute index has attention."""
        return self.axial is not None and step % self.attention_every == 0
