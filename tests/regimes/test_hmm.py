import logging
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from faconv_cli.errors import CheckpointError, UsageError
from faconv_cli.regimes import hmm
from faconv_cli.regimes.analysis import assign_regimes, find_regimes
from faconv_cli.regimes.cluster import fit_regimes
from faconv_cli.regimes.hmm import Chain, Dynamics, choose_modes, fit_chain, follows_among, run_lengths
from faconv_cli.regimes.netcdf import read_known, write_regimes
from tests.regimes.planted import days, embedding, planted


def crossing(steps=600, modes=2, seed=0):
    """Two regimes with one centre: wide along the first mode or along the second."""
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.random(steps) < 0.1) % 2
    x = rng.standard_normal((steps, modes))
    x[:, :2] *= np.where(labels[:, None] == 0, [3, 0.5], [0.5, 3])
    return x, labels


@pytest.fixture
def chain():
    rng = np.random.default_rng(1)
    root = rng.standard_normal((3, 2, 2))
    return Chain(
        np.array([0.2, 0.3, 0.5]),
        np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
        rng.standard_normal((3, 2)),
        root @ root.transpose(0, 2, 1) + np.eye(2),
    )


def circling(steps=600, seed=0):
    """The same circle gone through one way or the other, around one centre."""
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.random(steps) < 0.1) % 2
    x = np.zeros((steps, 2))
    for step in range(1, steps):
        angle = 0.5 if labels[step] else -0.5
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        x[step] = 0.95 * turn @ x[step - 1] + 0.3 * rng.standard_normal(2)
    return x, labels


@pytest.fixture
def moving(chain):
    rng = np.random.default_rng(3)
    root = rng.standard_normal((3, 2, 2))
    dynamics = Dynamics(
        0.5 * rng.standard_normal((3, 2, 2)),
        rng.standard_normal((3, 2)),
        root @ root.transpose(0, 2, 1) + np.eye(2),
    )
    return replace(chain, dynamics=dynamics)


def forward_backward(chain, x):
    """Posterior (n, k) and log-likelihood of one run, by the definition."""
    density = np.array(
        [multivariate_normal(m, c).pdf(x) for m, c in zip(chain.means, chain.covariances, strict=True)]
    ).T
    if chain.dynamics is not None:
        for regime in range(len(chain.start)):
            a, b, q = (part[regime] for part in vars(chain.dynamics).values())
            for step in range(1, len(x)):
                density[step, regime] = multivariate_normal(b + a @ x[step - 1], q).pdf(x[step])
    forward, backward = [chain.start * density[0]], [np.ones(len(chain.start))]
    for row in density[1:]:
        forward.append(forward[-1] @ chain.transition * row)
    for row in density[:0:-1]:
        backward.append(chain.transition @ (row * backward[-1]))
    posterior = np.array(forward) * np.array(backward[::-1])
    return posterior / posterior.sum(axis=1, keepdims=True), np.log(forward[-1].sum())


@pytest.mark.parametrize("kind", ["chain", "moving"])
def test_probabilities_and_likelihood_are_those_of_forward_and_backward_sums(kind, request):
    chain = request.getfixturevalue(kind)
    x, follows = np.random.default_rng(2).standard_normal((12, 2)), np.ones(11, bool)
    posterior, likelihood = forward_backward(chain, x)
    np.testing.assert_allclose(chain.probabilities(x, follows), posterior, atol=1e-10)
    assert chain.log_likelihood(x, follows) == pytest.approx(likelihood)


@pytest.mark.parametrize("kind", ["chain", "moving"])
def test_nothing_is_known_across_a_gap(kind, request):
    chain = request.getfixturevalue(kind)
    x, follows = np.random.default_rng(2).standard_normal((12, 2)), np.arange(11) != 4
    parts = [forward_backward(chain, part) for part in (x[:5], x[5:])]
    np.testing.assert_allclose(
        chain.probabilities(x, follows), np.concatenate([posterior for posterior, _ in parts]), atol=1e-10
    )
    assert chain.log_likelihood(x, follows) == pytest.approx(sum(likelihood for _, likelihood in parts))


def test_runs_end_where_steps_do_not_follow():
    np.testing.assert_array_equal(run_lengths(np.array([True, False, True, True, False])), [2, 3, 1])
    np.testing.assert_array_equal(run_lengths(np.array([], bool)), [1])


def test_a_chosen_step_follows_only_its_own_neighbour():
    rows = np.array([True, True, False, True, True, True])
    follows = np.array([True, True, True, True, False])
    np.testing.assert_array_equal(follows_among(follows, rows), [True, False, True, False])


