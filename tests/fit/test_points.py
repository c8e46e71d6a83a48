import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.fit.points import draw_points
from faconv_cli.nn.domain import Domain


def _domain(area):
    h, w = area.shape
    return Domain(
        torch.from_numpy(area / area.sum()).float(),
        torch.arange(float(h)),
        torch.arange(float(w)),
        torch.zeros(h, w, 5),
        torch.arange(h)[None],
        torch.arange(w)[None],
        torch.ones(1, h, w),
        torch.zeros(0, h, w),
    )


def _area(seed, h=6, w=7, land=0.3):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 3, (h, w)) * (rng.uniform(size=(h, w)) > land)


@given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 4))
def test_no_point_is_drawn_twice_and_none_that_is_never_valid(seed, count, windows):
    area = _area(seed)
    sample = draw_points(_domain(area), count, windows, torch.Generator().manual_seed(seed))
    valid = np.flatnonzero(area)
    for row in sample.points.numpy():
        assert len(set(row)) == len(row) == min(count, len(valid))
        assert set(row) <= set(valid)


def test_where_as_many_are_asked_for_as_there_are_all_are_taken_by_area():
    area = _area(1)
    sample = draw_points(_domain(area), 500, 3, torch.Generator())
    assert sample.points.shape == (1, np.count_nonzero(area))
    weights = sample.weights[0].numpy()
    np.testing.assert_allclose(weights / weights.sum(), area[area > 0] / area.sum(), rtol=1e-5)


@pytest.mark.parametrize("count", [3, 12, 20])
def test_the_weighted_mean_over_the_sample_is_the_area_mean_on_average(count):
    area = _area(2)
    area[0, 0] = 12  # would be drawn more than once, if it could
    field = torch.from_numpy(np.random.default_rng(3).normal(size=area.size))
    domain, generator = _domain(area), torch.Generator().manual_seed(0)
    sample = draw_points(domain, count, 4000, generator)
    sums = (field[sample.points] * sample.weights).sum(1).numpy() / count
    expected = float((field * torch.from_numpy(area.ravel() / area.sum())).sum())
    assert abs(sums.mean() - expected) < 4 * sums.std() / np.sqrt(len(sums))


def test_each_window_has_points_of_its_own_by_the_generator():
    domain = _domain(_area(3))
    one, two = (draw_points(domain, 5, 2, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one.points, two.points)
    assert not torch.equal(one.points[0], one.points[1])
