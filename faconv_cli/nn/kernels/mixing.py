"""The dilated depthwise mix of features-last grids in one launch, its adjoint, and its kernel's gradient."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from faconv_cli.nn.padding import Padding

BLOCK = 64  # points of a program
CHUNK = 1024  # points of a program of the kernel's gradient
PADDINGS = {"zeros": 0, "longitude": 1, "circular": 2}
BITS = 16  # of a dilation, where all stand in one number: a kernel is compiled for them


@triton.jit
def gather(
    u,
    kernel,
    scale,
    shares,
    shift,
    b,
    point,
    r,
    H,
    W,
    R,
    TURNED: tl.constexpr,
    D: tl.constexpr,
    COUNT: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
):
    """Add up Σ_{d∈D} DW_d(u) at ``point`` of grid ``b``; TURNED: of u ⊙ scale + shares ⊗ shift."""
    y, x, there = point // W, point % W, (point < H * W)[:, None] & (r < R)[None, :]
    found = tl.zeros([point.shape[0], r.shape[0]], tl.float32)
    if TURNED:
        factor = tl.load(scale + b * R + r, r < R, 0.0)
        addition = tl.load(shift + b * R + r, r < R, 0.0)
    for branch in tl.static_range(COUNT):
        for tap in tl.static_range(K * K):
            d = (D >> (16 * branch)) & 65535
            sy, sx = y + (tap // K - K // 2) * d, x + (tap % K - K // 2) * d
            if PAD >= 1:
                sx = (sx % W + W) % W
            if PAD == 2:
                sy = (sy % H + H) % H
            inside = (sy >= 0) & (sy < H) & (sx >= 0) & (sx < W)
            place = (b * H + sy) * W + sx
            seen = tl.load(u + place[:, None] * R + r[None, :], there & inside[:, None], 0.0)
            if TURNED:
                share = tl.load(shares + place, inside & (point < H * W), 0.0)
                seen = seen * factor[None, :] + share[:, None] * addition[None, :]
            weight = tl.load(kernel + (branch * R + r) * (K * K) + tap, r < R, 0.0)
            found += seen * weight[None, :]
    return found


@triton.jit
def _mix(
    u,
    kernel,
    shares,
    m,
    sums,
    H,
    W,
    R,
    ADDED: tl.constexpr,
    SUMMED: tl.constexpr,
    D: tl.constexpr,
    COUNT: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    BN: tl.constexpr,
    BR: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    point, r = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BR)
    found = gather(u, kernel, u, u, u, b, point, r, H, W, R, False, D, COUNT, K, PAD)
    inside = point < H * W
    at, there = (b * H * W + point[:, None]) * R + r[None, :], inside[:, None] & (r < R)[None, :]
    if ADDED:
        found += tl.load(m + at, there, 0.0)
    tl.store(m + at, found, there)
    if SUMMED:
        share = tl.load(shares + b * H * W + point, inside, 0.0)
        place = (b * tl.num_programs(0) + tl.program_id(0)) * R + r
        tl.store(sums + place, tl.sum(found * share[:, None], 0), r < R)


@triton.jit
def _kernel_gradient(
    u,
    dm,
    parts,
    points,
    H,
    W,
    R,
    d,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    BN: tl.constexpr,
    BR: tl.constexpr,
):
    """Add up dm ⊙ (u shifted by each tap) over a chunk of the points of all grids, for one branch."""
    r = tl.arange(0, BR)
    for tap in tl.static_range(K * K):
        total = tl.zeros([BN, BR], tl.float32)
        for start in range(0, CHUNK, BN):
            point = tl.program_id(0).to(tl.int64) * CHUNK + start + tl.arange(0, BN)
            place = (point % (H * W)).to(tl.int32)
            sy, sx = place // W + (tap // K - K // 2) * d, place % W + (tap % K - K // 2) * d
            if PAD >= 1:
                sx = (sx % W + W) % W
            if PAD == 2:
                sy = (sy % H + H) % H
            inside = (point < points) & (sy >= 0) & (sy < H) & (sx >= 0) & (sx < W)
            seen = point - place + sy * W + sx
            there = inside[:, None] & (r < R)[None, :]
            total += tl.load(u + seen[:, None] * R + r[None, :], there, 0.0) * tl.load(
                dm + point[:, None] * R + r[None, :], there, 0.0
            )
        at = (tl.program_id(0) * (K * K) + tap) * R + r
        tl.store(parts + at, tl.sum(total, 0), r < R)


def packed(dilations: Sequence[int]) -> int:
    """Put dilations into one number."""
    return sum(d << (BITS * place) for place, d in enumerate(dilations))


def width(channels: int) -> int:
    """Return the power of 2, 16 at least, that holds so many channels: what a product of tiles takes."""
    return int(max(16, triton.next_power_of_2(channels)))


def blocks(grid: Sequence[int]) -> int:
    """Count the programs for a grid (h, w)."""
    return int(triton.cdiv(grid[0] * grid[1], BLOCK))


def mix_(
    u: Tensor,
    kernel: Tensor,
    dilations: Sequence[int],
    padding: Padding,
    m: Tensor,
    *,
    add: bool = False,
    shares: Tensor | None = None,
    sums: Tensor | None = None,
) -> Tensor:
    """Write Σ_{d∈D} DW_d(u) to ``m``, or add it, for grids (n, h, w, R) and kernels (D, R, 1, k, k).

    With ``shares`` (n, h, w) also the sums of shares ⊗ m over each block of points: ``sums`` (n, blocks, R).
    """
    n, h, w, R = u.shape
    _mix[(blocks((h, w)), n)](
        u,
        kernel,
        u if shares is None else shares,
        m,
        u if sums is None else sums,
        h,
        w,
        R,
        add,
        sums is not None,
        packed(dilations),
        len(dilations),
        kernel.shape[-1],
        PADDINGS[padding],
        BLOCK,
        width(R),
    )
    return m


def kernel_gradient(
    u: Tensor, dm: Tensor, kernel_size: int, dilations: Sequence[int], padding: Padding
) -> Tensor:
    """The gradient of the kernels (D, R, 1, k, k) for ``u`` and the gradient of m, both (n, h, w, R)."""
    n, h, w, R = u.shape
    points, k = n * h * w, kernel_size
    count = triton.cdiv(points, CHUNK)
    parts = u.new_empty(len(dilations), count, k * k, R)
    for branch, d in enumerate(dilations):
        _kernel_gradient[(count,)](
            u, dm, parts[branch], points, h, w, R, d, CHUNK, k, PADDINGS[padding], BLOCK, width(R)
        )
    return parts.sum(1).mT.reshape(len(dilations), R, 1, k, k)