def test_regimes_that_share_a_centre_are_told_apart():
    x, labels = crossing()
    assert adjusted_rand_score(labels, fit_regimes("kmeans", x, 2, seed=0).labels) < 0.1
    found = fit_regimes("hmm", x, 2, seed=0)
    assert adjusted_rand_score(labels, found.labels) > 0.8
    np.testing.assert_allclose(np.diag(found.model.transition), 0.9, atol=0.04)
    np.testing.assert_allclose(found.model.expected_duration, 1 / (1 - np.diag(found.model.transition)))


def test_regimes_that_differ_in_motion_alone_are_told_by_the_autoregressive_kind():
    x, labels = circling()
    assert adjusted_rand_score(labels, fit_regimes("hmm", x, 2, seed=0, restarts=6).labels) < 0.1
    found = fit_regimes("hmm-ar", x, 2, seed=0, restarts=6)
    assert adjusted_rand_score(labels, found.labels) > 0.7
    sines = np.sort(found.model.coefficients[:, 1, 0])
    np.testing.assert_allclose(sines, 0.95 * np.sin([-0.5, 0.5]), atol=0.1)
    np.testing.assert_allclose(found.model.innovations, [0.09 * np.eye(2)] * 2, atol=0.03)


def test_one_regime_is_the_regression_of_steps_on_those_before_with_its_gaps(monkeypatch):
    """Without priors, EM of one autoregressive regime is least squares."""
    monkeypatch.setattr(hmm, "PRIOR_STEPS", 0.0)
    x, follows = circling(200)[0], np.arange(199) % 50 != 49
    found = fit_chain(x, 1, follows, seed=0, restarts=1, autoregressive=True)
    now, before = x[1:][follows], x[:-1][follows]
    fit = np.linalg.lstsq(np.column_stack([before, np.ones(len(before))]), now, rcond=None)[0]
    np.testing.assert_allclose(found.dynamics.coefficients[0], fit[:2].T, atol=1e-6)
    np.testing.assert_allclose(found.dynamics.intercept[0], fit[2], atol=1e-6)
    rest = now - before @ fit[:2] - fit[2]
    np.testing.assert_allclose(found.dynamics.innovations[0], rest.T @ rest / len(rest), atol=1e-6)


@pytest.mark.slow
def test_the_fit_counts_no_transition_across_gaps():
    """Steps that come in pairs from one regime: within them nothing ever changes."""
    x, labels = planted(k=2, steps=200, stay=0.0)
    x, labels = np.repeat(x, 2, axis=0), np.repeat(labels, 2)
    pairs = np.arange(len(x) - 1) % 2 == 0
    assert np.diag(fit_chain(x, 2, pairs, seed=0, restarts=4).transition).min() > 0.99
    assert np.diag(fit_chain(x, 2, pairs | True, seed=0, restarts=4).transition).min() < 0.9


def test_the_prior_on_staying_is_ten_counts():
    x, _ = planted(k=2, steps=60, stay=0.5, distance=20.0)
    found = fit_regimes("hmm", x, 2, seed=0)
    moves = np.zeros((2, 2))
    np.add.at(moves, (found.labels[:-1], found.labels[1:]), 1)
    moves += 10 * np.eye(2)
    np.testing.assert_allclose(found.model.transition, moves / moves.sum(axis=1, keepdims=True), atol=5e-3)


def test_the_same_seed_gives_the_same_numbers():
    x, _ = planted(k=3, distance=2.0)
    one, same = (fit_regimes("hmm", x, 3, seed=4).model for _ in range(2))
    for name in ("centroids", "covariances", "start", "transition"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))


def test_covariances_of_a_regime_with_fewer_steps_than_modes_can_be_inverted():
    x, _ = planted(k=2, steps=100, modes=12)
    found = fit_regimes("hmm", x, 8, seed=0, restarts=4)
    assert np.isfinite(np.linalg.cholesky(found.model.covariances)).all()


def test_scale_does_not_matter():
    x, _ = planted(k=3)
    small, large = (fit_regimes("hmm", x * scale, 3, seed=0, restarts=4).labels for scale in (1e-3, 1e3))
    assert adjusted_rand_score(small, large) == 1


def test_a_fit_that_stops_early_is_told(monkeypatch, caplog):
    monkeypatch.setattr(hmm, "MOST_STEPS", 2)
    with caplog.at_level(logging.WARNING, "faconv"):
        fit_regimes("hmm", np.random.default_rng(0).standard_normal((200, 2)), 3, seed=0, restarts=2)
    assert "had not converged after 2 steps" in caplog.text
    assert all(record.name == "faconv" for record in caplog.records)


