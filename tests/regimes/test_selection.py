import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import adjusted_rand_score

from faconv_cli.regimes import selection
from faconv_cli.regimes.rednoise import Surrogates
from faconv_cli.regimes.selection import Criterion, adjusted_rand, agreement, choose
from tests.regimes.planted import planted


@pytest.mark.parametrize(("method", "k"), [("kmeans", 3), ("kmeans", 5), ("gmm", 3), ("ward", 4)])
@pytest.mark.slow
def test_the_planted_number_of_regimes_is_chosen(method, k):
    x, _ = planted(k=k, modes=5, steps=400)
    found = choose(method, x, np.ones(len(x) - 1), tuple(range(2, k + 2)), seed=0)
    assert found.chosen == k
    assert found.significant
    np.testing.assert_array_equal(found.clusters, range(2, k + 2))


@pytest.mark.slow
def test_red_noise_is_not_taken_for_regimes():
    noise = Surrogates(planted(k=4, steps=300)[0], np.ones(299), 300)
    records = noise.draw(4, np.random.default_rng(5))
    found = [choose("kmeans", record, np.ones(299), (2, 3, 4), seed=0) for record in records]
    assert np.mean([one.skill for one in found]) < 0.1
    assert sum(one.significant for one in found) <= 1


def test_the_choice_is_the_same_for_the_same_seed_only():
    x, _ = planted(distance=1.0, steps=300)
    one, same, other = (choose("kmeans", x, np.ones(299), (2, 3), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.skill, same.skill)
    assert not np.allclose(one.skill, other.skill)


def test_skill_is_what_red_noise_leaves_to_gain():
    found = Criterion(np.array([2, 3]), np.array([0.8, 0.9]), np.array([0.8, 0.5]), 0.01)
    np.testing.assert_allclose(found.skill, [0, 0.8])
    assert (found.chosen, found.significant) == (3, True)


def test_of_two_numbers_as_reproducible_the_larger_is_chosen():
    noise = np.array([0.2, 0.4, 0.4, 0.4])
    found = Criterion(np.array([2, 3, 4, 5]), np.array([1, 0.8, 0.995, 0.9]), noise, 0.5)
    assert (found.chosen, found.significant) == (4, False)


def test_a_long_record_is_thinned(monkeypatch):
    seen = []
    monkeypatch.setattr(selection, "MAX_STEPS", 100)
    monkeypatch.setattr(selection, "agreement", lambda method, x, k, rng: seen.append(len(x)) or 0.5)
    choose("kmeans", np.random.default_rng(0).standard_normal((250, 3)), np.ones(249), (2, 3), seed=0)
    assert set(seen) == {84}


def test_the_record_is_ranked_among_its_surrogates_as_one_of_them():
    scores = np.array([[0.5, 0.1], [0.1, 0.9], [0.2, 0.2], [0.3, 0.3]])
    order = [selection._p_value(np.roll(scores, -n, axis=0), np.random.default_rng(0)) for n in range(4)]
    assert sorted(order) == [0.25, 0.5, 0.75, 1.0]
    assert order[1] == 0.25


def test_ties_are_broken_at_random():
    tied = np.ones((4, 2))
    found = {selection._p_value(tied, np.random.default_rng(seed)) for seed in range(40)}
    assert found == {0.25, 0.5, 0.75, 1.0}


@pytest.mark.slow
def test_the_p_value_of_red_noise_is_uniform():
    memory, scale = np.linspace(0.9, 0.4, 6), np.linspace(2, 0.5, 6)
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2100, 6))
        x[1:] *= np.sqrt(1 - memory**2)
        for step in range(1, len(x)):
            x[step] += memory * x[step - 1]
        found.append(choose("kmeans", scale * x[100:], np.ones(1999), (2, 3, 4), seed=seed).p_value)
    assert kstest(found, "uniform").pvalue > 0.05
    assert 0.4 < np.mean(found) < 0.6


def test_halves_of_clear_regimes_agree():
    x, _ = planted(k=3)
    rng = np.random.default_rng(0)
    assert agreement("kmeans", x, 3, rng) > 0.99
    assert agreement("kmeans", x, 6, rng) < 0.9


@given(st.data())
def test_adjusted_rand_index_is_that_of_scikit_learn(data):
    n = data.draw(st.integers(2, 40))
    one, other = (np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))) for _ in "ab")
    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))
