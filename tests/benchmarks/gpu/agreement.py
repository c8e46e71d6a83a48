"""Every network gives on the device what it gives on the CPU: hidden states, state and gradients."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from faconv_cli import nn as networks
from faconv_cli.nn.layer import RecurrentLayer2d
from faconv_cli.nn.scans.scan import linear_scan
from tests.benchmarks.gpu.counts import SIZES, Size
from tests.benchmarks.plain_convlstm import KerasStyleConvLSTM, PlainConvLSTM

LARGEST = 1e-4  # relative error, ‖found - expected‖ / ‖expected‖, of float32 sums in another order
# g(v) of the Min cells has a kink at 0: a v that rounding takes across it changes a gradient by more, once by
# 1.8e-3 between the CPU's own float32 and float64. Other inputs have no such point; a fault errs with all.
DRAWS = 5
OURS = [name for name in networks.__all__ if name.endswith("2d")]


def check_agreement(device: torch.device, *, quick: bool) -> bool:
    """Print the largest relative error of each network; tell whether all are small."""
    sizes = [Size(1, 6, 2, 6, 9, 8)] if quick else [Size(2, 9, 3, 13, 17, 24), SIZES["a"]._replace(b=2, t=4)]
    good = True
    for size in sizes:
        for name, layer in _layers(size):
            errors, worst, draws = _least_of_draws(layer, size, device)
            right = errors[worst] <= LARGEST  # not where it is NaN
            good &= right
            print(
                f"{'ok   ' if right else 'WRONG'} {name:22} F {size.f:2} h {errors['y']:.1e} "
                f"worst {errors[worst]:.1e} ({worst}), draw {draws}",
                flush=True,
            )
    return good


@contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions and products without TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _layers(size: Size) -> Iterator[tuple[str, nn.Module]]:
    torch.manual_seed(1)
    yield "plain ConvLSTM", PlainConvLSTM(size.c, size.f)
    yield "Keras-style ConvLSTM", KerasStyleConvLSTM(size.c, size.f)
    for name in OURS:
        layer = getattr(networks, name)(size.c, size.f, num_layers=2, padding="longitude")
        for parameter in layer.parameters():  # also those that start at zero
            parameter.data += 0.1 * torch.randn_like(parameter)
        yield name, layer
    yield "linear scan", _Scan()


def _least_of_draws(layer: nn.Module, size: Size, device: torch.device) -> tuple[dict[str, float], str, int]:
    """Give the errors of the first draw of inputs that is right, or of the last; the worst; draws made."""
    for draws in range(1, DRAWS + 1):
        errors = _errors(layer, size, device)
        worst = max(errors, key=lambda key: math.inf if math.isnan(errors[key]) else errors[key])
        if errors[worst] <= LARGEST or draws == DRAWS:
            return errors, worst, draws
    raise AssertionError("there is one draw at least")


class _Scan(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        steps = x.transpose(0, 1)
        return linear_scan(steps.sigmoid(), steps, steps[0]), None


def _errors(layer: nn.Module, size: Size, device: torch.device) -> dict[str, float]:
    """Compare two calls, the second from the state of the first, and all gradients."""
    x = torch.randn(size.b, size.t, size.c, size.h, size.w)
    weights = torch.rand(size.h, size.w).where(torch.rand(size.h, size.w) > 0.2, 0.0)
    with full_float32():
        expected = _evaluate(layer, x, weights)
        found = _evaluate(copy.deepcopy(layer).to(device), x.to(device), weights.to(device))
    return {name: relative_error(found[name], expected[name]) for name in expected}


def _evaluate(layer: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    half = x.shape[1] // 2
    if isinstance(layer, RecurrentLayer2d):  # the CPU's path is the plain one
        first, state = layer(x[:, :half], None, weights)
        second, _ = layer(x[:, half:], state, weights)
        y = torch.cat([first, second], 1)
    else:
        y, _ = layer(x)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    (y * upstream.to(y.device)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "x": x.grad} | {name: one for name, one in gradients.items() if one is not None}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Give ‖found - expected‖ / ‖expected‖ in float64."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-30))
