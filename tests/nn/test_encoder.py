import pytest
import torch

from faconv_cli.nn.cells.faconvlstm import FAConvLSTM2d
from faconv_cli.nn.encoder import SubspaceEncoder, seen_channels
from faconv_cli.nn.mechanisms.seasonal import TemporalAttention

f64 = {"dtype": torch.float64}


def _encoder(
    channels=2, *, patch=1, nodes=(6, 8), span=3, padding="zeros", season=True, sub_daily=False, targets=0
):
    torch.manual_seed(0)
    seen = seen_channels(channels, 0, sub_daily=sub_daily)
    layer = FAConvLSTM2d(seen if patch == 1 else 4, 6, bottleneck=4, attention_every=2, padding=padding)
    encoder = SubspaceEncoder(
        layer,
        channels,
        4,
        6,
        nodes,
        2,
        TemporalAttention(6, 10 if sub_daily else 8, heads=2, span=span),
        targets=targets,
        season=season,
        sub_daily=sub_daily,
        patch=patch,
        stem=4,
    ).double()
    eofs, subspace = encoder.eofs, encoder.subspace
    fitted = [eofs.on_x, eofs.mean, encoder.propagators, subspace.axes, subspace.mean]
    for tensor in (*encoder.parameters(), *fitted):
        torch.nn.init.normal_(tensor, std=0.3)
    return encoder.eval()


def _window(b=2, t=6, c=2, h=6, w=8):
    torch.manual_seed(1)
    x = torch.randn(b, t, c, h, w, **f64)
    valid = torch.rand(b, t, c, h, w) > 0.1
    return x * valid, valid, torch.rand(b, t, **f64), torch.rand(b, t, **f64)


def test_an_embedding_does_not_see_the_future(make_domain):
    encoder, window, domain = _encoder(), _window(), make_domain(6, 8)
    before = encoder(*window, domain).z
    window[0][:, 4:] += 1
    after = encoder(*window, domain).z
    torch.testing.assert_close(after[:, :4], before[:, :4], rtol=0, atol=0)
    assert not torch.allclose(after[:, 4:], before[:, 4:])


def test_a_window_does_not_see_the_others_of_its_batch(make_domain):
    encoder, window, domain = _encoder(), _window(), make_domain(6, 8)
    whole = encoder(*window, domain).z
    window[0][0] *= -3
    torch.testing.assert_close(encoder(*window, domain).z[1], whole[1])


def test_untrained_the_embedding_is_the_linear_analysis(make_domain):
    encoder, domain, window = _encoder(), make_domain(6, 8), _window()
    torch.nn.init.zeros_(encoder.temporal.out.weight)
    torch.nn.init.zeros_(encoder.correction.weight)
    now = torch.einsum("btcyx,kcyx,yx->btk", window[0], encoder.eofs.on_x[0], domain.area)
    now = now - encoder.eofs.mean[0]
    parts = torch.stack([now, *(now @ A for A in encoder.propagators)], dim=2) - encoder.subspace.mean
    expected = torch.einsum("btpk,dpk->btd", parts, encoder.subspace.axes)
    encoding = encoder(*window, domain)
    torch.testing.assert_close(encoding.z, expected)
    assert not encoding.correction.any()


def test_a_lead_is_corrected_as_far_as_it_is_trusted(make_domain):
    encoder, domain, window = _encoder(), make_domain(6, 8), _window()
    encoder.confidence.copy_(torch.tensor([0.0, 0.25]))
    encoding = encoder(*window, domain)
    forecasts = encoder.forecasts(encoding)
    torch.testing.assert_close(forecasts[:, :, 0], encoding.linear[:, :, 0])
    torch.testing.assert_close(
        forecasts[:, :, 1], encoding.linear[:, :, 1] + 0.25 * encoding.correction[:, :, 1]
    )
    z = encoder.canonical(encoding.now, forecasts) - encoder.subspace.centre()
    torch.testing.assert_close(encoding.z, z)


def test_without_the_field_now_an_embedding_tells_the_leads_alone(make_domain):
    encoder, domain = SubspaceEncoder(None, 2, 3, 4, (6, 8), 2, now=False).double(), make_domain(6, 8)
    torch.nn.init.normal_(encoder.eofs.on_x)
    torch.nn.init.normal_(encoder.propagators)
    encoding = encoder(*_window(), domain)
    assert encoder.subspace.axes.shape == (3, 2, 4)
    torch.testing.assert_close(encoder.parts(encoding.now, encoding.linear), encoding.linear)


