"""The regime signal of a planted cube: amplitudes in time of a few patterns in space, for each kind.

Amplitudes (t, p) have a mean square of 1 summed over p, and patterns (p, v, h, w) are orthonormal, so the
signal has a mean square of 1 in units of each variable's scale, whatever the kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faconv_cli.sample.noise import Float64, Smoother

Int = NDArray[np.int64]

PATTERN_LENGTH_DEG = 16.0
WAVE_NUMBER = 3
WAVE_LATITUDE, WAVE_WIDTH_DEG = 50.0, 15.0
WAVE_PERIOD_STEPS = 12
CENTRES = ((50.0, 150.0), (-10.0, 300.0))  # latitude, longitude: 133 degrees apart
CENTRE_WIDTH_DEG = 12.0


class Signal(NamedTuple):
    """A kind of signal: what happens when, and what it looks like.

    ``amplitudes(regime (t,), regimes, duration, rng) -> (t, p)``;
    ``patterns(lat, lon, variables, regimes, rng) -> (p, v, h, w)``, not yet orthonormal.
    """

    amplitudes: Callable[[Int, int, float, np.random.Generator], Float64]
    patterns: Callable[[Float64, Float64, int, int, np.random.Generator], Float64]


def regime_chain(steps: int, regimes: int, duration: float, rng: np.random.Generator) -> Int:
    """Draw a Markov chain (t,) that stays ``duration`` steps on average, then jumps to any other regime."""
    leave, where = rng.random((steps, 2)).T
    jumps = np.where(leave < 1 / duration, 1 + (where * (regimes - 1)).astype(int), 0)
    jumps[0] = int(where[0] * regimes)
    return np.cumsum(jumps) % regimes


def spell_starts(chain: Int) -> Int:
    """Return for each step the first step (t,) of its spell."""
    new = np.diff(chain, prepend=-1) != 0
    return np.maximum.accumulate(np.where(new, np.arange(chain.size), 0))


def _snapshot_amplitudes(regime: Int, regimes: int, duration: float, rng: np.random.Generator) -> Float64:
    return np.eye(regimes)[regime]


def _snapshot_patterns(
    lat: Float64, lon: Float64, variables: int, regimes: int, rng: np.random.Generator
) -> Float64:
    smooth = Smoother.on(lat, lon, PATTERN_LENGTH_DEG)
    return smooth.random((regimes, variables), rng).astype(np.float64)


def _wave_amplitudes(regime: Int, regimes: int, duration: float, rng: np.random.Generator) -> Float64:
    starts = spell_starts(regime)
    turns = (np.arange(regime.size) - starts) / WAVE_PERIOD_STEPS
    phase = 2 * np.pi * (rng.random(regime.size)[starts] + np.where(regime == 0, turns, -turns))
    return np.stack([np.cos(phase), np.sin(phase)], axis=1)


def _wave_patterns(
    lat: Float64, lon: Float64, variables: int, regimes: int, rng: np.random.Generator
) -> Float64:
    envelope = np.exp(-0.5 * ((lat - WAVE_LATITUDE) / WAVE_WIDTH_DEG) ** 2)
    # each variable runs a quarter of a wave ahead of the one before, as wind does of pressure
    angle = np.deg2rad(WAVE_NUMBER * lon) - np.pi / 2 * np.arange(variables)[:, None]
    wave = np.stack([np.cos(angle), np.sin(angle)])
    patterns: Float64 = envelope[:, None] * wave[:, :, None, :]
    return patterns


def _centre_amplitudes(regime: Int, regimes: int, duration: float, rng: np.random.Generator) -> Float64:
    """Swing the first centre by a sign and size held for spells of its own, the second with it or against."""
    for_sign, for_size = rng.spawn(2)
    sign = regime_chain(regime.size, 2, duration, for_sign)
    # uniform sizes of mean square 1/2: two centres together have 1
    size = for_size.uniform(0.5, 1.5, regime.size)[spell_starts(sign)] / np.sqrt(2 * (1 + 1 / 12))
    first = np.where(sign == 0, size, -size)
    return np.stack([first, np.where(regime == 0, first, -first)], axis=1)


def _centre_patterns(
    lat: Float64, lon: Float64, variables: int, regimes: int, rng: np.random.Generator
) -> Float64:
    return np.repeat(centres(lat, lon)[:, None], variables, axis=1)


def centres(lat: Float64, lon: Float64) -> Float64:
    """The two centres of the teleconnection (2, h, w): Gaussian in great-circle distance, highest 1."""
    fields = []
    y, x = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    for centre in CENTRES:
        y0, x0 = np.deg2rad(centre)
        cosine = np.sin(y) * np.sin(y0) + np.cos(y) * np.cos(y0) * np.cos(x - x0)
        distance = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
        fields.append(np.exp(-0.5 * (distance / CENTRE_WIDTH_DEG) ** 2))
    return np.stack(fields)


def orthonormal(patterns: Float64, weights: Float64) -> Float64:
    """Make patterns (p, v, h, w) orthonormal under weights (h, w) that sum to 1, averaged over variables."""
    gram = np.einsum("pvhw,qvhw,hw->pq", patterns, patterns, weights, optimize=True) / patterns.shape[1]
    flat = patterns.reshape(len(patterns), -1)
    return np.linalg.solve(np.linalg.cholesky(gram), flat).reshape(patterns.shape).astype(np.float64)


SIGNALS = {
    "snapshot": Signal(_snapshot_amplitudes, _snapshot_patterns),
    "motion": Signal(_wave_amplitudes, _wave_patterns),
    "teleconnection": Signal(_centre_amplitudes, _centre_patterns),
}
