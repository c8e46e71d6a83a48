import numpy as np
import torch

from faconv_cli.fit.subspace import PartMoments, fit_subspace
from faconv_cli.nn.encoder import SubspaceEncoder
from tests.reference.head import principal_subspace

WEIGHTS = np.array([1.0, 2.0, 0.5])


def _fitted(f, weights=WEIGHTS, embedding=4):
    encoder = SubspaceEncoder(None, 1, embedding, f.shape[2], (2, 2), f.shape[1] - 1).double()
    moments = PartMoments(*f.shape[1:])
    for block in np.array_split(f, 3):
        moments.add(block)
    fit_subspace(encoder, moments, weights)
    return encoder.subspace


def _parts(n=200, parts=3, count=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, parts * count)) @ rng.normal(size=(parts * count,) * 2) + 3


def test_canonical_coordinates_are_the_principal_components_of_all_parts():
    f = _parts().reshape(200, 3, 5)
    subspace = _fitted(f)
    z = (subspace(torch.from_numpy(f)) - subspace.centre()).numpy()
    scores, axes = principal_subspace(f, WEIGHTS, 4)
    np.testing.assert_allclose(np.abs(z), np.abs(scores), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        np.abs(subspace.axes.numpy().reshape(4, -1)), np.abs(axes), rtol=1e-6, atol=1e-8
    )


def test_modes_are_uncorrelated_and_ordered_and_their_sign_is_fixed():
    f = _parts().reshape(200, 3, 5)
    subspace = _fitted(f)
    z = subspace(torch.from_numpy(f)).numpy()
    covariance = np.cov(z.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8 * covariance.max())
    assert (np.diff(np.diag(covariance)) < 0).all()
    flat = subspace.axes.numpy().reshape(4, -1)
    assert (flat[np.arange(4), np.abs(flat).argmax(axis=1)] > 0).all()


def test_the_variances_of_modes_and_parts_are_kept():
    f = _parts().reshape(200, 3, 5)
    subspace = _fitted(f)
    z = subspace(torch.from_numpy(f)).numpy()
    np.testing.assert_allclose(subspace.variance.numpy(), z.var(axis=0))
    for part in range(3):
        np.testing.assert_allclose(subspace.covariance[part], np.cov(f[:, part].T, bias=True))


def test_distances_are_those_of_the_weighted_parts():
    f = _parts().reshape(200, 3, 5)
    subspace = _fitted(f, embedding=15)
    z = subspace(torch.from_numpy(f)).numpy()
    parts = (((f[0] - f[1]) ** 2).sum(axis=1) * WEIGHTS).sum()
    np.testing.assert_allclose(((z[0] - z[1]) ** 2).sum(), parts)


def test_the_first_modes_are_the_best_whatever_their_number():
    f = _parts().reshape(200, 3, 5)
    few, many = _fitted(f, embedding=2), _fitted(f, embedding=6)
    np.testing.assert_allclose(few.axes, many.axes[:2], atol=1e-10)
