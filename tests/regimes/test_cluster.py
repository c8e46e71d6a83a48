import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from faconv_cli.errors import InputError
from faconv_cli.regimes import cluster
from faconv_cli.regimes.cluster import METHODS, NOISE, RegimeModel, by_frequency, fit_regimes
from tests.regimes.planted import planted


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_every_method_finds_planted_regimes(method):
    x, labels = planted(k=4, modes=5)
    fit = fit_regimes(method, x, 4, seed=0)
    kept = fit.labels != NOISE
    assert kept.mean() > 0.7
    assert adjusted_rand_score(labels[kept], fit.labels[kept]) > 0.99
    assert fit.model.centroids.shape == (4, 5)
    assert fit.model.method == method


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_labels_of_the_fit_are_what_the_model_says_of_the_same_steps(method):
    x, _ = planted(k=4, distance=2.0)
    fit = fit_regimes(method, x, 4, seed=0)
    np.testing.assert_array_equal(fit.model.predict(x), fit.labels)


@given(st.integers(1, 599), st.sampled_from(["kmeans", "gmm"]))
def test_labels_do_not_depend_on_how_steps_are_grouped(at, method):
    x, _ = planted(k=3, distance=3.0)
    model = _fitted(method)
    np.testing.assert_array_equal(
        np.concatenate([model.predict(x[:at]), model.predict(x[at:])]), model.predict(x)
    )


def _fitted(method, known={}):  # noqa: B006 - one fit for all examples
    if method not in known:
        known[method] = fit_regimes(method, planted(k=3, distance=3.0)[0], 3, seed=0).model
    return known[method]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_labels_do_not_depend_on_the_number_of_threads(method):
    x, _ = planted(k=4, steps=3000, modes=8, distance=6.0)
    with threadpool_limits(1):
        one = fit_regimes(method, x, 4, seed=3)
    with threadpool_limits(2):
        two = fit_regimes(method, x, 4, seed=3)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.model.centroids, two.model.centroids)


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_well_separated_regimes_do_not_depend_on_the_seed(method):
    x, _ = planted(k=4)
    ordered = []
    for seed in (0, 1):
        fit = fit_regimes(method, x, 4, seed=seed)
        order = by_frequency(fit.labels, 4)
        ordered.append(fit.model.reordered(order).predict(x))
    np.testing.assert_array_equal(*ordered)


def test_the_seed_decides_among_restarts():
    x = np.random.default_rng(0).standard_normal((500, 8))
    fits = [fit_regimes("kmeans", x, 7, seed=seed, restarts=1).model.centroids for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.allclose(np.sort(fits[0][:, 0]), np.sort(fits[2][:, 0]))


def test_more_restarts_are_no_worse():
    x = np.random.default_rng(0).standard_normal((500, 8))
    within = [
        (fit_regimes("kmeans", x, 7, seed=0, restarts=n).model.distances(x).min(axis=1) ** 2).sum()
        for n in (1, 20)
    ]
    assert within[1] < within[0]


def test_posterior_probabilities_are_those_of_scikit_learn():
    x, _ = planted(k=3, distance=2.0)
    mixture = GaussianMixture(3, random_state=0, n_init=2).fit(x)
    model = RegimeModel("gmm", mixture.means_, mixture.weights_, mixture.covariances_)
    np.testing.assert_allclose(model.probabilities(x), mixture.predict_proba(x), atol=1e-9)
    assert RegimeModel("kmeans", mixture.means_).probabilities(x) is None


def test_the_scale_of_the_embedding_does_not_matter_to_a_mixture():
    x, _ = planted(k=3)
    small, large = (fit_regimes("gmm", x * scale, 3, seed=0).labels for scale in (1e-6, 1e6))
    np.testing.assert_array_equal(small, large)


def test_a_mixture_that_does_not_converge_says_so(monkeypatch, caplog):
    def stop_early(self, x):
        import warnings

        self.max_iter = 1
        warnings.warn("no", ConvergenceWarning, stacklevel=1)
        return fit(self, x)

    fit = GaussianMixture.fit
    monkeypatch.setattr(GaussianMixture, "fit", stop_early)
    with caplog.at_level(logging.WARNING, "faconv"):
        fit_regimes("gmm", np.random.default_rng(0).standard_normal((300, 3)), 4, seed=0)
    assert "had not converged" in caplog.text


def test_a_long_record_builds_its_ward_tree_from_evenly_spaced_steps(monkeypatch):
    x, labels = planted(k=3)
    monkeypatch.setattr(cluster, "MAX_TREE_STEPS", 200)
    fit = fit_regimes("ward", x, 3, seed=0)
    assert len(fit.labels) == 600
    assert adjusted_rand_score(labels, fit.labels) > 0.99


def test_ward_minimises_the_variance_within():
    x, _ = planted(k=3, distance=3.0)
    fit = fit_regimes("ward", x, 3, seed=0)
    np.testing.assert_allclose(fit.model.centroids[1], x[fit.labels == 1].mean(axis=0))


def test_hdbscan_calls_the_sparse_steps_noise_and_says_how_sure_it_is():
    x, _ = planted(k=3)
    x = np.concatenate([x, np.random.default_rng(0).uniform(-40, 40, (30, 4))])
    fit = fit_regimes("hdbscan", x, 99, seed=0)
    assert len(fit.model.centroids) == 3
    assert (fit.labels[600:] == NOISE).mean() > 0.9
    assert (fit.strength[fit.labels == NOISE] == 0).all()
    assert fit.strength.max() == 1


def test_hdbscan_without_two_dense_regions_is_an_error():
    with pytest.raises(InputError, match="hdbscan does not find two dense regions"):
        fit_regimes("hdbscan", np.random.default_rng(0).standard_normal((300, 6)), 0, seed=0)


@given(st.lists(st.integers(-2, 4), min_size=1, max_size=40))
def test_regimes_are_ordered_by_frequency_and_ties_by_first_appearance(labels):
    labels = np.array(labels)
    order = by_frequency(labels, 5)
    counts = [int((labels == number).sum()) for number in order]
    first = [
        int(np.argmax(labels == number)) if count else 99 for number, count in zip(order, counts, strict=True)
    ]
    keys = list(zip([-count for count in counts], first, strict=True))
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert keys == sorted(keys)


def test_reordering_a_model_renames_its_labels_only():
    x, _ = planted(k=3)
    for method in ("kmeans", "gmm"):
        model = fit_regimes(method, x, 3, seed=0).model
        order = np.array([2, 0, 1])
        np.testing.assert_array_equal(order[model.reordered(order).predict(x)], model.predict(x))
