"""Padding, convolution and blocks in the layout of the fast paths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.nn.mechanisms.featureslast import (
    CPU_BLOCK_NUMBERS,
    Halo,
    compute_dtype,
    convolve,
    convolve_backward,
    tanh,
    time_blocks,
)
from faconv_cli.nn.padding import pad2d

PADDINGS = ["zeros", "circular", "longitude"]
sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(size=sizes, cells=st.integers(0, 5), padding=st.sampled_from(PADDINGS))
def test_halo_is_that_of_pad2d(size, cells, padding):
    x = torch.randn(2, *size, 3)
    expected = pad2d(x.movedim(-1, 1), cells, padding).movedim(1, -1)
    assert torch.equal(Halo(cells, padding).pad(x), expected)


@given(size=sizes, cells=st.integers(0, 5), padding=st.sampled_from(PADDINGS))
def test_folding_is_the_adjoint_of_padding(size, cells, padding):
    x = torch.randn(2, *size, 3, dtype=torch.float64, requires_grad=True)
    padded = pad2d(x.movedim(-1, 1), cells, padding).movedim(1, -1)
    grad = torch.randn_like(padded)
    (expected,) = torch.autograd.grad((padded * grad).sum(), x)
    torch.testing.assert_close(Halo(cells, padding).fold_(grad), expected)


@pytest.mark.parametrize("gates", [1, 3])
def test_gradients_of_the_convolution_are_those_of_autograd(gates):
    padded = torch.randn(2, 6, 7, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(gates * 4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(gates * 4, dtype=torch.float64, requires_grad=True)
    parts = convolve(padded, weight, bias, gates, torch.float64)
    grads = [torch.randn_like(part) for part in parts]
    expected = torch.autograd.grad(parts, (padded, weight, bias), grads)
    torch.testing.assert_close(convolve_backward(grads, padded, weight), expected)
    none, *rest = convolve_backward(grads, padded, weight, need_input=False)
    assert none.numel() == 0
    torch.testing.assert_close(tuple(rest), expected[1:])


@given(
    steps=st.integers(1, 50),
    numbers=st.sampled_from([1, 1000, CPU_BLOCK_NUMBERS // 7, CPU_BLOCK_NUMBERS * 2]),
)
def test_blocks_cover_every_step_once_and_fit_the_cache(steps, numbers):
    blocks = time_blocks(steps, torch.empty(numbers))
    assert [t for block in blocks for t in range(block.start, block.stop)] == list(range(steps))
    longest = max(block.stop - block.start for block in blocks)
    assert longest == 1 or longest * numbers <= CPU_BLOCK_NUMBERS


def test_tanh_is_tanh_in_place_or_not():
    x = torch.linspace(-30, 30, 601)
    expected = x.tanh()
    torch.testing.assert_close(tanh(x, torch.empty_like(x)), expected, rtol=0, atol=3e-7)
    torch.testing.assert_close(tanh(x, x), expected, rtol=0, atol=3e-7)
    assert torch.equal(x, tanh(torch.linspace(-30, 30, 601), torch.empty(601)))


def test_convolutions_follow_autocast_but_for_double_precision():
    x = torch.empty(1)
    assert compute_dtype(x) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(x) == torch.bfloat16
        assert compute_dtype(x.double()) == torch.float64
