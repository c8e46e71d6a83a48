"""Plain NumPy, float64, one grid at a time: MinFAConvLSTM from the equations of its docstring."""

import numpy as np

from tests.reference.axial import axial
from tests.reference.faconvlstm import branch, conv1x1
from tests.reference.minconv import lstm
from tests.reference.mixing import dilated_mix, squeeze_excitation


def run(x, h, index, weights, p, *, dilations, padding, attention_every, heads, pool):
    """x (t, C, H, W), h (F, H, W), p the parameters by name: hidden states, composed shares."""
    hs, attended = [], []
    for x_t in x:
        m = dilated_mix(conv1x1(x_t, p["Px.weight"]), p["mix.kernel"], dilations, padding)
        if "recalibrate.squeeze.weight" in p:
            m = squeeze_excitation(
                m, p["recalibrate.squeeze.weight"], p["recalibrate.excite.weight"], weights
            )
        if "axial.gamma" in p and index % attention_every == 0:
            m, composed = axial(m, weights, branch(p, "axial"), heads, pool)
            attended.append(composed)
        a, b = lstm(conv1x1(m, p["Pg.weight"]) + p["Pg.bias"][:, None, None])
        h = a * h + b
        hs.append(h)
        index += 1
    return np.array(hs), attended
