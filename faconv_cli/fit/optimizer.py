"""How weights move: groups, learning rate, moving average."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from faconv_cli.config import FitConfig

WARM_UP_SHARE = 0.1
SLOWEST_AVERAGE = 0.99
PATTERN_RATE = 0.1  # of the learning rate: patterns started from the EOFs are near their best already


def learning_rate_share(step: int, planned_steps: int) -> float:
    """Give the share of the highest rate: a linear warm-up, then a cosine down to 0 at the last step."""
    warm_up = max(1, round(WARM_UP_SHARE * planned_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, planned_steps - warm_up))))


def average_weights(average: Any, current: Any, updates: Any) -> None:
    """Move the average towards the weights: fast at first, at last by one part in a hundred a step."""
    decay = min(SLOWEST_AVERAGE, (1 + float(updates)) / (10 + float(updates)))
    torch._foreach_lerp_(average, current, 1 - decay)


def make_optimizer(model: nn.Module, fit: FitConfig) -> AdamW:
    """Make AdamW that decays weights of convolutions and linear layers only, and moves the EOFs slowly.

    Args:
        model: with the modules ``encoder`` and ``decoder``.
        fit: learning rate and weight decay.
    """
    from_eofs = ("encoder.patterns.on_x", "encoder.patterns.bias", "decoder.patterns")
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    slow: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or name == "encoder.patterns.on_h"
        (slow if name in from_eofs else kept if plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": fit.weight_decay},
        {"params": kept, "weight_decay": 0.0},
        {"params": slow, "weight_decay": 0.0, "lr": PATTERN_RATE * fit.lr},
    ]
    return AdamW(groups, lr=fit.lr)
