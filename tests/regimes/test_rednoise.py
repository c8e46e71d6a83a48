import numpy as np
import pytest

from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.rednoise import Surrogates, steps_apart
from tests.regimes.planted import days


def autoregressive(steps, memory, scale, seed=0):
    rng = np.random.default_rng(seed)
    x = np.zeros((steps, len(memory)))
    for t in range(1, steps):
        x[t] = memory * x[t - 1] + rng.standard_normal(len(memory)) * scale
    return x


def lag_one(x, follows=None):
    follows = np.ones(len(x) - 1, bool) if follows is None else follows
    return [np.corrcoef(x[1:][follows, n], x[:-1][follows, n])[0, 1] for n in range(x.shape[1])]


def test_surrogates_have_the_covariance_and_memory_of_the_record():
    x = autoregressive(4000, np.array([0.9, 0.5, 0.0]), [1, 2, 3]) + 5
    noise = Surrogates(x, np.ones(3999), 4000).draw(10, np.random.default_rng(0))
    assert noise.shape == (10, 4000, 3)
    for one in noise:  # exactly: a sample that is more elongated is cut more reliably
        np.testing.assert_allclose(np.cov(one.T), np.cov(x.T), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(np.mean([lag_one(one) for one in noise], axis=0), lag_one(x), atol=0.05)


def test_memory_is_that_of_neighbours_and_fades_over_holes():
    """Winters of 90 days: the step from one to the next must not count as a day."""
    memory = np.array([0.9, 0.8])
    x = np.concatenate([autoregressive(190, memory, [1, 1], seed)[100:] for seed in range(40)])
    apart = np.ones(len(x) - 1)
    apart[89::90] = 276
    noise = Surrogates(x, apart, len(x))
    drawn = noise.draw(20, np.random.default_rng(0))
    inside = np.mean([lag_one(one, apart == 1) for one in drawn], axis=0)
    np.testing.assert_allclose(sorted(inside), sorted(memory), atol=0.03)
    np.testing.assert_allclose(np.mean([lag_one(one, apart > 1) for one in drawn], axis=0), 0, atol=0.15)
    assert noise.follows.sum() == 40 * 89


def test_a_long_record_is_thinned_with_the_memory_of_its_longer_steps():
    x = autoregressive(4000, np.array([0.9, 0.7]), [1, 1])
    noise = Surrogates(x, np.ones(3999), 1000)
    assert noise.x.shape == (1000, 2)
    assert noise.follows.all()
    drawn = noise.draw(20, np.random.default_rng(0))
    found = np.mean([lag_one(one) for one in drawn], axis=0)
    np.testing.assert_allclose(sorted(found), [0.7**4, 0.9**4], atol=0.06)


def test_white_noise_and_records_without_neighbours_have_no_memory():
    x = np.random.default_rng(0).standard_normal((200, 2))
    drawn = Surrogates(x, np.full(199, 5.0), 200).draw(20, np.random.default_rng(0))
    np.testing.assert_allclose(np.mean([lag_one(one) for one in drawn], axis=0), 0, atol=0.05)


def test_steps_apart_count_left_out_steps_and_the_length_of_gaps():
    stamps = np.concatenate([days(10), days(5, "2001-06-01")])
    time = TimeAxis.from_values(stamps)
    rows = np.array([0, 1, 4, 9, 10, 12])
    across = (np.datetime64("2001-06-01") - stamps[9].astype("datetime64[D]")).astype(int)
    np.testing.assert_allclose(steps_apart(time, rows), [1, 3, 5, across, 2])


def test_steps_apart_of_numbered_steps():
    time = TimeAxis.from_values(np.array([0.0, 2, 4, 6, 20, 22]))
    np.testing.assert_allclose(steps_apart(time, np.arange(6)), [1, 1, 1, 7, 1])


@pytest.mark.parametrize("steps", [3, 5])
def test_very_short_records_have_surrogates(steps):
    x = np.random.default_rng(0).standard_normal((steps, 4))
    drawn = Surrogates(x, np.ones(steps - 1), 100).draw(2, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
