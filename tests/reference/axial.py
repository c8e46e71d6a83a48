"""Plain NumPy, float64, one grid at a time: axial attention and its maps from the full weights."""

import numpy as np


def softmax(scores, weights):
    """Shares of keys with scores (n,) that count by weights (n,); zeros where none counts."""
    if not weights.any():
        return np.zeros(len(scores))
    e = np.where(weights > 0, weights * np.exp(scores - scores[weights > 0].max()), 0)
    return e / e.sum()


def line(u, weights, qkv, out, heads):
    """u (n, R), weights (n,): what each point of a line gathers (n, R), and its mean shares (n, n)."""
    n, R = u.shape
    d = R // heads
    q, k, v = u @ qkv[:R].T, u @ qkv[R : 2 * R].T, u @ qkv[2 * R :].T
    gathered, mean_shares = np.zeros((n, R)), np.zeros((n, n))
    for e in range(heads):
        part = slice(e * d, (e + 1) * d)
        for here in range(n):
            scores = np.array([q[here, part] @ k[there, part] / np.sqrt(d) for there in range(n)])
            shares = softmax(scores, weights)
            mean_shares[here] += shares / heads
            for there in range(n):
                gathered[here, part] += shares[there] * v[there, part]
    return gathered @ out.T, mean_shares


def pooled(u, weights, pool):
    """u (h, w, R), weights (h, w): area-weighted block means and the blocks' weights."""
    if pool == 1:
        return u, weights
    h, w, R = u.shape
    blocks = (-(-h // pool), -(-w // pool))
    means, areas = np.zeros((*blocks, R)), np.zeros(blocks)
    for y in range(h):
        for x in range(w):
            means[y // pool, x // pool] += weights[y, x] * u[y, x]
            areas[y // pool, x // pool] += weights[y, x]
    return np.divide(means, areas[..., None], out=np.zeros_like(means), where=areas[..., None] > 0), areas


def axial(h, weights, p, heads, pool):
    """h (F, H, W), weights (H, W), p the parameters by name: the attended h, and the composed shares.

    The composed shares are W[y, x, y', x'] on the pooled grid.
    """
    u, area = pooled(np.einsum("fyx,rf->yxr", h, p["down.weight"]), weights, pool)
    H, W, _ = u.shape
    row, col = np.zeros_like(u), np.zeros_like(u)
    row_shares, col_shares = np.zeros((H, W, W)), np.zeros((W, H, H))
    for y in range(H):
        row[y], row_shares[y] = line(u[y], area[y], p["row.qkv.weight"], p["row.out.weight"], heads)
    for x in range(W):
        col[:, x], col_shares[x] = line(
            row[:, x], area[:, x], p["col.qkv.weight"], p["col.out.weight"], heads
        )
    composed = np.einsum("xyk,kxl->yxkl", col_shares, row_shares)
    answer = h.copy()
    for y in range(h.shape[1]):
        for x in range(h.shape[2]):
            answer[:, y, x] += p["gamma"] * (p["up.weight"] @ col[y // pool, x // pool])
    return answer, composed


def densities(composed, weights, queries, pool):
    """Received map (h, w) and teleconnection maps (q, h, w) from composed shares on the pooled grid."""
    _, areas = pooled(np.zeros((*weights.shape, 1)), weights, pool)
    areas = areas / areas.sum()

    def spread(mass):
        full = np.zeros(weights.shape)
        for y in range(weights.shape[0]):
            for x in range(weights.shape[1]):
                if weights[y, x] > 0:
                    full[y, x] = mass[y // pool, x // pool] / areas[y // pool, x // pool]
        return full

    received = spread(np.einsum("yx,yxkl->kl", areas, composed))
    return received, np.array([spread(composed[y // pool, x // pool]) for y, x in queries])
