"""Plain NumPy, float64, one grid at a time: ConvLSTM from the equations of Shi et al. 2015."""

import numpy as np

from tests.reference.convolution import convolve
from tests.reference.mixing import sigmoid


def run(x, h, c, p, padding):
    """x (t, C, h, w), h and c (F, h, w), p the parameters by name: hidden states and last c."""
    wci, wcf, wco = p["peepholes"][..., None, None] if "peepholes" in p else np.zeros(3)
    hs = []
    for x_t in x:
        of_x = convolve(x_t, p["input_weight"], p["bias"], padding)
        of_h = convolve(h, p["recurrent_weight"], np.zeros_like(p["bias"]), padding)
        pre_i, pre_f, pre_c, pre_o = np.split(of_x + of_h, 4)
        i, f = sigmoid(pre_i + wci * c), sigmoid(pre_f + wcf * c)
        c = f * c + i * np.tanh(pre_c)
        h = sigmoid(pre_o + wco * c) * np.tanh(c)
        hs.append(h)
    return np.array(hs), c
