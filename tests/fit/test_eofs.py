from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.config import RunConfig
from faconv_cli.errors import InputError
from faconv_cli.fit import eofs as module
from faconv_cli.fit.eofs import fit_eofs, regress
from faconv_cli.fit.prepare import prepare
from faconv_cli.network import build_domain
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.windows.dataset import WindowReader

SETTINGS = {"window": 12, "burn_in": 4, "validation": "0", "embedding": 4}
from faconv_cli.windows.layout import nodes_of


def _fit(cube, count=4, nodes=None, segments=None, **kept):
    prepared = prepare(cube, RunConfig.build(None, SETTINGS))
    grid, normalizer = cube.grid, prepared.normalizer
    domain = build_domain(prepared.config, grid, normalizer.valid)
    reader = WindowReader(cube, prepared.climatology, normalizer, grid.shape, 12, 2)
    segments = segments or prepared.split.training
    return (
        fit_eofs(
            reader,
            domain,
            nodes or nodes_of(prepared.config, grid.shape),
            segments,
            count=count,
            seed=0,
            **kept,
        ),
        reader,
        domain,
    )


def _of(components, scale=1.0, steps=None):
    """EOFs of which only the components are known, of steps that follow each other or of those given."""
    steps = np.arange(len(components)) if steps is None else steps
    changes, known = np.diff(components, axis=0, prepend=components[:1]), np.diff(steps, prepend=-9) == 1
    return module.Eofs(*[np.zeros(0)] * 3, scale, np.zeros(0), components, steps, changes, known)


