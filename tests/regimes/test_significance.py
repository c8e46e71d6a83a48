import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_ind

from faconv_cli.regimes import significance
from faconv_cli.regimes.significance import (
    RedNoiseRegimes,
    Sample,
    false_discovery,
    memory_of,
    red_noise_regimes,
    spells_of,
    surrogate_test,
    t_test,
)


def test_false_discovery_is_that_of_scipy_and_leaves_gaps():
    p_value = np.random.default_rng(0).random((5, 7)) ** 3
    p_value[1, 2] = p_value[4, 4] = np.nan
    adjusted = false_discovery(p_value)
    known = np.isfinite(p_value)
    np.testing.assert_array_equal(np.isfinite(adjusted), known)
    np.testing.assert_allclose(adjusted[known], false_discovery_control(p_value[known]))
    assert np.isnan(false_discovery(np.full(3, np.nan))).all()


def test_spells_end_where_the_label_changes_or_time_has_a_hole():
    labels = np.array([0, 0, 1, 1, 1, 0, 0])
    follows = np.array([True, True, True, False, True, True])
    np.testing.assert_array_equal(spells_of(labels, follows, 3), [2, 2, 0])


def test_a_t_test_of_two_groups_is_that_of_scipy():
    one, other = np.random.default_rng(0).standard_normal((2, 20, 5))
    both = np.concatenate([one, other])
    anomaly = np.stack([one.mean(axis=0), other.mean(axis=0)]) - both.mean(axis=0)
    variance = (
        ((one - one.mean(axis=0)) ** 2).sum(axis=0) + ((other - other.mean(axis=0)) ** 2).sum(axis=0)
    ) / 38
    found = t_test(anomaly, variance, np.full((2, 5), 1 / 20 - 1 / 40), np.full(5, 38))
    np.testing.assert_allclose(found, [ttest_ind(one, other).pvalue] * 2)


def test_the_variance_of_means_is_that_of_all_pairs_of_steps():
    rng = np.random.default_rng(0)
    labels, apart = rng.integers(0, 3, 40), np.where(rng.random(39) < 0.1, 7.0, 1.0)
    sample = Sample.of(labels, apart, 2)
    place = np.concatenate([[0], np.cumsum(apart)])
    for number, memory in enumerate(sample.memory):
        correlation = memory ** np.abs(place[:, None] - place)
        for regime in (1, 2):
            weight = (labels == regime) / (labels == regime).sum() - 1 / 40
            assert sample.spread[regime - 1, number] == pytest.approx(weight @ correlation @ weight)
        assert sample.independent[number] == pytest.approx(40**2 / correlation.sum())


def test_the_memory_of_red_noise_is_found_and_that_of_white_noise_is_none():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 200))
    for step in range(1, 600):
        x[step, :100] = 0.9 * x[step - 1, :100] + np.sqrt(1 - 0.81) * x[step, :100]
    x -= x.mean(axis=0)
    sums = (x[1:] * x[:-1]).sum(axis=0), np.full(200, 599), (x**2).sum(axis=0), np.full(200, 600)
    found = memory_of(*sums)
    assert found[:100].mean() == pytest.approx(0.9, abs=0.01)
    assert (found[100:] == 0).mean() > 0.9


def test_the_p_value_counts_regimes_of_noise_with_as_large_an_anomaly(monkeypatch):
    monkeypatch.setattr(significance, "_NUMBERS_AT_ONCE", 8)  # few points at once
    rng = np.random.default_rng(0)
    null = RedNoiseRegimes(rng.standard_normal((8, 3)), rng.standard_normal(8))
    anomaly, loadings, rest = rng.standard_normal((2, 5)), rng.standard_normal((3, 5)), rng.random(5)
    anomaly[1, 3], rest[4] = np.nan, np.nan
    found = surrogate_test(anomaly, loadings, rest, null)
    for k, p in np.ndindex(2, 5):
        noise = [abs(c @ loadings[:, p] + r * rest[p]) for c, r in zip(null.centres, null.rest, strict=True)]
        if (k, p) == (1, 3) or p == 4:
            assert np.isnan(found[k, p])
        else:
            assert found[k, p] == pytest.approx((1 + sum(n >= abs(anomaly[k, p]) for n in noise)) / 9)


@pytest.mark.parametrize("method", ["kmeans", "gmm", "hmm", "ward"])
def test_regimes_of_noise_are_found_in_the_same_way_and_the_same_for_a_seed(method, monkeypatch):
    monkeypatch.setattr(significance, "SURROGATES", 4)
    x = np.random.default_rng(0).standard_normal((300, 3)) * [3, 1, 1]
    one, same, other = (red_noise_regimes(method, x, np.ones(299), 3, seed=seed) for seed in (0, 0, 1))
    assert one.centres.shape == (12, 3)
    np.testing.assert_array_equal(one.centres, same.centres)
    assert not np.allclose(one.centres, other.centres)
    assert np.abs(one.centres[:, 0]).max() > 2  # cut along the widest direction
