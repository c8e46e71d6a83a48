import numpy as np
import pytest
import torch

from faconv_cli.fit.objective import Objective, Products, trusted
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch
from faconv_cli.windows.plan import Window

SHAPE = (4, 5)


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


class _Corrected(SubspaceEncoder):
    """A linear encoder whose correction is known: 0.1 at each lead and EOF."""

    def forward(self, *args, **kwargs):
        encoding = super().forward(*args, **kwargs)
        return encoding._replace(correction=torch.full_like(encoding.linear, 0.1))


@pytest.fixture
def encoder():
    torch.manual_seed(2)
    encoder = _Corrected(None, 2, 2, 3, SHAPE, 2)
    torch.nn.init.normal_(encoder.eofs.on_x)
    torch.nn.init.normal_(encoder.propagators)
    return encoder


def _batch(steps=11, windows=2, channels=2):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(windows, steps, channels, *SHAPE, generator=rng)
    spans = tuple(Window(0, 8, 3, 3, 11) for _ in range(windows))
    valid, phase = torch.ones_like(x, dtype=torch.bool), torch.zeros(windows, steps)
    return Batch(x, valid, phase, phase, spans)


def _objective(domain):
    return Objective((1, 3), 8, domain.area.sum().expand(2))


def test_the_products_are_those_of_the_counted_rows(encoder, domain):
    batch = _batch()
    found = _objective(domain)(encoder, batch, domain)
    p = torch.einsum("btcyx,kcyx,yx->btk", batch.x, encoder.eofs.on_x[0], domain.area).double().numpy()
    for number, lead in enumerate((1, 3)):
        linear = p[:, 3:8] @ encoder.propagators[number].double().numpy()
        rest = p[:, 3 + lead : 8 + lead] - linear
        came = p[:, 3 + lead : 8 + lead]
        expected = [(one * other).sum(-1).mean() for one, other in ((rest, rest), (0.1, rest), (came, came))]
        expected[2:2] = [3 * 0.01]
        expected.append(10)
        np.testing.assert_allclose([part[number] for part in found], expected, rtol=1e-4)


def test_a_target_is_compared_where_it_is_known(domain):
    torch.manual_seed(2)
    encoder = SubspaceEncoder(None, 2, 2, 3, SHAPE, 1, targets=1)
    torch.nn.init.normal_(encoder.eofs.on_x)
    torch.nn.init.normal_(encoder.propagators)
    truth, batch = torch.randn(30, 3), _batch()
    truth[16] = torch.nan
    spans = (Window(0, 8, 3, 3, 11), Window(12, 17, 15, 15, 20))
    batch = Batch(batch.x, batch.valid, batch.year_fraction, batch.day_fraction, spans)
    found = Objective((1,), 8, domain.area.sum().expand(2), (truth,))(encoder, batch, domain)
    p = torch.einsum("btcyx,kcyx,yx->btk", batch.x, encoder.eofs.on_x[0], domain.area)
    told = p @ encoder.propagators[1]
    rest = torch.cat([truth[3:8] - told[0, 3:8], truth[15:16] - told[1, 3:4]])
    assert found.rows.tolist() == [7, 6]
    torch.testing.assert_close(found.linear[1], (rest**2).sum(-1).mean())


def test_errors_and_confidence_are_those_of_least_squares():
    found = Products(
        *torch.tensor([[4.0, 4.0, 4.0], [2.0, -1.0, 9.0], [4.0, 4.0, 4.0], [6.0, 6.0, 6.0], [5.0, 5.0, 5.0]])
    )
    torch.testing.assert_close(found.confidence(), torch.tensor([0.5, 0.0, 1.0]))
    torch.testing.assert_close(found.errors(found.confidence()), torch.tensor([3.0, 4.0, -10.0]))
    assert not Products(*torch.zeros(5, 2)).confidence().any()


def test_a_correction_is_trusted_as_far_as_it_helps_in_both_halves():
    cross = torch.tensor([[2.0, 2.0, 1.0], [1.0, -1.0, -1.0], [1.0, -1.0, -1.0]])
    rows = torch.tensor([[50.0, 50.0, 50.0], [50.0, 50.0, 10.0], [50.0, 50.0, 10.0]])
    four = torch.full((3,), 4.0)
    parts = [Products(four, one, four, four, count) for one, count in zip(cross, rows, strict=True)]
    # the first half has two parts; of the third lead the second half is too short to say something
    found, confidence = trusted(parts)
    torch.testing.assert_close(found.cross, torch.tensor([4 / 3, 0.0, 3 / 7]))
    torch.testing.assert_close(confidence, torch.tensor([0.25, 0.0, 3 / 28]))


def test_rows_of_the_warm_up_do_not_count(encoder, domain):
    objective, batch = _objective(domain), _batch()
    before = objective(encoder, batch, domain).linear
    batch.x[:, :3] += 50
    torch.testing.assert_close(objective(encoder, batch, domain).linear, before)
    batch.x[:, 3] += 50
    assert (objective(encoder, batch, domain).linear > before + 10).all()


def test_a_field_with_little_of_it_is_no_target(encoder, domain):
    objective, batch = _objective(domain), _batch()
    batch.valid[:, 8:, 1] = False  # beyond the window: seen as targets alone
    found = objective(encoder, batch, domain)
    np.testing.assert_array_equal(found.rows, [8, 4])
    batch.x[:, 8:] += 50
    torch.testing.assert_close(objective(encoder, batch, domain).linear, found.linear)


def test_a_channel_with_values_at_few_points_is_measured_by_those(domain):
    few = torch.tensor([1.0, 0.2]) * domain.area.sum()
    encoder = SubspaceEncoder(None, 2, 2, 3, SHAPE, 2)
    batch = _batch()
    batch.valid[:, :, 1, :, 1:] = False
    assert (Objective((1, 3), 8, few)(encoder, batch, domain).rows == 10).all()
    assert (_objective(domain)(encoder, batch, domain).rows == 0).all()
