import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes import statistics
from faconv_cli.regimes.statistics import (
    consecutive_steps,
    cosine_silhouette,
    pair_scores,
    persistence,
    regime_means,
    seasonality,
    separation,
)
from tests.regimes.planted import days, planted


def plain_persistence(labels, consecutive, k):
    """The same as a loop: spells and moves, one step at a time."""
    steps, spells, moves = np.zeros(k), np.zeros(k), np.zeros((k, k))
    for t, label in enumerate(labels):
        if label < 1:
            continue
        steps[label - 1] += 1
        linked = t > 0 and consecutive[t - 1] and labels[t - 1] > 0
        if linked:
            moves[labels[t - 1] - 1, label - 1] += 1
        if not (linked and labels[t - 1] == label):
            spells[label - 1] += 1
    return steps, spells, moves


@given(st.data())
def test_spells_and_transitions_are_those_of_a_plain_loop(data):
    n = data.draw(st.integers(2, 60))
    labels = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)), np.int8)
    consecutive = np.array(data.draw(st.lists(st.booleans(), min_size=n - 1, max_size=n - 1)), bool)
    if (labels == -1).all():
        labels[0] = 1
    found = persistence(labels, consecutive, 3)
    steps, spells, moves = plain_persistence(labels, consecutive, 3)
    np.testing.assert_array_equal(found.steps, steps)
    np.testing.assert_array_equal(found.spells, spells)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.transition, moves / moves.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(found.mean_duration, steps / spells)
    np.testing.assert_allclose(found.share, steps / (labels >= 0).sum())


def test_nothing_runs_across_a_gap_in_time():
    labels = np.array([1, 1, 1, 2])
    whole = persistence(labels, np.array([True, True, True]), 2)
    cut = persistence(labels, np.array([True, False, True]), 2)
    assert (whole.spells[0], cut.spells[0]) == (1, 2)
    assert (whole.mean_duration[0], cut.mean_duration[0]) == (3, 1.5)
    np.testing.assert_allclose(whole.transition[0], [2 / 3, 1 / 3])
    np.testing.assert_allclose(cut.transition[0], [1 / 2, 1 / 2])


def test_persistence_of_a_markov_chain_is_found_again():
    rng = np.random.default_rng(0)
    labels = [1]
    for _ in range(20_000):
        labels.append(labels[-1] if rng.random() < 0.8 else 3 - labels[-1])
    found = persistence(np.array(labels), np.ones(20_000, bool), 2)
    np.testing.assert_allclose(found.persistence, 0.8, atol=0.01)
    np.testing.assert_allclose(found.mean_duration, 1 / (1 - 0.8), rtol=0.05)


def test_steps_on_both_sides_of_a_gap_are_not_consecutive():
    time = TimeAxis.from_values(np.concatenate([days(5), days(5, "2002-01-01"), days(4, "2003-01-01")]))
    np.testing.assert_array_equal(np.flatnonzero(~consecutive_steps(time)), [4, 9])


def test_seasonality_is_what_the_month_tells_beyond_chance():
    months = np.arange(600) // 30 % 12 + 1
    assert seasonality(np.where(months < 7, 1, 2), months) == pytest.approx(1)
    assert seasonality(np.random.default_rng(0).integers(0, 4, 600), months) == pytest.approx(0, abs=0.03)


def plain_pair_scores(x, codes):
    """UMBC's inter-cluster distance from the definition."""
    distances = cdist(x, x)
    names = np.unique(codes)
    matrix = [
        [
            distances[np.ix_(codes == a, codes == b)].max()
            if a == b
            else distances[np.ix_(codes == a, codes == b)].min()
            for b in names
        ]
        for a in names
    ]
    return silhouette_score(x, codes), np.mean(matrix)


@given(st.integers(2, 5), st.integers(1, 7), st.integers(0, 100))
def test_scores_from_pairs_are_those_of_their_definitions(k, modes, seed):
    rng = np.random.default_rng(seed)
    x, codes = rng.standard_normal((40, modes)), np.concatenate([np.arange(k), rng.integers(0, k, 40 - k)])
    np.testing.assert_allclose(pair_scores(x, codes), plain_pair_scores(x, codes), rtol=1e-6)


