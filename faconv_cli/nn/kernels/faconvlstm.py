"""The steps of FAConvLSTM in three launches forwards (mix, squeeze, gates) and three backwards.

The equations are those of `faconvlstm_fast`: ĉ = -2c is carried. States, activations and sums are float32;
no sum depends on the order in which programs end.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from faconv_cli.nn.kernels.mixing import BLOCK, PADDINGS, blocks, gather, packed, width
from faconv_cli.nn.padding import Padding

POINTS = 32  # of a tile of the gates
PROGRAMS = 264  # of the gates' way back: two for each multiprocessor of a large GPU
ROWS = 64  # partial sums added up at a time


@triton.jit
def _hidden(mean, W1, j, r, R, HIDDEN):
    weight = tl.load(W1 + j[:, None] * R + r[None, :], (j < HIDDEN)[:, None] & (r < R)[None, :], 0.0)
    return tl.sum(weight * mean[None, :], 1), weight


@triton.jit
def _total(parts, b, count, r, R, ROWS: tl.constexpr):
    total = tl.zeros([ROWS, r.shape[0]], tl.float32)
    for start in range(0, count, ROWS):
        row = start + tl.arange(0, ROWS)
        there = (row < count)[:, None] & (r < R)[None, :]
        total += tl.load(parts + (b * count + row[:, None]) * R + r[None, :], there, 0.0)
    return tl.sum(total, 0)


@triton.jit
def _squeeze(
    sums, W1, W2, mean, scale, count, R, HIDDEN, BR: tl.constexpr, BH: tl.constexpr, ROWS: tl.constexpr
):
    b, r, j = tl.program_id(0), tl.arange(0, BR), tl.arange(0, BH)
    average = _total(sums, b, count, r, R, ROWS)
    tl.store(mean + b * R + r, average, r < R)
    hidden, _ = _hidden(average, W1, j, r, R, HIDDEN)
    hidden = tl.maximum(hidden, 0.0)
    weight = tl.load(W2 + r[:, None] * HIDDEN + j[None, :], (r < R)[:, None] & (j < HIDDEN)[None, :], 0.0)
    tl.store(scale + b * R + r, tl.sigmoid(tl.sum(weight * hidden[None, :], 1)), r < R)


@triton.jit
def _squeeze_backward(
    parts,
    W1,
    W2,
    mean,
    scale,
    dscale,
    dmean,
    count,
    R,
    HIDDEN,
    BR: tl.constexpr,
    BH: tl.constexpr,
    ROWS: tl.constexpr,
):
    b, r, j = tl.program_id(0), tl.arange(0, BR), tl.arange(0, BH)
    gradient = _total(parts, b, count, r, R, ROWS)
    tl.store(dscale + b * R + r, gradient, r < R)
    average = tl.load(mean + b * R + r, r < R, 0.0)
    s = tl.load(scale + b * R + r, r < R, 0.0)
    hidden, first = _hidden(average, W1, j, r, R, HIDDEN)
    weight = tl.load(W2 + r[:, None] * HIDDEN + j[None, :], (r < R)[:, None] & (j < HIDDEN)[None, :], 0.0)
    back = tl.sum(weight * (gradient * s * (1 - s))[:, None], 0)
    back = tl.where(hidden > 0, back, 0.0)
    tl.store(dmean + b * R + r, tl.sum(first * back[:, None], 0), r < R)


@triton.jit
def _weights(P, gate: tl.constexpr, r, f, R, F):
    there = (r < R)[:, None] & (f < F)[None, :]
    weight = tl.load(P + (gate * (R + 1) + r[:, None]) * F + f[None, :], there, 0.0)
    return weight, tl.load(P + (gate * (R + 1) + R) * F + f, f < F, 0.0)


@triton.jit
def _preactivation(m, P, gate: tl.constexpr, r, f, R, F):
    weight, bias = _weights(P, gate, r, f, R, F)
    return tl.dot(m, weight, input_precision="ieee") + bias[None, :]


@triton.jit
def _activate(m, P, w, c, r, f, R, F, PEEPHOLES: tl.constexpr):
    """Return i, f, g and the unfinished o."""
    i, forget = _preactivation(m, P, 0, r, f, R, F), _preactivation(m, P, 1, r, f, R, F)
    if PEEPHOLES:
        i += c * tl.load(w + f, f < F, 0.0)[None, :]
        forget += c * tl.load(w + F + f, f < F, 0.0)[None, :]
    g = tl.sigmoid(_preactivation(m, P, 2, r, f, R, F))
    return tl.sigmoid(i), tl.sigmoid(forget), g, _preactivation(m, P, 3, r, f, R, F)


@triton.jit
def _gates(
    m,
    scale,
    P,
    w,
    Ph,
    c,
    c_out,
    h,
    u,
    points,
    R,
    F,
    SCALED: tl.constexpr,
    PEEPHOLES: tl.constexpr,
    NEXT: tl.constexpr,
    BN: tl.constexpr,
    BR: tl.constexpr,
    BF: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    point, r, f = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BR), tl.arange(0, BF)
    row, inside = b * points + point[:, None], (point < points)[:, None]
    narrow, wide = inside & (r < R)[None, :], inside & (f < F)[None, :]
    mixed = tl.load(m + row * R + r[None, :], narrow, 0.0)
    if SCALED:
        mixed *= tl.load(scale + b * R + r, r < R, 0.0)[None, :]
    before = tl.load(c + row * F + f[None, :], wide, 0.0)
    i, forget, g, o = _activate(mixed, P, w, before, r, f, R, F, PEEPHOLES)
    after = before * forget + 4 * i * g - 2 * i
    if PEEPHOLES:
        o += after * tl.load(w + 2 * F + f, f < F, 0.0)[None, :]
    o = tl.sigmoid(o)
    y = o - 2 * o * tl.sigmoid(after)
    tl.store(c_out + row * F + f[None, :], after, wide)
    tl.store(h + row * F + f[None, :], y, wide)
    if NEXT:
        back = tl.load(Ph + r[None, :] * F + f[:, None], (f < F)[:, None] & (r < R)[None, :], 0.0)
        y = tl.where(wide, y, 0.0)
        tl.store(u + row * R + r[None, :], tl.dot(y, back, input_precision="ieee"), narrow)


@triton.jit
def _add(target, value, there):
    tl.store(target, tl.load(target, there, 0.0) + value, there)


@triton.jit
def _gate_gradient(mixed, da, P, dm, dP, db, gate: tl.constexpr, r, f, R, F):
    """Add what one gate gives to the gradients of m̃, of its weights and of its bias."""
    weight, _ = _weights(P, gate, r, f, R, F)
    dm += tl.dot(da, tl.trans(weight), input_precision="ieee")
    dP += tl.dot(tl.trans(mixed), da, input_precision="ieee")
    return dm, dP, db + tl.sum(da, 0)


@triton.jit
def _store_weights(dP, own, db, gate: tl.constexpr, r, f, R, F):
    there = (r < R)[:, None] & (f < F)[None, :]
    _add(dP + (gate * (R + 1) + r[:, None]) * F + f[None, :], own, there)
    _add(dP + (gate * (R + 1) + R) * F + f, db, f < F)


@triton.jit
def _gates_backward(
    m,
    scale,
    P,
    w,
    c,
    c_out,
    dh,
    dc,
    dm,
    dP,
    dw,
    parts,
    points,
    R,
    F,
    SCALED: tl.constexpr,
    PEEPHOLES: tl.constexpr,
    BN: tl.constexpr,
    BR: tl.constexpr,
    BF: tl.constexpr,
):
    b, program, count = tl.program_id(1).to(tl.int64), tl.program_id(0), tl.num_programs(0)
    r, f = tl.arange(0, BR), tl.arange(0, BF)
    di, df = tl.zeros([BR, BF], tl.float32), tl.zeros([BR, BF], tl.float32)
    dg, do = tl.zeros([BR, BF], tl.float32), tl.zeros([BR, BF], tl.float32)
    bi, bf = tl.zeros([BF], tl.float32), tl.zeros([BF], tl.float32)
    bg, bo = tl.zeros([BF], tl.float32), tl.zeros([BF], tl.float32)
    wi, wf, wo = tl.zeros([BF], tl.float32), tl.zeros([BF], tl.float32), tl.zeros([BF], tl.float32)
    of_scale = tl.zeros([BR], tl.float32)
    for block in range(program, tl.cdiv(points, BN), count):
        point = block * BN + tl.arange(0, BN)
        row, inside = b * points + point[:, None], (point < points)[:, None]
        narrow, wide = inside & (r < R)[None, :], inside & (f < F)[None, :]
        own = tl.load(m + row * R + r[None, :], narrow, 0.0)
        mixed = own
        if SCALED:
            mixed *= tl.load(scale + b * R + r, r < R, 0.0)[None, :]
        before = tl.load(c + row * F + f[None, :], wide, 0.0)
        after = tl.load(c_out + row * F + f[None, :], wide, 0.0)
        i, forget, g, o = _activate(mixed, P, w, before, r, f, R, F, PEEPHOLES)
        if PEEPHOLES:
            o += after * tl.load(w + 2 * F + f, f < F, 0.0)[None, :]
        o, s = tl.sigmoid(o), tl.sigmoid(after)
        of_h = tl.load(dh + row * F + f[None, :], wide, 0.0)
        of_c = tl.load(dc + row * F + f[None, :], wide, 0.0)
        da_o = (1 - 2 * s) * of_h * o * (1 - o)
        of_c -= 2 * of_h * o * s * (1 - s)
        if PEEPHOLES:
            of_c += da_o * tl.load(w + 2 * F + f, f < F, 0.0)[None, :]
        da_i = (g - 0.5) * of_c * 4 * i * (1 - i)
        da_f = of_c * before * forget * (1 - forget)
        da_g = of_c * i * 4 * g * (1 - g)
        of_c *= forget
        if PEEPHOLES:
            of_c += da_i * tl.load(w + f, f < F, 0.0)[None, :]
            of_c += da_f * tl.load(w + F + f, f < F, 0.0)[None, :]
            wi += tl.sum(da_i * before, 0)
            wf += tl.sum(da_f * before, 0)
            wo += tl.sum(da_o * after, 0)
        tl.store(dc + row * F + f[None, :], of_c, wide)
        of_m = tl.zeros([BN, BR], tl.float32)
        of_m, di, bi = _gate_gradient(mixed, da_i, P, of_m, di, bi, 0, r, f, R, F)
        of_m, df, bf = _gate_gradient(mixed, da_f, P, of_m, df, bf, 1, r, f, R, F)
        of_m, dg, bg = _gate_gradient(mixed, da_g, P, of_m, dg, bg, 2, r, f, R, F)
        of_m, do, bo = _gate_gradient(mixed, da_o, P, of_m, do, bo, 3, r, f, R, F)
        tl.store(dm + row * R + r[None, :], of_m, narrow)
        if SCALED:
            of_scale += tl.sum(of_m * own, 0)
    place = b * count + program
    own_P, own_w = dP + place * 4 * (R + 1) * F, dw + place * 3 * F
    _store_weights(own_P, di, bi, 0, r, f, R, F)
    _store_weights(own_P, df, bf, 1, r, f, R, F)
    _store_weights(own_P, dg, bg, 2, r, f, R, F)
    _store_weights(own_P, do, bo, 3, r, f, R, F)
    if PEEPHOLES:
        _add(own_w + f, wi, f < F)
        _add(own_w + F + f, wf, f < F)
        _add(own_w + 2 * F + f, wo, f < F)
    if SCALED:
        tl.store(parts + place * R + r, of_scale, r < R)


@triton.jit
def _adjoint(
    dm,
    flipped,
    scale,
    shares,
    dmean,
    Ph,
    dy,
    du,
    dh,
    H,
    W,
    R,
    F,
    SCALED: tl.constexpr,
    MORE: tl.constexpr,
    D: tl.constexpr,
    COUNT: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    BN: tl.constexpr,
    BR: tl.constexpr,
    BF: tl.constexpr,
):
    """From the gradient of m̃ to those of u and of h before, to which that of its output is added."""
    b = tl.program_id(1).to(tl.int64)
    point, r, f = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BR), tl.arange(0, BF)
    found = gather(dm, flipped, scale, shares, dmean, b, point, r, H, W, R, SCALED, D, COUNT, K, PAD)
    row, inside = b * H * W + point[:, None], (point < H * W)[:, None]
    tl.store(du + row * R + r[None, :], found, inside & (r < R)[None, :])
    weight = tl.load(Ph + r[:, None] * F + f[None, :], (r < R)[:, None] & (f < F)[None, :], 0.0)
    back, wide = tl.dot(found, weight, input_precision="ieee"), inside & (f < F)[None, :]
    if MORE:
        back += tl.load(dy + row * F + f[None, :], wide, 0.0)
    tl.store(dh + row * F + f[None, :], back, wide)


def squeeze(sums: Tensor, W1: Tensor, W2: Tensor, mean: Tensor, scale: Tensor) -> None:
    """Write the mean of m and s = σ(W2 relu(W1 mean)), both (b, R), from the sums (b, blocks, R)."""
    b, count, R = sums.shape
    hidden = len(W1)
    _squeeze[(b,)](
        sums, W1, W2, mean, scale, count, R, hidden, width(R), triton.next_power_of_2(hidden), ROWS
    )


def squeeze_backward(
    parts: Tensor, W1: Tensor, W2: Tensor, mean: Tensor, scale: Tensor, dscale: Tensor, dmean: Tensor
) -> None:
    """Write the gradients of s and of the mean (b, R) from the partial ones (b, programs, R) of s."""
    b, count, R = parts.shape
    hidden = len(W1)
    sizes = (count, R, hidden, width(R), triton.next_power_of_2(hidden), ROWS)
    _squeeze_backward[(b,)](parts, W1, W2, mean, scale, dscale, dmean, *sizes)


def gates(
    m: Tensor,
    scale: Tensor | None,
    P: Tensor,
    w: Tensor | None,
    Ph: Tensor,
    c: Tensor,
    c_out: Tensor,
    h: Tensor,
    u: Tensor | None,
) -> None:
    """Write ĉ and h (b, h, w, F), and Ph*h to ``u``, from m (b, h, w, R), s (b, R) and ĉ before."""
    b, R, F = len(m), m.shape[-1], h.shape[-1]
    points = m[0, ..., 0].numel()
    _gates[(triton.cdiv(points, POINTS), b)](
        m,
        m if scale is None else scale,
        P,
        m if w is None else w,
        Ph,
        c,
        c_out,
        h,
        m if u is None else u,
        points,
        R,
        F,
        scale is not None,
        w is not None,
        u is not None,
        POINTS,
        width(R),
        width(F),
    )


def programs(b: int, points: int) -> int:
    """Count the programs of `gates_backward` for each of b grids of so many points."""
    return int(min(triton.cdiv(points, POINTS), max(1, PROGRAMS // b)))


def gates_backward(
    m: Tensor,
    scale: Tensor | None,
    P: Tensor,
    w: Tensor | None,
    c: Tensor,
    c_out: Tensor,
    dh: Tensor,
    dc: Tensor,
    dm: Tensor,
    dP: Tensor,
    dw: Tensor,
    parts: Tensor,
) -> None:
    """Write the gradient of m̃ and, in place of that of ĉ, that of ĉ before.

    Those of P and w are added to ``dP`` (b programs, 4, R + 1, F) and ``dw`` (b programs, 3, F), and that
    of s is written to ``parts`` (b, programs, R), all a part for each program.
    """
    b, R, F = len(m), m.shape[-1], dh.shape[-1]
    points = m[0, ..., 0].numel()
    _gates_backward[(programs(b, points), b)](
        m,
        m if scale is None else scale,
        P,
        m if w is None else w,
        c,
        c_out,
        dh,
        dc,
        dm,
        dP,
        dw,
        parts,
        points,
        R,
        F,
        scale is not None,
        w is not None,
        POINTS,
        width(R),
        width(F),
    )


def adjoint(
    dm: Tensor,
    flipped: Tensor,
    dilations: Sequence[int],
    padding: Padding,
    scale: Tensor | None,
    shares: Tensor,
    dmean: Tensor,
    Ph: Tensor,
    dy: Tensor | None,
    du: Tensor,
    dh: Tensor,
) -> None:
    """Write the gradient of u, and to ``dh`` that of h of the step before, whose output's is ``dy``."""
    b, h, w, R = dm.shape
    F = dh.shape[-1]
    _adjoint[(blocks((h, w)), b)](
        dm,
        flipped,
        dm if scale is None else scale,
        shares,
        dmean,
        Ph,
        dm if dy is None else dy,
        du,
        dh,
        h,
        w,
        R,
        F,
        scale is not None,
        dy is not None,
        packed(dilations),
        len(dilations),
        flipped.shape[-1],
        PADDINGS[padding],
        BLOCK,
        width(R),
        width(F),
    )