@pytest.mark.slow
def test_held_out_steps_choose_the_modes_that_regimes_tell():
    x, _ = crossing(steps=400, modes=6)
    tried, scores = choose_modes(x, 2, np.ones(len(x) - 1, bool), seed=0)
    np.testing.assert_array_equal(tried, [2, 3, 4, 6])
    assert tried[scores.argmax()] == 2
    found = find_regimes(embedding(x), method="hmm", clusters=(2,))
    assert found.model.centroids.shape == (2, 2)
    assert (found.embedding_modes, found.embedding.values.shape[1]) == (6, 2)
    assert any(note.startswith("the first 2 modes, by the log-likelihood") for note in found.notes)


@pytest.mark.parametrize("autoregressive", [False, True])
@pytest.mark.slow
def test_scores_of_all_numbers_of_modes_are_of_all_modes(autoregressive):
    """One Gaussian everywhere (k = 1): whatever m, the density of all modes is the same."""
    x = np.random.default_rng(0).standard_normal((4000, 4)) @ np.diag([2, 1, 1, 0.1])
    follows = np.arange(len(x) - 1) % 100 != 99
    _, scores = choose_modes(x, 1, follows, seed=0, autoregressive=autoregressive)
    np.testing.assert_allclose(scores, scores[0], atol=5e-3)


@pytest.mark.parametrize("method", ["hmm", "hmm-ar"])
@pytest.mark.slow
def test_assigning_gives_the_labels_of_the_fit_with_cold_starts_and_gaps(tmp_path, method):
    x, _ = planted(k=3, distance=2.0, modes=5)
    x[40] = np.nan
    flag = np.where(np.arange(600) < 6, 1, 0)
    time = np.delete(days(640), slice(300, 340))
    fitted = find_regimes(embedding(x, time, flag), method=method, clusters=(3,), modes=3)
    write_regimes(tmp_path / "r.nc", fitted)
    known = read_known(tmp_path / "r.nc")
    found = assign_regimes(embedding(x, time, flag), known)
    np.testing.assert_array_equal(found.labels, fitted.labels)
    np.testing.assert_array_equal(found.probabilities, fitted.probabilities)
    assert (fitted.labels[:6] > 0).all()
    assert (known.embedding_modes, found.embedding_modes) == (5, 5)
    with pytest.raises(CheckpointError, match="3 modes"):
        assign_regimes(embedding(x[:, :3], time, flag), known)


def test_the_own_regime_is_the_most_probable():
    x, _ = planted(k=3, distance=2.0)
    found = find_regimes(embedding(x), method="hmm", clusters=(3,), modes=3)
    np.testing.assert_array_equal(found.probabilities.argmax(axis=1) + 1, found.labels)
    np.testing.assert_array_equal(found.probabilities.max(axis=1), found.probability)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("method", ["kmeans", "gmm", "ward"])
def test_modes_cut_the_embedding_for_every_method(method):
    x, _ = planted(k=3, modes=5, distance=3.0)
    cut = find_regimes(embedding(x), method=method, clusters=(3,), modes=2)
    alone = find_regimes(embedding(x[:, :2]), method=method, clusters=(3,))
    np.testing.assert_array_equal(cut.labels, alone.labels)
    np.testing.assert_array_equal(cut.model.centroids, alone.model.centroids)


def test_more_modes_than_there_are_are_refused():
    with pytest.raises(UsageError, match=r"--modes 5 is too many: planted\.nc has 4 modes"):
        find_regimes(embedding(planted()[0]), modes=5)


@pytest.mark.parametrize("method", ["hmm", "hmm-ar"])
def test_a_range_of_numbers_is_refused(method):
    with pytest.raises(UsageError, match=f"--method {method} was given with -k 2:4"):
        find_regimes(embedding(planted()[0]), method=method, clusters=(2, 3, 4))


@pytest.mark.slow
def test_the_file_has_the_chain_and_is_cf(tmp_path, assert_cf):
    found = find_regimes(embedding(planted(k=3)[0]), method="hmm-ar", clusters=(3,), modes=2)
    write_regimes(tmp_path / "r.nc", found)
    assert_cf(tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc") as file:
        np.testing.assert_array_equal(file["model_transition_probability"], found.model.transition)
        np.testing.assert_array_equal(file["model_start_probability"], found.model.start)
        np.testing.assert_array_equal(file["model_duration"], found.model.expected_duration)
        np.testing.assert_array_equal(file["regime_probabilities"].T, found.probabilities)
        assert file["centroid"].shape == (3, 2)
        assert file.attrs["faconv_embedding_modes"] == 4
        np.testing.assert_array_equal(file["model_coefficient"], found.model.coefficients)
        np.testing.assert_array_equal(file["model_intercept"], found.model.intercept)
        np.testing.assert_array_equal(file["model_innovation_covariance"], found.model.innovations)