def test_a_target_is_told_of_the_state_and_of_what_the_network_adds_to_it(make_domain):
    domain, window, encoder = make_domain(6, 8), _window(), _encoder(targets=1)
    encoder.propagators[2, :, 2:] = 0  # a target of two numbers
    encoding = encoder(*window, domain)
    assert encoding.linear.shape[-2:] == (3, 6)
    assert not encoding.linear[:, :, 2, 2:].any()
    assert not encoding.correction[:, :, 2, 2:].any()
    torch.testing.assert_close(encoding.linear[:, :, 2], encoding.now @ encoder.propagators[2])
    told = encoding.correction[:, :, 2].clone()
    encoder.propagators[2] *= 3
    torch.testing.assert_close(encoder(*window, domain).correction[:, :, 2], 3 * told)
    assert told[..., :2].any()


def test_dropout_leaves_channels_out_in_training_alone(make_domain):
    domain, window, encoder = make_domain(6, 8), _window(), _encoder()
    encoder.drop.p = 0.5
    torch.testing.assert_close(encoder(*window, domain).z, encoder(*window, domain).z, rtol=0, atol=0)
    encoder.train()
    assert not torch.allclose(encoder(*window, domain).z, encoder(*window, domain).z)


def test_the_season_changes_the_embedding_unless_it_is_left_out(make_domain):
    domain, window = make_domain(6, 8), _window()
    moved = (*window[:2], (window[2] + 0.3) % 1, window[3])
    seasonal, blind = _encoder(), _encoder(season=False)
    assert not torch.allclose(seasonal(*window, domain).z, seasonal(*moved, domain).z)
    torch.testing.assert_close(blind(*window, domain).z, blind(*moved, domain).z)


def test_the_hour_of_the_day_counts_for_sub_daily_data_only(make_domain):
    domain, window = make_domain(6, 8), _window()
    moved = (*window[:3], (window[3] + 0.3) % 1)
    for encoder, same in ((_encoder(), True), (_encoder(sub_daily=True), False)):
        assert torch.allclose(encoder(*window, domain).z, encoder(*moved, domain).z) == same


def test_tiles_add_up_to_the_embedding_before_the_temporal_attention(make_domain):
    encoder = _encoder(nodes=(4, 4))
    torch.nn.init.zeros_(encoder.temporal.out.weight)
    domain = make_domain(8, 16, (4, 4), tile=8, halo=2)
    encoding = encoder(*_window(h=8, w=16), domain)
    assert encoding.tiles.shape == (2, 6, domain.tiles, 4)
    torch.testing.assert_close(encoding.tiles.sum(2) - encoder.subspace.centre(), encoding.z)


def test_missing_values_change_nothing_but_the_mask(make_domain):
    encoder, domain = _encoder(), make_domain(6, 8)
    x, valid, year, day = _window()
    changed = encoder(x, torch.ones_like(valid), year, day, domain).z
    assert not torch.allclose(changed, encoder(x, valid, year, day, domain).z)


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("tile", [None, 8])
def test_attention_maps_have_an_area_weighted_mean_of_one(make_domain, patch, tile):
    encoder = _encoder(patch=patch, nodes=(4, 4))
    domain = make_domain(8, 16, (4, 4), tile=tile, halo=2, masked=0.2, multiple=patch)
    queries = torch.tensor([[0, 1], [7, 15]])
    encoding = encoder(*_window(h=8, w=16), domain, attention=True, queries=queries)
    assert encoding.received.shape == (2, 3, 8, 16)
    assert encoding.teleconnection.shape == (2, 3, 2, 8, 16)
    for maps in (encoding.received, encoding.teleconnection):
        mean = (maps * domain.area).sum((-2, -1))
        torch.testing.assert_close(mean, torch.ones_like(mean))
        assert not maps[..., domain.area == 0].any()


def test_asking_for_maps_does_not_change_the_embedding(make_domain):
    encoder, domain, window = _encoder(), make_domain(6, 8), _window()
    torch.testing.assert_close(encoder(*window, domain, attention=True).z, encoder(*window, domain).z)


def test_the_globe_may_be_cut_anywhere(make_domain):
    encoder = _encoder(nodes=(1, 1), padding="longitude")
    domain = make_domain(6, 8, (1, 1), periodic=True)
    even = torch.full_like(domain.area, 1 / 48)
    here = torch.zeros_like(domain.coordinates)  # where a point lies would tell it
    domain = type(domain)(**{**vars(domain), "area": even, "coordinates": here})
    x, valid, year, day = _window()
    rolled = encoder(x.roll(3, -1), valid.roll(3, -1), year, day, domain).z
    torch.testing.assert_close(rolled, encoder(x, valid, year, day, domain).z)


def test_without_temporal_attention_there_are_no_weights(make_domain):
    encoder, window, domain = _encoder(), _window(), make_domain(6, 8)
    weights = encoder(*window, domain, attention=True).temporal
    assert weights.shape == (2, 6, 4)
    encoder.temporal = None
    assert encoder(*window, domain, attention=True).temporal is None
