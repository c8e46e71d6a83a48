"""The subspace head in plain NumPy, everything given on the grid itself."""

import numpy as np


def coordinates(x, eofs, area, mean):
    """p_t = sum over points of area E·x - mean: x (b, t, c, h, w), eofs (k, c, h, w)."""
    p = np.zeros((*x.shape[:2], len(eofs)))
    for mode, y, column in np.ndindex(len(eofs), *area.shape):
        p[..., mode] += area[y, column] * (x[..., y, column] @ eofs[mode, :, y, column])
    return p - mean


def correction(h, eofs, area, weight, gain):
    """c_l = gain_l * sum over points of area E·(W_l h): h (b, t, f, h, w), weight (l, c, f), gain (l, k)."""
    fields = np.einsum("lcf,btfyx->btlcyx", weight, h)
    return np.stack(
        [coordinates(fields[:, :, lead], eofs, area, 0.0) * gain[lead] for lead in range(len(weight))], axis=2
    )


def principal_subspace(f, weights, count):
    """Scores and axes of the weighted F (n, parts, k), by a singular value decomposition."""
    weighted = ((f - f.mean(axis=0)) * np.sqrt(weights)[:, None]).reshape(len(f), -1)
    u, s, axes = np.linalg.svd(weighted, full_matrices=False)
    return (u * s)[:, :count], axes[:count]
