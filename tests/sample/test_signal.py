"""The chain of regimes and the three kinds of signal are what they are said to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.sample.signal import (
    CENTRES,
    SIGNALS,
    WAVE_NUMBER,
    WAVE_PERIOD_STEPS,
    centres,
    orthonormal,
    regime_chain,
    spell_starts,
)

LAT = np.linspace(-86.25, 86.25, 24)
LON = np.arange(48) * 7.5


def rng(seed=0):
    return np.random.default_rng(seed)


def spells(chain):
    return 1 + np.count_nonzero(np.diff(chain))


@given(st.integers(2, 6), st.floats(1, 30))
def test_spells_last_as_long_as_asked_on_average(regimes, duration):
    chain = regime_chain(40_000, regimes, duration, rng())
    assert chain.size / spells(chain) == pytest.approx(duration, rel=0.15)


def test_regimes_are_equally_frequent_and_jump_anywhere():
    chain = regime_chain(100_000, 4, 5.0, rng())
    np.testing.assert_allclose(np.bincount(chain) / chain.size, 0.25, atol=0.02)
    before, after = chain[:-1][np.diff(chain) != 0], chain[1:][np.diff(chain) != 0]
    jumps = np.zeros((4, 4))
    np.add.at(jumps, (before, after), 1)
    np.testing.assert_allclose(jumps / jumps.sum(), (1 - np.eye(4)) / 12, atol=0.01)


def test_a_longer_chain_begins_with_the_shorter_one():
    np.testing.assert_array_equal(regime_chain(500, 3, 8.0, rng())[:100], regime_chain(100, 3, 8.0, rng()))


def test_spell_starts_are_the_first_steps_of_spells():
    np.testing.assert_array_equal(spell_starts(np.array([2, 2, 0, 0, 0, 1])), [0, 0, 2, 2, 2, 5])


@pytest.mark.parametrize("kind", SIGNALS)
def test_amplitudes_have_a_mean_square_of_one(kind):
    regime = regime_chain(20_000, 2, 6.0, rng())
    amplitudes = SIGNALS[kind].amplitudes(regime, 2, 6.0, rng(1))
    assert (amplitudes**2).sum(axis=1).mean() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("kind", SIGNALS)
def test_patterns_become_orthonormal_under_the_weights_given(kind):
    weights = np.cos(np.deg2rad(LAT))[:, None] * (rng(2).random((24, 48)) < 0.7)
    weights /= weights.sum()
    patterns = orthonormal(SIGNALS[kind].patterns(LAT, LON, 3, 2, rng()), weights)
    gram = np.einsum("pvhw,qvhw,hw->pq", patterns, patterns, weights) / 3
    np.testing.assert_allclose(gram, np.eye(2), atol=1e-12)


def test_each_snapshot_regime_has_its_own_pattern():
    regime = np.array([0, 0, 2, 1])
    np.testing.assert_array_equal(SIGNALS["snapshot"].amplitudes(regime, 3, 9.0, rng()), np.eye(3)[regime])


def test_the_wave_travels_east_in_regime_0_and_west_in_regime_1():
    regime = np.repeat([0, 1], 6)
    amplitudes = SIGNALS["motion"].amplitudes(regime, 2, 6.0, rng())
    patterns = SIGNALS["motion"].patterns(LAT, LON, 2, 2, rng())
    wave = np.einsum("tp,px->tx", amplitudes, patterns[:, 1, 19])
    phase = np.unwrap(-np.angle(np.fft.rfft(wave, axis=1)[:, WAVE_NUMBER]))
    np.testing.assert_allclose(np.diff(phase)[:5], 2 * np.pi / WAVE_PERIOD_STEPS)
    np.testing.assert_allclose(np.diff(phase)[6:], -2 * np.pi / WAVE_PERIOD_STEPS)


def test_the_phase_at_the_start_of_a_spell_is_random():
    regime = np.arange(3000) % 2
    cosine, sine = SIGNALS["motion"].amplitudes(regime, 2, 1.0, rng()).T
    np.testing.assert_allclose(np.histogram(np.arctan2(sine, cosine), 6)[0] / 3000, 1 / 6, atol=0.03)


def test_centres_swing_together_in_regime_0_and_against_each_other_in_regime_1():
    regime = regime_chain(2000, 2, 10.0, rng())
    first, second = SIGNALS["teleconnection"].amplitudes(regime, 2, 10.0, rng(1)).T
    np.testing.assert_array_equal(np.sign(first * second), np.where(regime == 0, 1, -1))


def test_swings_are_held_for_spells_of_the_duration_asked():
    regime = regime_chain(30_000, 2, 10.0, rng())
    for duration in (5.0, 20.0):
        first = SIGNALS["teleconnection"].amplitudes(regime, 2, duration, rng(1))[:, 0]
        assert first.size / spells(first) == pytest.approx(duration, rel=0.1)
        assert np.mean(first > 0) == pytest.approx(0.5, abs=0.05)


def test_centres_are_where_they_are_said_to_be_and_do_not_touch():
    fields = centres(LAT, LON)
    for field, (lat, lon) in zip(fields, CENTRES, strict=True):
        y, x = np.unravel_index(field.argmax(), field.shape)
        assert abs(LAT[y] - lat) <= 3.75
        assert LON[x] == lon
    assert (fields[0] * fields[1]).max() < 1e-6
