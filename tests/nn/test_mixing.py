"""The depthwise mix, squeeze-and-excitation and the masked mean against plain NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.mechanisms.mixing import DilatedMix, SqueezeExcitation, Stencil, masked_mean
from tests.reference import mixing as plain


@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
@pytest.mark.parametrize(("kernel_size", "dilations"), [(3, (1, 2, 4)), (5, (1, 3)), (3, (2,)), (1, (1,))])
def test_mix_is_the_sum_of_its_branches(padding, kernel_size, dilations):
    torch.manual_seed(0)
    mix = DilatedMix(3, kernel_size, dilations=dilations, padding=padding).double()
    u = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    m = mix(u)
    for sample in range(2):
        expected = plain.dilated_mix(u[sample].numpy(), mix.kernel.detach().numpy(), dilations, padding)
        np.testing.assert_allclose(m[sample].detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
@pytest.mark.parametrize(("kernel_size", "dilations"), [(3, (1, 2, 4)), (5, (1, 2)), (3, (1, 7)), (1, (3,))])
def test_fast_twin_of_the_mix_and_its_gradients(padding, kernel_size, dilations):
    torch.manual_seed(0)
    mix = DilatedMix(3, kernel_size, dilations=dilations, padding=padding).double()
    u = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    m = mix(u)
    dm = torch.randn_like(m)
    du, dkernel = torch.autograd.grad(m, (u, mix.kernel), dm)
    u, m, dm, du = (tensor.detach().movedim(1, -1).contiguous() for tensor in (u, m, dm, du))
    fast = Stencil(mix)
    torch.testing.assert_close(fast(u), m, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(fast.adjoint(dm), du, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(fast.kernel_gradient(u, dm), dkernel, rtol=1e-10, atol=1e-12)


def test_fresh_mix_keeps_the_variance():
    torch.manual_seed(0)
    m = DilatedMix(64, padding="circular")(torch.randn(1, 64, 32, 32))
    assert 0.8 < float(m.detach().std()) < 1.2


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.booleans(), st.integers(0, 2**31))
def test_squeeze_excitation_is_the_plain_one(h, w, channels, batched, seed):
    torch.manual_seed(seed)
    recalibrate = SqueezeExcitation(channels).double()
    m = torch.randn(2, channels, h, w, dtype=torch.float64)
    weights = torch.rand((2, h, w) if batched else (h, w), dtype=torch.float64)
    weights[weights < 0.3] = 0
    found = recalibrate(m, weights).detach().numpy()
    W1, W2 = (layer.weight.detach().numpy() for layer in (recalibrate.squeeze, recalibrate.excite))
    for sample in range(2):
        w_plain = weights.expand(2, h, w)[sample].numpy()
        expected = plain.squeeze_excitation(m[sample].numpy(), W1, W2, w_plain)
        np.testing.assert_allclose(found[sample], expected, rtol=1e-10, atol=1e-12)


def test_masked_points_carry_no_weight_in_the_mean():
    x, weights = torch.randn(1, 2, 3, 4), torch.rand(3, 4) + 0.1
    weights[1, 2] = 0
    before = masked_mean(x, weights)
    x[:, :, 1, 2] = 1e6
    assert torch.equal(masked_mean(x, weights), before)


def test_mean_without_weights_is_the_uniform_one():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(masked_mean(x, None), masked_mean(x, torch.full((4, 5), 7.0)))


def test_mean_over_no_point_is_zero():
    assert torch.equal(masked_mean(torch.randn(1, 2, 3, 4), torch.zeros(3, 4)), torch.zeros(1, 2))


@pytest.mark.parametrize(("kernel_size", "dilations"), [(2, (1,)), (0, (1,)), (3, ()), (3, (1, 0))])
def test_mix_refuses_what_has_no_centre_or_no_branch(kernel_size, dilations):
    with pytest.raises(UsageError):
        DilatedMix(3, kernel_size, dilations=dilations)
