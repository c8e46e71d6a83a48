"""Plain NumPy, float64, one sequence at a time: seasonal encoding and banded temporal attention."""

import numpy as np

from tests.reference.axial import softmax


def encoding(year_fraction, day_fraction, harmonics):
    """year_fraction (t,), day_fraction (t,) or None: features (t, n)."""
    columns = [np.sin(2 * np.pi * k * year_fraction) for k in range(1, harmonics + 1)]
    columns += [np.cos(2 * np.pi * k * year_fraction) for k in range(1, harmonics + 1)]
    if day_fraction is not None:
        columns += [np.sin(2 * np.pi * day_fraction), np.cos(2 * np.pi * day_fraction)]
    return np.stack(columns, -1)


def layer_norm(u, scale, shift):
    centred = u - u.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def temporal_attention(e, season, valid, p, heads, span, causal):
    """e (t, d), season (t, n), valid (t,), p the parameters by name: z (t, d) and weights (t, lag)."""
    t, d = e.shape
    size = d // heads
    u = layer_norm(
        np.where(valid[:, None], e, 0) + season @ p["season.weight"].T, p["norm.weight"], p["norm.bias"]
    )
    q, k, v = np.split(u @ p["qkv.weight"].T, 3, axis=1)
    lags = range(0 if causal else -span, span + 1)
    found, weights = np.zeros((t, d)), np.full((t, len(lags)), np.nan)
    for now in range(t):
        seen = [(n, now - lag) for n, lag in enumerate(lags) if 0 <= now - lag < t]
        weights[now, [n for n, _ in seen]] = 0
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.array([q[now, part] @ k[key, part] / np.sqrt(size) for _, key in seen])
            shares = softmax(scores, np.array([float(valid[key]) for _, key in seen]))
            for (n, key), share in zip(seen, shares, strict=True):
                weights[now, n] += share / heads
                found[now, part] += share * v[key, part]
    return e + found @ p["out.weight"].T, weights
