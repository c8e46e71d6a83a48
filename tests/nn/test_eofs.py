import numpy as np
import pytest
import torch

from faconv_cli.nn.domain import Domain
from faconv_cli.nn.eofs import EofEncoder, LaggedPatterns, LinearInverseModel
from faconv_cli.windows.plan import plan_tiles

SHAPE = (4, 6)


def _domain(tile=None):
    tiles = plan_tiles(SHAPE, tile=tile, halo=1, periodic=False)
    index = [tiles.index(number) for number in range(len(tiles))]
    area = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3))
    return Domain(
        area / area.sum(),
        torch.arange(4.0),
        torch.arange(6.0),
        torch.zeros(*SHAPE, 5),
        torch.stack([torch.from_numpy(rows) for rows, _ in index]),
        torch.stack([torch.from_numpy(columns) for _, columns in index]),
        torch.from_numpy(tiles.blend()).float(),
        torch.zeros(0, *SHAPE),
    )


def _patterns(lags, seed=0):
    torch.manual_seed(seed)
    patterns = LaggedPatterns(lags, 3, 2, SHAPE)
    patterns.start_from(torch.randn(lags, 3, 2, *SHAPE), torch.randn(lags, 3))
    return patterns


@pytest.mark.parametrize("lags", [1, 4])
def test_an_embedding_is_the_sum_of_its_lags(lags):
    patterns, domain = _patterns(lags), _domain()
    x = torch.randn(2, 7, 2, *SHAPE)
    P, mean, area = (t.detach().double().numpy() for t in (patterns.on_x, patterns.mean, domain.area))
    expected = np.zeros((2, 7, 3))
    for t in range(7):
        for lag in range(min(lags, t + 1)):
            expected[:, t] += (
                np.einsum("bcyx,dcyx,yx->bd", x[:, t - lag].double().numpy(), P[lag], area) - mean[lag]
            )
    np.testing.assert_allclose(patterns(x, domain).detach(), expected, rtol=1e-4, atol=1e-5)


def test_tiles_add_up_to_the_whole_grid():
    x = torch.randn(2, 5, 2, *SHAPE)
    phase, valid = torch.zeros(2, 5), torch.ones_like(x, dtype=torch.bool)
    encoder = EofEncoder(2, 3, 2, SHAPE)
    encoder.patterns = _patterns(2)
    whole, tiled = (encoder(x, valid, phase, phase, domain) for domain in (_domain(), _domain(tile=4)))
    assert tiled.tiles.shape[2] > 1
    torch.testing.assert_close(whole.z, tiled.z, rtol=1e-4, atol=1e-5)


def test_an_inverse_model_steps_its_components_on():
    torch.manual_seed(0)
    model, domain = LinearInverseModel(1, 3, 2, SHAPE), _domain()
    model.encoder.patterns = _patterns(1)
    A, Q = torch.randn(3, 3) / 2, torch.randn(2, 4, *SHAPE)
    model.decoder.start_from(Q, A)
    x = torch.randn(1, 4, 2, *SHAPE)
    forecast = model(x, torch.ones_like(x, dtype=torch.bool), 2, domain)
    z = model.encoder.patterns(x, domain)
    ahead = torch.cat([z @ A, z[:, -1:] @ A @ A, z[:, -1:] @ A @ A @ A], dim=1)
    expected = torch.einsum("btd,cdyx->btcyx", ahead, Q[:, :3]) + Q[:, 3]
    torch.testing.assert_close(forecast, expected, rtol=1e-4, atol=1e-5)