@given(st.integers(2, 5), st.integers(1, 7), st.integers(0, 100))
def test_cosine_silhouette_without_pairs_is_that_of_scikit_learn(k, modes, seed):
    rng = np.random.default_rng(seed)
    x, codes = rng.standard_normal((40, modes)), np.concatenate([np.arange(k), rng.integers(0, k, 40 - k)])
    expected = silhouette_score(x, codes, metric="cosine")
    np.testing.assert_allclose(cosine_silhouette(x, codes), expected, rtol=1e-6, atol=1e-9)


def test_cosine_silhouette_takes_a_zero_vector():
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    codes = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(cosine_silhouette(x, codes), silhouette_score(x, codes, metric="cosine"))


def test_pair_scores_do_not_depend_on_the_block_of_rows(monkeypatch):
    x, labels = planted()
    whole = pair_scores(x, labels)
    monkeypatch.setattr(statistics, "_BLOCK_BYTES", 8 * len(x) * 7)
    np.testing.assert_allclose(pair_scores(x, labels), whole, rtol=1e-9)


def test_rmse_is_the_mean_distance_to_the_own_centroid():
    x, labels = planted(2, 50)
    means = np.stack([x[labels == label].mean(axis=0) for label in (1, 2)])
    expected = np.sqrt(((x - means[labels - 1]) ** 2).sum() / len(x))
    assert separation(x, labels).rmse == pytest.approx(expected)


def test_planted_regimes_are_better_separated_than_shuffled_ones():
    x, labels = planted()
    own, shuffled = separation(x, labels), separation(x, np.random.default_rng(0).permutation(labels))
    assert own.silhouette > 0.6 > 0.1 > shuffled.silhouette
    assert own.silhouette_cosine > shuffled.silhouette_cosine
    assert own.davies_bouldin < shuffled.davies_bouldin
    assert own.calinski_harabasz > shuffled.calinski_harabasz
    assert own.rmse < shuffled.rmse


def test_long_records_are_scored_on_evenly_spaced_steps(monkeypatch):
    x, labels = planted(steps=900)
    whole = separation(x, labels)
    monkeypatch.setattr(statistics, "MAX_PAIR_WORK", 900**2 * 504 / 9)
    thinned = separation(x, labels)
    assert (whole.every, thinned.every) == (1, 3)
    assert thinned.silhouette == pytest.approx(whole.silhouette, abs=0.03)
    assert thinned.rmse == whole.rmse


def test_one_regime_has_no_separation():
    x, _ = planted()
    assert separation(x, np.ones(len(x))) is None
    assert separation(x[:3], np.arange(3)) is None


def test_an_index_made_of_the_regimes_is_explained_by_them():
    _, labels = planted(k=3)
    found = regime_means(labels, np.array([5.0, -1.0, 2.0])[labels - 1])
    np.testing.assert_allclose(found.mean, [5, -1, 2])
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-12)
    assert found.explained == pytest.approx(1)


def test_regime_means_leave_out_what_has_no_label_or_no_value():
    labels = np.array([1, 1, 1, 2, 2, 0, -1, 1])
    series = np.array([1.0, 2.0, 3.0, 10.0, 12.0, 99.0, 99.0, np.nan])
    found = regime_means(labels, series, k=3)
    np.testing.assert_array_equal(found.count, [3, 2, 0])
    np.testing.assert_allclose(found.mean, [2, 11, np.nan])
    np.testing.assert_allclose(found.standard_error, [1 / np.sqrt(3), 1, np.nan])
    used = series[:5]
    between = 3 * (2 - used.mean()) ** 2 + 2 * (11 - used.mean()) ** 2
    assert found.explained == pytest.approx(between / ((used - used.mean()) ** 2).sum())


def test_an_unrelated_index_is_hardly_explained():
    _, labels = planted(steps=5000)
    found = regime_means(labels, np.random.default_rng(1).standard_normal(5000))
    assert found.explained < 0.005
    assert np.isnan(regime_means(labels, np.ones(5000)).explained)
