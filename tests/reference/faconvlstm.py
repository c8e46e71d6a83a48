"""Plain NumPy, float64, one grid at a time: FAConvLSTM from the equations of its docstring."""

import numpy as np

from tests.reference.axial import axial
from tests.reference.mixing import dilated_mix, sigmoid, squeeze_excitation


def conv1x1(x, weight):
    """x (c, h, w), weight (f, c)."""
    return np.einsum("cyx,fc->fyx", x, weight)


def branch(p, name):
    """The parameters below ``name``, by what is left of their names."""
    return {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}


def step(x, h, c, index, weights, p, *, dilations, padding, attention_every, heads, pool):
    """x (C, H, W), h and c (F, H, W), p the parameters by name; a mechanism without parameters is off."""
    u = conv1x1(x, p["Px.weight"]) + conv1x1(h, p["Ph.weight"])
    m = dilated_mix(u, p["mix.kernel"], dilations, padding)
    if "recalibrate.squeeze.weight" in p:
        m = squeeze_excitation(m, p["recalibrate.squeeze.weight"], p["recalibrate.excite.weight"], weights)
    a = conv1x1(m, p["Pg.weight"]) + p["Pg.bias"][:, None, None]
    ai, af, ag, ao = np.split(a, 4)
    wci, wcf, wco = p["peepholes"][..., None, None] if "peepholes" in p else np.zeros(3)
    i, f = sigmoid(ai + wci * c), sigmoid(af + wcf * c)
    c = f * c + i * np.tanh(ag)
    h = sigmoid(ao + wco * c) * np.tanh(c)
    composed = None
    if "axial.gamma" in p and index % attention_every == 0:
        h, composed = axial(h, weights, branch(p, "axial"), heads, pool)
    return h, c, composed


def run(x, h, c, index, weights, p, **options):
    """x (t, C, H, W): hidden states (t, F, H, W), last c, composed shares of the attended steps."""
    hs, attended = [], []
    for x_t in x:
        h, c, composed = step(x_t, h, c, index, weights, p, **options)
        index += 1
        hs.append(h)
        attended += [] if composed is None else [composed]
    return np.array(hs), c, attended
