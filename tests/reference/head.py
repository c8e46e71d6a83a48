"""The spatial patterns of the head in plain NumPy."""

import numpy as np


def spatial_patterns(h, x, on_h, on_x, area, bias):
    """e_t = sum over points of area P·[h ; x] + bias, everything given on the grid itself."""
    e = np.zeros((*x.shape[:2], len(bias)))
    for mode in range(len(bias)):
        for y in range(x.shape[-2]):
            for column in range(x.shape[-1]):
                e[..., mode] += area[y, column] * (x[..., y, column] @ on_x[mode, :, y, column])
                e[..., mode] += area[y, column] * (h[..., y, column] @ on_h[mode, :, y, column])
    return e + bias
