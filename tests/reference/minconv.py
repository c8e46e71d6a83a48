"""Plain NumPy, float64, one grid at a time: the MinConv cells of Horuz et al. 2025."""

import numpy as np

from tests.reference.convolution import convolve
from tests.reference.mixing import sigmoid


def g(v):
    return np.where(v >= 0, v + 0.5, sigmoid(v))


def gru(pre):
    k, v = np.split(pre, 2)
    z = sigmoid(k)
    return 1 - z, z * g(v)


def lstm(pre):
    f, i, v = np.split(pre, 3)
    forget = sigmoid(f) / (sigmoid(f) + sigmoid(i))
    return forget, (1 - forget) * g(v)


def exp_lstm(pre):
    f, i, v = np.split(pre, 3)
    forget = np.exp(f) / (np.exp(f) + np.exp(i))
    return forget, (1 - forget) * g(v)


def run(x, h, p, padding, cell):
    """x (t, C, h, w), h (F, h, w), p the parameters by name, cell one of the above: hidden states."""
    hs = []
    for x_t in x:
        a, b = cell(convolve(x_t, p["convolution.weight"], p["convolution.bias"], padding))
        h = a * h + b
        hs.append(h)
    return np.array(hs)
