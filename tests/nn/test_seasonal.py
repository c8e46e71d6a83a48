"""The seasonal encoding and the temporal attention against plain NumPy, and what they promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.mechanisms.seasonal import TemporalAttention, seasonal_encoding
from tests.reference import seasonal as plain


def trained(channels=6, features=4, **options):
    """An attention whose output projection has left its zero start."""
    torch.manual_seed(0)
    attention = TemporalAttention(channels, features, **options).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return attention


def sequence(b=2, t=9, channels=6, features=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(b, t, channels, dtype=torch.float64, generator=generator)
    return e, torch.randn(b, t, features, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("sub_daily", [True, False])
def test_encoding_is_the_plain_one(sub_daily):
    year = torch.rand(2, 5, dtype=torch.float64)
    day = torch.rand(2, 5, dtype=torch.float64) if sub_daily else None
    found = seasonal_encoding(year, day, harmonics=3)
    for sample in range(2):
        day_plain = day[sample].numpy() if sub_daily else None
        expected = plain.encoding(year[sample].numpy(), day_plain, 3)
        np.testing.assert_allclose(found[sample].numpy(), expected, rtol=1e-10, atol=1e-12)


def test_encoding_closes_the_year():
    ends = seasonal_encoding(torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    assert ends.shape == (1, 2, 8)
    torch.testing.assert_close(ends[:, 0], ends[:, 1])


@given(t=st.integers(1, 8), span=st.integers(0, 10), heads=st.sampled_from([1, 2, 3]), causal=st.booleans())
def test_attention_is_the_plain_one(t, span, heads, causal):
    attention = trained(heads=heads, span=span, causal=causal)
    e, season = sequence(t=t)
    valid = torch.rand(2, t, generator=torch.Generator().manual_seed(t)) > 0.3
    z, weights = attention.attend(e, season, valid)
    p = {name: value.numpy() for name, value in attention.state_dict().items()}
    for sample in range(2):
        expected = plain.temporal_attention(
            e[sample].numpy(), season[sample].numpy(), valid[sample].numpy(), p, heads, span, causal
        )
        np.testing.assert_allclose(z[sample].detach().numpy(), expected[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(weights[sample].detach().numpy(), expected[1], rtol=1e-10, atol=1e-12)


def test_untrained_attention_is_the_identity():
    e, season = sequence()
    assert torch.equal(TemporalAttention(6, 4).double()(e, season), e)


def test_later_steps_do_not_change_a_bit_of_earlier_rows():
    attention = trained(span=3)
    e, season = sequence()
    before = attention(e, season)
    e[:, 5:], season[:, 5:] = torch.nan, torch.nan
    assert torch.equal(attention(e, season)[:, :5], before[:, :5])


def test_two_sided_attention_sees_the_future():
    attention = trained(span=3, causal=False)
    e, season = sequence()
    before = attention(e, season)
    e[:, 5] *= -1
    changed = (attention(e, season) != before).any(-1)[0]
    assert changed.tolist() == [False, False, True, True, True, True, True, True, True]


def test_a_row_does_not_know_where_its_window_started_once_it_is_span_steps_past():
    attention = trained(span=3)
    e, season = sequence()
    whole, cut = attention(e, season), attention(e[:, 2:], season[:, 2:])
    torch.testing.assert_close(cut[:, 3:], whole[:, 5:])


def test_weights_are_nan_before_the_window_and_sum_to_one_within():
    _, weights = trained(span=3).attend(*sequence())
    assert weights.shape == (2, 9, 4)
    assert weights[0, :4].isnan().tolist() == [[lag > t for lag in range(4)] for t in range(4)]
    torch.testing.assert_close(weights.nansum(-1), torch.ones(2, 9, dtype=torch.float64))


def test_lag_axis_of_two_sided_attention_runs_from_future_to_past():
    attention = trained(span=2, causal=False)
    _, weights = attention.attend(*sequence())
    assert list(attention.lags) == [-2, -1, 0, 1, 2]
    assert weights[0, 0].isnan().tolist() == [False, False, False, True, True]
    assert weights[0, -1].isnan().tolist() == [True, True, False, False, False]


def test_missing_steps_are_not_attended_to():
    attention, (e, season) = trained(span=4), sequence()
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[:, 3] = False
    before, weights = attention.attend(e, season, valid)
    e[:, 3] = torch.nan
    e.requires_grad_()
    after = attention(e, season, valid)
    others = [0, 1, 2, 4, 5, 6, 7, 8]
    torch.testing.assert_close(after[:, others], before[:, others])
    assert weights[0, 5, 2] == 0
    after[:, others].sum().backward()
    assert e.grad is not None
    assert e.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_a_row_that_sees_nothing_keeps_its_embedding():
    attention, (e, season) = trained(span=2), sequence()
    z, weights = attention.attend(e, season, torch.zeros(2, 9, dtype=torch.bool))
    assert torch.equal(z, e)
    assert not weights.nan_to_num().any()


def test_gradients_are_right():
    attention, (e, season) = trained(span=2), sequence(b=1, t=4)
    valid = torch.tensor([[True, False, True, True]])
    assert torch.autograd.gradcheck(lambda e: attention(e, season, valid), (e.requires_grad_(),))


@pytest.mark.parametrize("options", [{"heads": 4}, {"heads": 0}, {"span": -1}])
def test_attention_refuses_what_has_no_meaning(options):
    with pytest.raises(UsageError):
        TemporalAttention(6, 4, **options)
