import numpy as np
import pytest
import torch

from faconv_cli.fit.objective import Objective
from faconv_cli.nn.decoder import PointDecoder
from faconv_cli.nn.domain import Domain
from faconv_cli.windows.dataset import Batch
from faconv_cli.windows.plan import Window

SHAPE = (4, 5)


class _Zero(torch.nn.Module):
    """An encoder that always gives zero: the decoded field is then that of the decoder's mean."""

    def forward(self, x, valid, year, day, domain):
        z = x.new_zeros(*x.shape[:2], 2)
        return type("Encoding", (), {"z": z})


@pytest.fixture
def domain():
    area = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) + 0.1
    area[0] = 0
    return Domain(
        area / area.sum(),
        torch.arange(4.0),
        torch.arange(5.0),
        torch.zeros(4, 5, 5),
        torch.arange(4)[None],
        torch.arange(5)[None],
        torch.ones(1, 4, 5),
        torch.zeros(0, 4, 5),
    )


def _batch(steps=9, windows=2, channels=2):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(windows, steps, channels, *SHAPE, generator=rng)
    spans = tuple(Window(0, 8, 3, 3, 9) for _ in range(windows))
    return Batch(
        x,
        torch.ones_like(x, dtype=torch.bool),
        torch.zeros(windows, steps),
        torch.zeros(windows, steps),
        spans,
    )


def _loss(batch, domain, targets=(0, 1), points=4000, seed=2):
    objective = Objective(targets, points, 8)
    decoder = PointDecoder(2, 2, len(targets), SHAPE, 5)
    return objective(_Zero(), decoder, batch, domain, torch.Generator().manual_seed(seed)).detach()


def test_the_loss_is_the_area_weighted_mean_square_of_the_counted_rows(domain):
    batch = _batch()
    area = domain.area.double().numpy()
    x = batch.x.double().numpy()
    expected = [((x[:, 3 + lead : 8 + lead] ** 2) * area).sum((3, 4)).mean((0, 1)).mean() for lead in (0, 1)]
    np.testing.assert_allclose(_loss(batch, domain).numpy(), expected, rtol=0.02)


def test_rows_of_the_warm_up_do_not_count(domain):
    batch = _batch()
    before = _loss(batch, domain, (0,))
    batch.x[:, :3] += 50
    assert torch.equal(_loss(batch, domain, (0,)), before)
    batch.x[:, 3] += 50
    assert _loss(batch, domain, (0,)) > before + 10


def test_missing_values_and_points_never_valid_do_not_count(domain):
    batch = _batch()
    before = _loss(batch, domain, (0,))
    batch.x[..., 0, :] += 50
    assert torch.equal(_loss(batch, domain, (0,)), before)
    batch.x[..., 2, 2] += 50
    batch.valid[..., 2, 2] = False
    assert _loss(batch, domain, (0,)) < 5


def test_channels_weigh_the_same_however_much_of_them_is_missing(domain):
    batch = _batch()
    batch.x[:, :, 0], batch.x[:, :, 1] = 2.0, 0.0
    batch.valid[:, :, 0, :, 1:] = False
    assert float(_loss(batch, domain, (0,))[0]) == pytest.approx(2.0)


def test_windows_that_fill_up_a_batch_do_not_count(domain):
    batch = _batch()
    batch.x[1] += 50
    alone = Batch(batch.x, batch.valid, batch.year_fraction, batch.day_fraction, batch.windows[:1])
    assert float(_loss(alone, domain, (0,))[0]) < 2


def test_more_points_estimate_the_loss_better(domain):
    batch = _batch()
    few, many = (
        [float(_loss(batch, domain, (0,), points, seed)[0]) for seed in range(20)] for points in (2, 200)
    )
    assert np.std(many) < np.std(few) / 3
