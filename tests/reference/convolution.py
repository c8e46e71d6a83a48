"""Plain NumPy, float64: convolution of one grid."""

import numpy as np

from tests.reference.mixing import neighbour


def convolve(x, weight, bias, padding):
    """x (C, h, w), weight (F, C, k, k), bias (F,): (F, h, w), one point after the other."""
    _, height, width = x.shape
    k = weight.shape[-1]
    y = np.empty((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            y[:, row, column] = bias
            for j in range(k):
                for i in range(k):
                    there = neighbour(x, row + j - k // 2, column + i - k // 2, padding)
                    y[:, row, column] += weight[:, :, j, i] @ there
    return y
