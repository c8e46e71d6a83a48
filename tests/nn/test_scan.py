"""The linear recurrence against its loop, and the log-space formula beside it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.nn.scans.scan import linear_scan, log_scan


def loop(a, b, h):
    """The five lines that everything stands for."""
    hs = []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        hs.append(h)
    return torch.stack(hs)


def terms(t=7, shape=(2, 3), dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(t, *shape, generator=g, dtype=dtype)
    b = torch.randn(t, *shape, generator=g, dtype=dtype)
    return a, b, torch.randn(shape, generator=g, dtype=dtype)


@given(t=st.integers(1, 12), shape=st.lists(st.integers(1, 3), max_size=3), seed=st.integers(0, 99))
def test_scan_and_its_gradients_are_those_of_the_loop(t, shape, seed):
    arguments = [term.requires_grad_() for term in terms(t, tuple(shape), seed=seed)]
    h, expected = linear_scan(*arguments), loop(*arguments)
    torch.testing.assert_close(h, expected, rtol=1e-12, atol=1e-12)
    probe = torch.randn_like(h)
    found = torch.autograd.grad((h * probe).sum(), arguments)
    torch.testing.assert_close(
        found, torch.autograd.grad((expected * probe).sum(), arguments), rtol=1e-10, atol=1e-12
    )


def test_gradients_are_right():
    assert torch.autograd.gradcheck(linear_scan, [term.requires_grad_() for term in terms(5)])


def test_arguments_are_left_as_they_were():
    arguments = terms()
    before = [term.clone() for term in arguments]
    linear_scan(*arguments)
    assert all(torch.equal(*pair) for pair in zip(arguments, before, strict=True))


@pytest.mark.parametrize("t", [365, 15_000])
def test_rounding_does_not_grow_with_length(t):
    a, b, h0 = terms(t, (8,), torch.float32)
    exact = linear_scan(a.double(), b.double(), h0.double())
    torch.testing.assert_close(linear_scan(a, b, h0).double(), exact, rtol=1e-5, atol=2e-6)


def test_scan_in_logarithms_is_the_linear_one():
    a, b, h0 = terms(200)
    b, h0 = b.abs(), h0.abs()
    torch.testing.assert_close(log_scan(a.log(), b.log(), h0), linear_scan(a, b, h0), rtol=1e-9, atol=1e-12)


def test_scan_in_logarithms_loses_digits_that_the_linear_one_keeps():
    a, b, h0 = terms(14_610, (8,), torch.float32)
    b, h0 = b.abs(), h0.abs()
    exact = linear_scan(a.double(), b.double(), h0.double())
    in_logarithms = ((log_scan(a.log(), b.log(), h0) - exact) / exact).abs().max()
    linear = ((linear_scan(a, b, h0) - exact) / exact).abs().max()
    assert linear < 1e-5 < 1e-4 < in_logarithms
