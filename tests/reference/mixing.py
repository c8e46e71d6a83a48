"""Plain NumPy, float64, one grid at a time: `faconv_cli.nn.mechanisms.mixing` and `nn.padding`."""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def neighbour(u, y, x, padding):
    """The value (R,) of u (R, h, w) at (y, x), which may lie beyond the edge."""
    _, h, w = u.shape
    if padding == "circular":
        y %= h
    if padding in ("circular", "longitude"):
        x %= w
    return u[:, y, x] if 0 <= y < h and 0 <= x < w else np.zeros(len(u))


def dilated_mix(u, kernels, dilations, padding):
    """u (R, h, w), kernels (D, R, 1, k, k): m = sum of the depthwise branches."""
    R, h, w = u.shape
    k = kernels.shape[-1]
    m = np.zeros((R, h, w))
    for d, kernel in zip(dilations, kernels, strict=True):
        for y in range(h):
            for x in range(w):
                for j in range(k):
                    for i in range(k):
                        there = neighbour(u, y + d * (j - k // 2), x + d * (i - k // 2), padding)
                        m[:, y, x] += kernel[:, 0, j, i] * there
    return m


def weighted_mean(m, weights):
    """m (R, h, w), weights (h, w): mean (R,)."""
    total = weights.sum()
    return np.array([(channel * weights).sum() / total if total else 0.0 for channel in m])


def squeeze_excitation(m, W1, W2, weights):
    s = sigmoid(W2 @ np.maximum(W1 @ weighted_mean(m, weights), 0))
    return np.array([scale * channel for scale, channel in zip(s, m, strict=True)])
