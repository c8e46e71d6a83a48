"""Plain NumPy, float64, one grid at a time: ConvGRU from the equations of Ballas et al. 2016."""

import numpy as np

from tests.reference.convolution import convolve
from tests.reference.mixing import sigmoid


def run(x, h, p, padding):
    """x (t, C, h, w), h (F, h, w), p the parameters by name: hidden states."""
    weight = np.concatenate([p["input_weight"], p["recurrent_weight"]], 1)
    (Wz, Wr, Wn), (bz, br, bn) = np.split(weight, 3), np.split(p["bias"], 3)
    hs = []
    for x_t in x:
        z = sigmoid(convolve(np.concatenate([x_t, h]), Wz, bz, padding))
        r = sigmoid(convolve(np.concatenate([x_t, h]), Wr, br, padding))
        n = np.tanh(convolve(np.concatenate([x_t, r * h]), Wn, bn, padding))
        h = (1 - z) * h + z * n
        hs.append(h)
    return np.array(hs)
