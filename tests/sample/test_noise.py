"""Smooth fields and red noise have the statistics they promise."""

from itertools import islice, repeat

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.sample.noise import Smoother, red_noise

LAT = np.linspace(-87.5, 87.5, 36)
LON = np.arange(72) * 5.0


def noise(lengths, *, std=(1.0,), memory=0.7, length_deg=20.0, seed=0):
    smoother = Smoother.on(LAT, LON, length_deg)
    return red_noise(smoother, np.array(std, np.float32), memory, lengths, np.random.default_rng(seed))


def covariance_along_longitude(length_deg):
    by_lon = Smoother.on(LAT, LON, length_deg).by_lon
    return by_lon.T @ by_lon


def test_smooth_fields_have_unit_variance_from_pole_to_pole():
    fields = Smoother.on(LAT, LON, 20.0).random((4000,), np.random.default_rng(0))
    np.testing.assert_allclose(fields.std(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(fields.mean(axis=0), 0, atol=0.08)


def test_correlation_falls_with_distance_as_documented_and_crosses_the_date_line():
    for length_deg in (10.0, 20.0):
        covariance = covariance_along_longitude(length_deg)
        away = np.minimum(LON, 360 - LON)
        np.testing.assert_allclose(covariance[0], np.exp(-((away / (2 * length_deg)) ** 2)), atol=0.01)


def test_no_weight_is_a_denormal_number():
    smoother = Smoother.on(LAT, LON, 8.0)
    for weights in (smoother.by_lat, smoother.by_lon):
        assert (np.abs(weights[weights != 0]) > np.finfo(np.float32).tiny).all()


def test_fields_of_a_seed_are_the_same_on_a_finer_grid():
    fine = Smoother.on(LAT, np.arange(144) * 2.5, 20.0).random((3,), np.random.default_rng(1))
    coarse = Smoother.on(LAT, LON, 20.0).random((3,), np.random.default_rng(1))
    np.testing.assert_allclose(fine[..., ::2], coarse, atol=1e-5)


def test_noise_remembers_the_step_before_by_its_memory():
    for memory in (0.3, 0.8):
        block = next(noise([4000], memory=memory, length_deg=40.0))[:, 0]
        assert abs((block[1:] * block[:-1]).mean() / (block**2).mean() - memory) < 0.03


def test_noise_is_stationary_from_the_first_step():
    first = np.stack([next(noise([1], memory=0.9, seed=seed))[0, 0] for seed in range(300)])
    assert abs(first.std() - 1) < 0.03


def test_each_variable_has_its_own_standard_deviation_and_its_own_noise():
    block = next(noise([3000], std=(2.0, 500.0), length_deg=40.0))
    np.testing.assert_allclose(block.std(axis=(0, 2, 3)), [2, 500], rtol=0.05)
    assert abs(np.corrcoef(block[:, 0].ravel(), block[:, 1].ravel())[0, 1]) < 0.05


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_how_the_record_is_cut_does_not_change_its_noise(lengths):
    whole = next(noise([sum(lengths)], std=(1.0, 2.0)))
    np.testing.assert_array_equal(np.concatenate(list(noise(lengths, std=(1.0, 2.0)))), whole)


def test_noise_goes_on_as_long_as_lengths_are_asked_for():
    assert [len(block) for block in islice(noise(repeat(2)), 3)] == [2, 2, 2]
