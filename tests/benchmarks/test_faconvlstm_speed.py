"""FAConvLSTM2d beside a plain torch ConvLSTM; run with ``pytest tests/benchmarks --benchmark-only``."""

import pytest
import torch

from faconv_cli.nn.faconvlstm import FAConvLSTM2d
from tests.benchmarks.plain_convlstm import PlainConvLSTM

# batch, steps, channels, latitudes, longitudes, hidden channels
SIZES = {"a": (4, 24, 7, 41, 41, 64), "c": (8, 32, 1, 32, 64, 64), "b": (1, 32, 4, 181, 360, 32)}


def model_and_input(name, size):
    torch.manual_seed(0)
    b, t, c, h, w, hidden = SIZES[size]
    layer = PlainConvLSTM(c, hidden) if name == "plain" else FAConvLSTM2d(c, hidden, return_state=False)
    return layer, torch.randn(b, t, c, h, w)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["plain", "faconvlstm"])
def test_inference(benchmark, name, size):
    benchmark.group = f"inference {size}"
    layer, x = model_and_input(name, size)
    with torch.no_grad():
        y = benchmark.pedantic(layer, (x,), rounds=5, warmup_rounds=1)
    assert y.isfinite().all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["plain", "faconvlstm"])
def test_training_step(benchmark, name, size):
    benchmark.group = f"training step {size}"
    layer, x = model_and_input(name, size)

    def train():
        layer.zero_grad()
        layer(x).mean().backward()

    benchmark.pedantic(train, rounds=3, warmup_rounds=1)
    assert all(parameter.grad is not None for parameter in layer.parameters())