def test_eofs_equal_a_plain_singular_value_decomposition(make_cube):
    cube = make_cube(land=0.3)
    eofs, reader, domain = _fit(cube)
    fields = reader.fields(0, 80).astype(np.float64)
    area = domain.area.double().numpy()
    weighted = (fields * np.sqrt(area)).reshape(80, -1)
    u, s, _ = np.linalg.svd(weighted - weighted.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(eofs.components), np.abs(u[:, :4] * s[:4]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(eofs.variance_share, (s**2 / (s**2).sum())[:4], rtol=1e-4)
    assert (weighted - weighted.mean(0)).var(0).sum() * eofs.scale**2 == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("shape", [(700, 600), (300, 200), (3000, 50)])
def test_modes_of_nearly_equal_variance_are_exact_whatever_the_seed(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (pca, components), (_, other) = (
        module._decompose(lambda: iter([matrix]), 0, 16, seed) for seed in (0, 1)
    )
    u, s, v = np.linalg.svd(matrix.astype(np.float64) - matrix.mean(0), full_matrices=False)
    np.testing.assert_allclose(components, other, atol=0.01)
    np.testing.assert_allclose(np.abs(components), np.abs(u * s)[:, :16], atol=0.01)
    np.testing.assert_allclose(np.abs(pca.components_), np.abs(v[:16]), atol=0.01)


def test_patterns_times_components_give_back_the_fields(make_cube):
    eofs, reader, _ = _fit(make_cube(noise=0.0), count=6)
    rebuilt = np.einsum("td,dcyx->tcyx", eofs.components, eofs.patterns[0]) + eofs.mean
    np.testing.assert_allclose(rebuilt, reader.fields(0, 80), atol=2e-3)


def test_as_many_eofs_are_kept_as_explain_the_share(make_cube):
    prepared, share = _fit(make_cube(), count=12)[0], 0.8
    enough = int(np.argmax(np.cumsum(prepared.variance_share) >= share)) + 1
    assert 1 < enough < 12
    kept, _, _ = _fit(make_cube(), count=12, share=share)
    assert kept.components.shape == (80, enough)
    assert kept.patterns.shape[1] == enough
    np.testing.assert_allclose(kept.components, prepared.components[:, :enough])
    assert _fit(make_cube(), count=12, share=share, least=enough + 3)[0].components.shape[1] == enough + 3


def test_patterns_may_have_fewer_nodes_than_the_grid_has_points(make_cube):
    eofs, _, _ = _fit(make_cube(noise=0.0))
    coarse, _, _ = _fit(make_cube(noise=0.0), nodes=(3, 8))
    assert coarse.patterns.shape == (1, 4, 2, 3, 8)
    assert eofs.patterns.shape == (1, 4, 2, 6, 8)
    assert np.isfinite(coarse.patterns).all()


def test_a_long_record_is_decomposed_in_a_stream_to_the_same_subspace(make_cube, monkeypatch):
    cube = make_cube(400, noise=0.05)
    exact, _, _ = _fit(cube)
    monkeypatch.setattr(module, "EXACT_NUMBERS", 1)
    streamed, _, _ = _fit(cube)
    for one, two in zip(exact.components.T, streamed.components.T, strict=True):
        assert abs(np.corrcoef(one, two)[0, 1]) > 0.999
    np.testing.assert_allclose(streamed.variance_share, exact.variance_share, rtol=0.02)


def test_the_propagator_of_many_pairs_is_that_of_the_process():
    rng = np.random.default_rng(0)
    truth = np.array([[0.8, 0.3], [-0.3, 0.8]])
    x = np.zeros((5000, 2))
    for t in range(1, 5000):
        x[t] = x[t - 1] @ truth + 0.1 * rng.normal(size=2)
    eofs = _of(x)
    np.testing.assert_allclose(eofs.propagator(1, [(0, 5000)]), truth, atol=0.03)
    np.testing.assert_allclose(eofs.propagator(2, [(0, 5000)]), truth @ truth, atol=0.05)


def test_the_propagator_of_components_that_stand_still_is_finite():
    still = _of(np.zeros((20, 2)))
    assert np.isfinite(still.propagator(1, [(0, 20)])).all()


def test_the_propagator_of_few_pairs_is_damped_persistence():
    x = np.random.default_rng(0).normal(size=(6, 4)) * [10, 5, 2, 1]
    eofs = _of(x, steps=np.array([0, 1, 10, 20, 30, 40]))
    propagator = eofs.propagator(1, [(0, 5)])
    assert np.abs(propagator - np.diag(np.diag(propagator))).max() < 0.3
    assert not eofs.propagator(1, [(10, 11)]).any() or np.isfinite(eofs.propagator(1, [(10, 11)])).all()


def test_more_eofs_than_the_data_can_carry_are_refused(make_cube):
    with pytest.raises(InputError, match=r"80 training steps of 12 valid numbers.*embedding of 14"):
        _fit(make_cube(shape=(2, 3)), count=14)


def test_tendencies_are_those_of_the_process():
    # x_t = x_{t-1} A + (x_{t-1} - x_{t-2}) B: the state alone leaves what the change tells
    rng = np.random.default_rng(0)
    a, b = np.array([[0.7, 0.0], [0.0, 0.6]]), np.array([[0.0, 0.5], [-0.5, 0.0]])
    x = np.zeros((4000, 2))
    for t in range(2, 4000):
        x[t] = x[t - 1] @ a + (x[t - 1] - x[t - 2]) @ b + 0.1 * rng.normal(size=2)
    eofs, run = _of(x), [(0, 4000)]
    propagator = eofs.propagator(1, run)
    terms = eofs.tendencies(1, run, propagator, 2)
    np.testing.assert_allclose(propagator + terms[0][0] + terms[1][0], a, atol=0.05)
    np.testing.assert_allclose(terms[0][1] + terms[1][1], b, atol=0.05)
    np.testing.assert_allclose(terms[1][2], 0, atol=0.05)


def test_products_tell_what_a_quadratic_process_does():
    rng = np.random.default_rng(0)
    x = np.zeros((3000, 2))
    for t in range(1, 3000):
        x[t, 0] = 0.5 * x[t - 1, 0] + rng.normal()
        x[t, 1] = 0.4 * x[t - 1, 0] ** 2 + 0.1 * rng.normal()
    x -= x.mean(0)
    eofs, run = _of(x, scale=2.0), [(0, 3000)]
    propagator = eofs.propagator(1, run)
    terms = eofs.tendencies(1, run, propagator, 2)
    # in units of the coordinates, 2 x: of (2 x)^2 a change of 2 * 0.4 x^2 is 0.2
    np.testing.assert_allclose(eofs.advection(1, run, propagator, terms)[0], [0, 0.2], atol=0.04)
    noise = _of(rng.normal(size=(3000, 2)))
    none = noise.tendencies(1, run, noise.propagator(1, run), 2)
    assert np.abs(noise.advection(1, run, noise.propagator(1, run), none)).max() < 0.05


def test_changes_are_over_the_points_that_both_steps_hold(make_cube):
    cube = make_cube(noise=0.1)
    fields = np.array(cube.fields)
    fields[10, :, :2], fields[20, :, 1:], fields[30] = np.nan, np.nan, np.nan
    eofs, reader, domain = _fit(replace(cube, fields=cube.fields.copy(data=fields)), compared=True)
    anomalies = reader.anomalies(0, 80).astype(np.float64)
    change = np.nan_to_num(np.diff(anomalies, axis=0, prepend=np.nan)) * domain.area.double().numpy()
    expected = np.einsum("tcyx,dcyx->td", change, eofs.patterns[0])
    np.testing.assert_allclose(eofs.changes, expected, atol=1e-5)
    plain = np.diff(eofs.components, axis=0)
    np.testing.assert_allclose(eofs.changes[1:10], plain[:9], atol=1e-4)
    assert np.abs(eofs.changes[10] - plain[9]).max() > 0.01
    # a step is compared with one that holds over half of its points
    assert np.flatnonzero(~eofs.known).tolist() == [0, 21, 30, 31]


def test_eofs_turned_towards_others_span_the_same_space(make_cube):
    cube = make_cube(noise=0.05)
    (ours, _, _), (other, _, _) = _fit(cube), _fit(cube, segments=((0, 70),))
    signs = np.array([1, -1, -1, 1])
    like = EofCoordinates(1, 4, *ours.patterns.shape[2:3], ours.patterns.shape[3:])
    swapped = other.patterns[:, [1, 0, 2, 3]] * signs[:, None, None, None]
    like.on_x.copy_(torch.from_numpy(swapped))
    turned = ours.turned_towards(like)
    for name in ("components", "changes"):
        one, two = getattr(turned, name), getattr(ours, name)
        np.testing.assert_allclose(one @ one.T, two @ two.T, atol=1e-4 * np.abs(two @ two.T).max())
    rebuilt = np.einsum("td,dcyx->tcyx", turned.components, turned.patterns[0])
    np.testing.assert_allclose(
        rebuilt, np.einsum("td,dcyx->tcyx", ours.components, ours.patterns[0]), atol=1e-4
    )
    for mode in range(2):  # which were swapped, one turned over; noise is in the others
        assert np.corrcoef(turned.patterns[0, mode].ravel(), swapped[0, mode].ravel())[0, 1] > 0.95


def test_no_change_is_seen_across_a_gap():
    x = np.random.default_rng(0).normal(size=(60, 2))
    eofs = _of(x)
    assert eofs._pairs(1, [(0, 20), (20, 60)], before=2)[0].tolist() == [*range(2, 19), *range(22, 59)]


def test_skill_is_the_variance_foretold():
    x = np.repeat(np.random.default_rng(0).normal(size=(50, 2)), 2, axis=0)
    one = _of(x - x.mean(0))
    assert one.skill(2, [(0, 100)], np.zeros((2, 2))) == 0
    assert 0.2 < one.skill(1, [(0, 100)], one.propagator(1, [(0, 100)])) < 0.7


def test_numbers_that_say_the_same_are_regressed_on_all_the_same():
    x = np.arange(1.0, 61.0)[:, None] * [1.0, 1.0] - 30.5
    np.testing.assert_allclose(x @ regress(x, 3 * x[:, :1], persist=False), 3 * x[:, :1], rtol=1e-6)
