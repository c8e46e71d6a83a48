"""The MinConv cells against plain NumPy, against each other, and at the ends of their range."""

import numpy as np
import pytest
import torch

from faconv_cli.nn.cells.minconvexplstm import MinConvExpLSTM2d
from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
from faconv_cli.nn.cells.minconvlstm import MinConvLSTM2d
from faconv_cli.nn.mechanisms import featureslast
from faconv_cli.nn.scans.scan import log_scan
from tests.reference import minconv as plain

CELLS = [(MinConvGRU2d, plain.gru), (MinConvLSTM2d, plain.lstm), (MinConvExpLSTM2d, plain.exp_lstm)]
LAYERS = [Layer for Layer, _ in CELLS]


def random_layer(Layer, **options):
    torch.manual_seed(0)
    layer = Layer(3, 4, **options).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize(("Layer", "cell"), CELLS)
@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_layer_is_the_plain_one(Layer, cell, padding, kernel_size):
    layer = random_layer(Layer, kernel_size=kernel_size, padding=padding)
    p = {name: value.numpy() for name, value in layer.layers[0].state_dict().items()}
    x, h = torch.randn(2, 4, 3, 3, 4).double(), torch.randn(2, 4, 3, 4).double()
    with torch.no_grad():
        y, _ = layer(x, (h,))
    for n in range(2):
        expected = plain.run(x[n].numpy(), h[n].numpy(), p, padding, cell)
        np.testing.assert_allclose(y[n].numpy(), expected, rtol=1e-10, atol=1e-14)


def test_exp_lstm_is_the_gru_of_the_difference_of_its_gates():
    layer = random_layer(MinConvExpLSTM2d)
    gru = MinConvGRU2d(3, 4).double()
    differences = {}
    for name, value in layer.state_dict().items():
        f, i, v = value.chunk(3)
        differences[name] = torch.cat([i - f, v])
    gru.load_state_dict(differences)
    x = torch.randn(2, 6, 3, 5, 6).double()
    torch.testing.assert_close(layer(x)[0], gru(x)[0], rtol=1e-12, atol=1e-12)


def test_linear_scan_is_the_formula_of_the_paper_in_logarithms():
    layer = random_layer(MinConvGRU2d)
    x, h0 = torch.randn(1, 30, 3, 5, 6).double(), torch.rand(1, 4, 5, 6).double()
    with torch.no_grad():
        y, _ = layer(x, (h0,))
        k, v = layer.layers[0].convolution(torch.nn.functional.pad(x[0], (1, 1, 1, 1))).chunk(2, 1)
        g = torch.where(v >= 0, v + 0.5, v.sigmoid())
        logsigmoid = torch.nn.functional.logsigmoid
        expected = log_scan(logsigmoid(-k), logsigmoid(k) + g.log(), h0[0])
    torch.testing.assert_close(y[0], expected, rtol=1e-10, atol=1e-10)


def test_memory_may_be_negative():
    layer = random_layer(MinConvGRU2d)
    with torch.no_grad():
        layer.layers[0].convolution.bias[:4] = -20.0  # z near 0: what is carried stays
        layer.layers[0].convolution.weight.zero_()
        y, _ = layer(torch.randn(1, 3, 3, 5, 6).double(), (torch.full((1, 4, 5, 6), -2.0).double(),))
    torch.testing.assert_close(y, torch.full_like(y, -2.0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("Layer", LAYERS)
@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_gates_far_from_zero_stay_finite(Layer, scale):
    layer = Layer(2, 3)
    x = (scale * torch.randn(1, 5, 2, 4, 4)).requires_grad_()
    y, _ = layer(x)
    y.mean().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_parallel_and_step_agree_where_both_gates_have_vanished():
    layer = MinConvLSTM2d(1, 1, 1)
    with torch.no_grad():
        layer.layers[0].convolution.weight.fill_(1.0)
        layer.layers[0].convolution.bias.zero_()
        x = torch.full((1, 2, 1, 1, 1), -200.0)
        y, _ = layer(x)
        h, _ = layer.step(x[:, 0], layer.init_state(x))
    assert torch.equal(y[:, 0], h)
    assert y.isfinite().all()


@pytest.mark.parametrize("Layer", LAYERS)
@pytest.mark.parametrize("numbers", [1, 130, 10_000])
def test_blocks_of_steps_and_rows_change_nothing(Layer, numbers, monkeypatch):
    layer, x = random_layer(Layer, kernel_size=5, padding="circular"), torch.randn(2, 7, 3, 5, 6).double()
    x.requires_grad_()
    wanted = [x, *layer.parameters()]
    whole, _ = layer(x)
    gradients = torch.autograd.grad(whole.square().sum(), wanted)
    monkeypatch.setattr(featureslast, "CPU_BLOCK_NUMBERS", numbers)
    cut, _ = layer(x)
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(cut.square().sum(), wanted)
    torch.testing.assert_close(found, gradients, rtol=1e-10, atol=1e-10)
