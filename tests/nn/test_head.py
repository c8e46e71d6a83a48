import numpy as np
import pytest
import torch

from faconv_cli.nn.head import Advection, EofCoordinates, LeadCorrection, Subspace, Tendencies
from tests.reference import head as plain

f64 = {"dtype": torch.float64}


def _eofs(count=3, channels=2, nodes=(4, 5), lags=1, scale=1.0):
    torch.manual_seed(0)
    eofs = EofCoordinates(lags, count, channels, nodes).double()
    patterns, mean = torch.randn(lags, count, channels, *nodes, **f64), torch.randn(lags, count, **f64)
    eofs.start_from(patterns, mean, torch.randn(channels, *nodes, **f64), scale)
    return eofs


def _correction(leads=2, count=3, hidden=6, channels=2, patch=1):
    torch.manual_seed(1)
    correction = LeadCorrection(leads, count, hidden, channels, patch).double()
    for parameter in correction.parameters():
        torch.nn.init.normal_(parameter)
    return correction


def _numpy(*tensors):
    return (tensor.detach().numpy() for tensor in tensors)


def test_coordinates_equal_their_plain_sum(make_domain):
    domain, eofs = make_domain(4, 5, masked=0.3), _eofs()
    x = torch.randn(2, 3, 2, 4, 5, **f64)
    expected = plain.coordinates(*_numpy(x, eofs.on_x[0], domain.area, eofs.mean[0]))
    np.testing.assert_allclose(eofs(x, domain).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("lags", [1, 4])
def test_extended_coordinates_are_the_sum_of_their_lags(make_domain, lags):
    domain, eofs = make_domain(4, 5), _eofs(lags=lags)
    x = torch.randn(2, 7, 2, 4, 5, **f64)
    by_lag = [plain.coordinates(*_numpy(x, eofs.on_x[i], domain.area, eofs.mean[i])) for i in range(lags)]
    expected = np.zeros_like(by_lag[0])
    for t in range(7):
        for lag in range(min(lags, t + 1)):
            expected[:, t] += by_lag[lag][:, t - lag]
    np.testing.assert_allclose(eofs(x, domain).numpy(), expected, rtol=1e-10)


def test_the_scale_multiplies_the_coordinates_and_not_the_fields(make_domain):
    domain, one, two = make_domain(4, 5), _eofs(), _eofs(scale=3.0)
    x = torch.randn(1, 2, 2, 4, 5, **f64)
    torch.testing.assert_close(two(x, domain), 3 * one(x, domain))
    torch.testing.assert_close(two.fields(two(x, domain), domain), one.fields(one(x, domain), domain))


def test_coordinates_give_back_a_field_of_the_eofs(make_domain):
    domain = make_domain(4, 5)
    root = domain.area.sqrt()
    basis = torch.linalg.qr(torch.randn(20, 3, **f64))[0].T.view(3, 1, 4, 5) / root
    mean = torch.randn(1, 4, 5, **f64)
    eofs = EofCoordinates(1, 3, 1, (4, 5)).double()
    eofs.start_from(basis[None], torch.einsum("kcyx,cyx,yx->k", basis, mean, domain.area)[None], mean, 0.2)
    field = mean + torch.einsum("k,kcyx->cyx", torch.randn(3, **f64), basis)
    torch.testing.assert_close(eofs.fields(eofs(field[None, None], domain), domain)[0, 0], field)


@pytest.mark.parametrize("lags", [1, 2])
def test_the_sum_over_tiles_is_the_sum_over_the_whole(make_domain, lags):
    whole = make_domain(8, 16, (4, 6), periodic=True)
    tiled = make_domain(8, 16, (4, 6), tile=8, halo=2, periodic=True, multiple=2)
    eofs, correction = _eofs(nodes=(4, 6), lags=lags), _correction()
    h, x = torch.randn(1, 3, 6, 8, 16, **f64), torch.randn(1, 3, 2, 8, 16, **f64)
    assert tiled.tiles > 1
    torch.testing.assert_close(eofs.whole(x, tiled), eofs.whole(x, whole))
    patterns = eofs.on_x[0]
    parts = sum(correction(tiled.cut(h, i), patterns, tiled, i) for i in range(tiled.tiles))
    torch.testing.assert_close(parts, correction(h, patterns, whole))


def test_a_correction_equals_its_plain_sum(make_domain):
    domain, eofs, correction = make_domain(4, 5, masked=0.3), _eofs().on_x[0], _correction()
    h = torch.randn(2, 3, 6, 4, 5, **f64)
    expected = plain.correction(*_numpy(h, eofs, domain.area, correction.weight, correction.gain))
    np.testing.assert_allclose(correction(h, eofs, domain).detach().numpy(), expected, rtol=1e-10)


def test_a_correction_starts_at_nothing(make_domain):
    found = LeadCorrection(2, 3, 6, 2).double()(
        torch.randn(1, 2, 6, 4, 5, **f64), _eofs().on_x[0], make_domain(4, 5)
    )
    assert found.shape == (1, 2, 2, 3)
    assert not found.any()


def test_points_that_are_never_valid_carry_no_weight(make_domain):
    domain, eofs, correction = make_domain(4, 5, masked=0.5), _eofs(), _correction()
    h, x = torch.randn(1, 2, 6, 4, 5, **f64), torch.randn(1, 2, 2, 4, 5, **f64)
    masked = domain.area == 0
    assert masked.any()
    torch.testing.assert_close(eofs(x - 7 * masked, domain), eofs(x, domain))
    seen = correction(h + 9 * masked, eofs.on_x[0], domain)
    torch.testing.assert_close(seen, correction(h, eofs.on_x[0], domain))


def test_a_hidden_point_of_a_patch_has_the_area_of_its_points(make_domain):
    domain = make_domain(4, 6, (1, 1), multiple=2)
    correction, eof = _correction(1, 1, 1, 1, patch=2), torch.full((1, 1, 1, 1), 2.0, **f64)
    found = correction(torch.ones(1, 1, 1, 2, 3, **f64), eof, domain)
    torch.testing.assert_close(found.squeeze(), 2 * (correction.weight * correction.gain).squeeze())


def test_a_subspace_goes_forth_and_back():
    axes = torch.linalg.qr(torch.randn(6, 6, **f64))[0].view(6, 2, 3)
    weight, mean = torch.tensor([1.0, 2.5], **f64), torch.randn(2, 3, **f64)
    subspace = Subspace(6, 2, 3).double()
    subspace.start_from(axes, mean, weight)
    f = torch.randn(4, 2, 3, **f64)
    z = subspace(f) - subspace.centre()
    torch.testing.assert_close(subspace.inverse(z), f)
    one_distance, other = ((a[0] - a[1]) for a in (z, weight.sqrt()[:, None] * f))
    torch.testing.assert_close(one_distance.norm(), other.norm())


def test_the_first_modes_give_back_what_they_hold():
    axes = torch.linalg.qr(torch.randn(6, 6, **f64))[0].view(6, 2, 3)
    subspace = Subspace(6, 2, 3).double()
    subspace.start_from(axes, torch.zeros(2, 3, **f64), torch.ones(2, **f64))
    z = torch.randn(4, 6, **f64)
    z[:, 2:] = 0
    torch.testing.assert_close(subspace.inverse(z[:, :2]), subspace.inverse(z))


def test_each_change_adds_a_term_where_it_is_known():
    torch.manual_seed(0)
    tendencies, p = Tendencies(3, 4, 2), torch.randn(2, 5, 4)
    weights = [torch.randn(3, number + 1, 4, 4) for number in (1, 2)]
    tendencies.start_from(weights)
    known = torch.tensor([[False, True, True, True, True], [False, True, False, True, True]])
    d = torch.randn(2, 5, 4)
    told = tendencies(p, d, known)
    for row, step, terms in ((0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 2, 0), (1, 3, 1), (1, 4, 2)):
        state = [p[row, step], d[row, step], d[row, step - 1]]
        expected = sum(
            (torch.einsum("sk,lskj->lj", torch.stack(state[: number + 1]), weights[number - 1]))
            for number in range(1, terms + 1)
        )
        torch.testing.assert_close(told[row, step], expected if terms else torch.zeros(3, 4))


def test_products_are_of_the_coordinates_and_of_their_changes_within_the_range_of_training():
    torch.manual_seed(0)
    advection, p, change = Advection(2, 3), torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    q, d = p[0, 2], change[0, 2]
    products = [q[i] * q[j] for i in range(3) for j in range(i, 3)]
    products = torch.stack([*products, *(q[i] * d[j] for i in range(3) for j in range(3))])
    mean, weight = torch.randn(15), torch.randn(2, 15, 3)
    wide = torch.full((15,), 100.0)
    advection.start_from(mean, -wide, wide, weight)
    known = torch.tensor([[False, True, True, True]])
    told = advection(p, change, known)
    torch.testing.assert_close(told[0, 2], torch.einsum("m,lmk->lk", products - mean, weight))
    assert not told[0, 0].any()
    advection.start_from(mean, 0 * wide, 0 * wide, weight)
    torch.testing.assert_close(advection(p, change, known)[0, 2], torch.einsum("m,lmk->lk", -mean, weight))


def test_products_of_tiles_add_up_within_the_range_of_training():
    torch.manual_seed(0)
    advection, p, change = Advection(2, 3), torch.randn(1, 4, 2, 3), torch.randn(1, 4, 3)
    some, known = torch.full((15,), 0.3), torch.ones(1, 4, dtype=torch.bool)
    advection.start_from(torch.randn(15), -some, some, torch.randn(2, 15, 3))
    by_tile = advection.by_tile(p, change, known)
    assert by_tile.shape == (1, 4, 2, 2, 3)
    torch.testing.assert_close(by_tile.sum(2), advection(p.sum(2), change, known))
