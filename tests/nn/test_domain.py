import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.nn.mechanisms.domain import interpolate, node_basis, pool_sum


@given(st.integers(1, 12), st.integers(1, 12))
def test_the_basis_is_linear_interpolation(nodes, points):
    place = np.linspace(0, nodes - 1, points)
    values = np.random.default_rng(0).normal(size=nodes)
    basis = node_basis(torch.from_numpy(place), nodes).numpy()
    np.testing.assert_allclose(basis @ values, np.interp(place, np.arange(nodes), values), atol=1e-12)


def test_beyond_the_last_node_of_a_closed_circle_comes_the_first():
    basis = node_basis(torch.tensor([3.25], dtype=torch.float64), 4)
    np.testing.assert_allclose(basis[0].numpy(), [0.25, 0, 0, 0.75])


def test_patterns_given_on_the_grid_are_not_changed(make_domain):
    patterns = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    assert torch.equal(interpolate(patterns, make_domain(5, 7)), patterns)


def test_patterns_on_patches_are_the_means_of_their_points(make_domain):
    domain = make_domain(6, 8, (3, 5), multiple=2)
    patterns = torch.randn(2, 3, 5, dtype=torch.float64)
    fine = interpolate(patterns, domain)
    expected = fine.unflatten(-1, (4, 2)).unflatten(-3, (3, 2)).mean((-1, -3))
    torch.testing.assert_close(interpolate(patterns, domain, 2), expected)


def test_a_domain_moves_to_a_device_whole(make_domain):
    moved = make_domain(3, 4).to(torch.device("cpu"))
    assert moved.shape == (3, 4)
    assert moved.tiles == 1


def test_areas_add_up_over_patches(make_domain):
    area = make_domain(4, 6).area
    assert float(pool_sum(area[None], 2).sum()) == pytest.approx(1.0)
    assert pool_sum(area[None], 2).shape == (1, 2, 3)
