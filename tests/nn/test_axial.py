"""Axial attention and its maps against plain NumPy with the full weights."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.mechanisms import axial as axial_module
from faconv_cli.nn.mechanisms.axial import AxialAttention
from tests.reference import axial as plain


def trained(channels=5, bottleneck=4, *, heads=2, pool=1, seed=0):
    """An attention whose γ and keys have left their start."""
    torch.manual_seed(seed)
    attention = AxialAttention(channels, bottleneck, heads=heads, pool=pool).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return attention


def holed_weights(*shape, seed=0):
    """Areas with masked points, a masked row and a masked column."""
    weights = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.1
    weights[..., 0, :] = 0
    weights[..., :, -1] = 0
    weights[..., -1, 0] = 0
    return weights


def as_numpy(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("heads", "pool"), [(1, 1), (2, 1), (4, 1), (2, 2), (2, 3), (1, 9)])
@pytest.mark.parametrize("batched", [True, False])
def test_attention_and_maps_are_the_plain_ones(heads, pool, batched):
    attention = trained(heads=heads, pool=pool)
    h = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    weights = holed_weights(2, 6, 7) if batched else holed_weights(6, 7)
    queries = torch.tensor([[2, 3], [5, 1], [1, 6]])
    found = attention(h, weights).detach().numpy()
    received, teleconnection = attention.maps(h, weights, queries)
    for sample in range(2):
        w = weights.expand(2, 6, 7)[sample].numpy()
        expected, composed = plain.axial(h[sample].numpy(), w, as_numpy(attention), heads, pool)
        np.testing.assert_allclose(found[sample], expected, rtol=1e-10, atol=1e-12)
        maps = plain.densities(composed, w, queries.numpy(), pool)
        np.testing.assert_allclose(received[sample, 0].numpy(), maps[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(teleconnection[sample, 0].numpy(), maps[1], rtol=1e-10, atol=1e-12)


def test_long_lines_are_attended_to_as_short_ones_are(monkeypatch):
    attention, weights = trained(), holed_weights(6, 7)
    h = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    short, uniform = attention(h, weights), attention(h)
    monkeypatch.setattr(axial_module, "_SHORT_WEIGHTS", 0)
    torch.testing.assert_close(attention(h, weights), short)
    torch.testing.assert_close(attention(h), uniform)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**31))
def test_maps_are_densities(h, w, pool, seed):
    attention = trained(pool=pool, seed=seed)
    weights = torch.rand(h, w, dtype=torch.float64)
    weights[weights < 0.4] = 0
    weights[h // 2, w // 2] = 1
    y, x = torch.nonzero(weights, as_tuple=True)
    maps = attention.maps(torch.randn(1, 5, h, w, dtype=torch.float64), weights, torch.stack([y, x], -1))
    area = weights / weights.sum()
    one = torch.ones((), dtype=torch.float64)
    torch.testing.assert_close((maps.received * area).sum(), one)
    torch.testing.assert_close((maps.teleconnection * area).sum((-2, -1)), one.expand(1, 1, len(y)))
    averaged = torch.einsum("bnqhw,q->bnhw", maps.teleconnection, area[y, x])
    torch.testing.assert_close(averaged, maps.received)
    assert not maps.received[..., weights == 0].any()
    assert not maps.teleconnection[..., weights == 0].any()


@pytest.mark.parametrize("pool", [1, 2])
def test_masked_points_are_not_attended_to(pool):
    attention, weights = trained(pool=pool), holed_weights(6, 7)
    h = torch.randn(1, 5, 6, 7, dtype=torch.float64)
    before, maps = attention(h, weights), attention.maps(h, weights)
    h[:, :, weights == 0] = 1e3
    after = attention(h, weights)
    torch.testing.assert_close(after[..., weights > 0], before[..., weights > 0])
    torch.testing.assert_close(attention.maps(h, weights).received, maps.received)


def test_nothing_valid_changes_nothing_and_gives_no_nan():
    attention, weights = trained(), torch.zeros(4, 5)
    h = torch.randn(1, 5, 4, 5, dtype=torch.float64, requires_grad=True)
    answer = attention(h, weights)
    torch.testing.assert_close(answer, h)
    answer.sum().backward()
    assert h.grad is not None
    assert h.grad.isfinite().all()
    maps = attention.maps(h.detach(), weights, torch.tensor([[1, 1]]))
    assert not maps.received.any()
    assert not maps.teleconnection.any()


@pytest.mark.parametrize("pool", [1, 2])
def test_no_weights_are_uniform_weights(pool):
    attention, h = trained(pool=pool), torch.randn(2, 5, 5, 7, dtype=torch.float64)
    uniform = torch.full((5, 7), 0.3, dtype=torch.float64)
    torch.testing.assert_close(attention(h), attention(h, uniform))
    torch.testing.assert_close(attention.maps(h).received, attention.maps(h, uniform).received)
    assert attention.maps(h).teleconnection is None


@pytest.mark.parametrize(("pool", "shift"), [(1, 1), (1, 5), (2, 2), (3, 6)])
def test_rolling_the_globe_rolls_the_attention(pool, shift):
    attention, weights = trained(pool=pool), holed_weights(5, 12)
    h = torch.randn(1, 5, 5, 12, dtype=torch.float64)
    rolled_h, rolled_weights = h.roll(shift, -1), weights.roll(shift, -1)
    torch.testing.assert_close(attention(rolled_h, rolled_weights), attention(h, weights).roll(shift, -1))
    received = attention.maps(h, weights).received.roll(shift, -1)
    torch.testing.assert_close(attention.maps(rolled_h, rolled_weights).received, received)


def test_untrained_attention_is_the_identity():
    h = torch.randn(2, 5, 4, 6)
    assert torch.equal(AxialAttention(5, 4)(h), h)


def test_maps_do_not_depend_on_the_chunks(monkeypatch):
    attention, weights = trained(), holed_weights(6, 7)
    h = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    whole = attention.maps(h, weights)
    monkeypatch.setattr(axial_module, "_MAP_ELEMENTS", 150)
    torch.testing.assert_close(attention.maps(h, weights).received, whole.received)


def test_gradients_are_right():
    attention, weights = trained(3, 2, pool=2), holed_weights(3, 4)
    h = torch.randn(1, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: attention(h, weights), (h,))


@pytest.mark.parametrize("options", [{"heads": 3}, {"heads": 0}, {"pool": 0}])
def test_attention_refuses_what_has_no_meaning(options):
    with pytest.raises(UsageError):
        AxialAttention(5, 4, **options)
