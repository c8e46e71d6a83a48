import pytest
import torch

from faconv_cli import nn as layers
from faconv_cli.nn.forecaster import FieldNorm, Forecaster
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.plan import Tiles, plan_tiles

SHAPE = (8, 12)
NAMES = ["FAConvLSTM2d", "MinFAConvLSTM2d", "ConvLSTM2d", "ConvGRU2d", "MinConvGRU2d"]


def _domain(tiles: Tiles | None = None) -> Domain:
    tiles = tiles or plan_tiles(SHAPE, tile=None, halo=0, periodic=False)
    index = [tiles.index(number) for number in range(len(tiles))]
    return Domain(
        torch.full(SHAPE, 1 / 96.0),
        torch.arange(8.0),
        torch.arange(12.0),
        torch.zeros(*SHAPE, 5),
        torch.stack([torch.from_numpy(rows) for rows, _ in index]),
        torch.stack([torch.from_numpy(columns) for _, columns in index]),
        torch.from_numpy(tiles.blend()).float(),
        torch.zeros(0, *SHAPE),
    )


def _forecaster(name="MinConvGRU2d", *, channels=2, depth=2, patch=1, skip=True) -> Forecaster:
    torch.manual_seed(0)
    stack = [getattr(layers, name)(6, 6, padding="longitude") for _ in range(depth)]
    forecaster = Forecaster(stack, channels, patch=patch, skip=skip)
    torch.nn.init.normal_(forecaster.decoder.weight, std=0.3)
    return forecaster


def _fields(steps=7, seed=1):
    x = torch.randn(2, steps, 2, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return x, torch.ones_like(x, dtype=torch.bool)


@pytest.mark.parametrize(("skip", "expected"), [(True, "persistence"), (False, "climatology")])
def test_the_untrained_forecast_is_persistence_or_the_climatology(skip, expected):
    forecaster = Forecaster([layers.ConvGRU2d(6, 6)], 2, skip=skip)
    x, valid = _fields()
    forecast = forecaster(x, valid, 3, _domain())
    assert forecast.shape == (2, 10, 2, *SHAPE)
    last = x[:, -1:] if skip else torch.zeros_like(x[:, -1:])
    torch.testing.assert_close(forecast[:, 6:], last.expand(-1, 4, -1, -1, -1), msg=expected)


@pytest.mark.parametrize("name", NAMES)
def test_closed_loop_feeds_back_its_own_frames(name):
    forecaster, domain = _forecaster(name), _domain()
    x, valid = _fields()
    whole = forecaster(x, valid, 2, domain)
    fed = torch.cat([x, whole[:, 6:8]], dim=1)  # as if the forecasts had been observed
    given = forecaster(fed, torch.ones_like(fed, dtype=torch.bool), 0, domain)
    torch.testing.assert_close(whole, given, rtol=1e-5, atol=1e-5)


def test_a_teacher_forced_frame_sees_nothing_of_the_future():
    forecaster, domain = _forecaster(), _domain()
    x, valid = _fields()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = (forecaster(one, valid, 0, domain) for one in (x, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_gradients_reach_the_teacher_forced_steps_through_the_closed_loop():
    forecaster, domain = _forecaster("ConvLSTM2d"), _domain()
    x, valid = _fields()
    x.requires_grad_()
    forecaster(x, valid, 3, domain)[:, -1].sum().backward()
    assert x.grad[:, 0].abs().max() > 0


def test_points_missing_in_the_last_frame_are_fed_back_as_missing():
    forecaster, domain = _forecaster(), _domain()
    x, valid = _fields()
    valid[..., 0] = False
    x = x * valid
    forecast = forecaster(x, valid, 1, domain)
    fed = torch.cat([x, forecast[:, 6:7] * valid[:, -1:]], dim=1)
    given = forecaster(fed, torch.cat([valid, valid[:, -1:]], dim=1), 0, domain)
    torch.testing.assert_close(forecast, given, rtol=1e-5, atol=1e-5)


def _tiled_and_whole(forecaster):
    x, valid = _fields()
    tiles = plan_tiles(SHAPE, tile=10, halo=8, periodic=False)
    assert [x for _, x in tiles.origins] == [0, 2]
    return (forecaster(x, valid, 1, domain) for domain in (_domain(), _domain(tiles)))


def test_tiles_share_the_moments_of_the_norm():
    forecaster = Forecaster([layers.MinConvGRU2d(6, 6) for _ in range(2)], 2)
    torch.nn.init.normal_(forecaster.decoder.weight, std=0.3)
    with torch.no_grad():  # kernels that see one point only: tiles have no edges then
        for weight in forecaster.parameters():
            if weight.ndim == 4 and weight.shape[-1] == 3:
                centre = weight[..., 1:2, 1:2].clone()
                weight.zero_()[..., 1:2, 1:2] = centre
    whole, tiled = _tiled_and_whole(forecaster)
    torch.testing.assert_close(whole, tiled, rtol=1e-4, atol=1e-5)


def test_tiles_forecast_nearly_as_the_whole_grid_where_their_edges_are_out_of_sight():
    forecaster = Forecaster([layers.MinConvGRU2d(6, 6)], 2)  # one 3 x 3 kernel sees one cell
    torch.nn.init.normal_(forecaster.decoder.weight, std=0.3)
    whole, tiled = _tiled_and_whole(forecaster)
    inside = slice(3, 9)  # the norm sees the edges as well
    assert (whole - tiled)[..., inside].abs().max() < 0.1 * (whole - tiled).abs().max()
    assert not torch.allclose(whole, tiled)


def test_the_norm_is_free_of_the_size_of_the_grid_and_blind_to_masked_points():
    norm = FieldNorm(3)
    y, area = torch.randn(2, 4, 3, 5, 6), torch.rand(5, 6)
    area[0] = 0
    area /= area.sum()
    once = norm([y], [area])[0]
    moments = (once * area).sum((-2, -1)).mean(-1), (once.square() * area).sum((-2, -1)).mean(-1)
    torch.testing.assert_close(moments, (torch.zeros(2, 4), torch.ones(2, 4)), atol=1e-3, rtol=0)
    finer = norm([y.repeat_interleave(2, -1)], [area.repeat_interleave(2, -1) / 2])[0]
    torch.testing.assert_close(finer[..., ::2], once, rtol=1e-4, atol=1e-5)
    y[..., 0, :] = 1e3
    torch.testing.assert_close(norm([y], [area])[0][..., 1:, :], once[..., 1:, :])


@pytest.mark.parametrize("patch", [2, 4])
def test_a_patch_gives_frames_of_the_full_grid(patch):
    forecaster = _forecaster(patch=patch)
    x, valid = _fields()
    forecast = forecaster(x, valid, 2, _domain())
    assert forecast.shape == (2, 9, 2, *SHAPE)
    assert not torch.allclose(forecast[:, 6], x[:, 6])


def test_depth_and_skip_change_the_forecast():
    x, valid = _fields()
    domain = _domain()
    plain, deep, direct = (
        _forecaster(**options)(x, valid, 0, domain) for options in ({}, {"depth": 3}, {"skip": False})
    )
    assert not torch.allclose(plain, deep)
    torch.testing.assert_close(plain - x, direct, rtol=1e-4, atol=1e-5)
