"""How weights change: decay, learning rate, moving average."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

WARM_UP_SHARE = 0.1
SLOWEST_AVERAGE = 0.99
# the gradients of the recurrent layer grow a hundredfold once its output counts: a long memory of the small
# ones would make steps so large that gates saturate
BETAS = (0.9, 0.95)


def learning_rate_share(step: int, planned_steps: int) -> float:
    """Return the share of the highest rate: a linear warm-up, then a cosine down to 0 at the last step."""
    warm_up = max(1, round(WARM_UP_SHARE * planned_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, planned_steps - warm_up))))


def average_weights(average: Any, current: Any, updates: Any) -> None:
    """Move the average towards the weights: fast at first, at last by one part in a hundred a step."""
    decay = min(SLOWEST_AVERAGE, (1 + float(updates)) / (10 + float(updates)))
    torch._foreach_lerp_(average, current, 1 - decay)


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> AdamW:
    """Make an AdamW that decays all weights but biases; the decay of a gain damps its correction."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    kept = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    fused = True if any(parameter.is_cuda for parameter in decayed) else None  # one launch for all weights
    return AdamW(groups, lr=lr, betas=BETAS, fused=fused)
