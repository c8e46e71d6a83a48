import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.shape.smooth import smooth, trailing_sums
from faconv_cli.errors import UsageError


def _fields(steps, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    fields = rng.normal(280, 5, (steps, 1, 2, 3))
    fields[rng.uniform(size=fields.shape) < missing] = np.nan
    return fields


def _by_hand(fields, count, segments):
    out = np.full_like(fields, np.nan)
    for begin, end in segments:
        for step in range(begin, end):
            window = fields[max(begin, step - count + 1) : step + 1].astype(float)
            valid = np.isfinite(window)
            mean = np.where(valid, window, 0).sum(0) / np.maximum(valid.sum(0), 1)
            out[step] = np.where(valid.sum(0) * 2 >= len(window), mean, np.nan)
    return out


@given(values=st.integers(1, 40), count=st.integers(1, 50))
def test_trailing_sums_are_sums_of_each_step_and_those_before(values, count):
    steps = np.random.default_rng(values).normal(size=(values, 2))
    expected = [steps[max(0, t - count + 1) : t + 1].sum(0) for t in range(values)]
    np.testing.assert_allclose(trailing_sums(steps, count), expected, atol=1e-12)


@given(count=st.integers(2, 9), gap=st.integers(5, 25), missing=st.sampled_from([0.0, 0.5]))
def test_a_mean_is_of_the_steps_before_in_the_same_run(make_cube, count, gap, missing):
    numbers = np.arange(30) + 10 * (np.arange(30) >= gap)
    cube = make_cube(_fields(30, missing, count), numbers=numbers)
    assert len(cube.time.segments) == 2
    expected = _by_hand(cube.read(0, 30), count, cube.time.segments)
    np.testing.assert_allclose(smooth(cube, count).read(0, 30), expected, rtol=1e-6)


@given(start=st.integers(0, 25), length=st.integers(1, 30), grown=st.integers(1, 20))
def test_no_block_and_no_later_step_changes_a_bit(make_cube, start, length, grown):
    fields = _fields(50, 0.3)
    whole = smooth(make_cube(fields), 7)
    stop = min(start + length, 30)
    np.testing.assert_array_equal(whole.read(start, stop), whole.read(0, 50)[start:stop])
    early = smooth(make_cube(fields[: 30 + grown - 1], chunks=4), 7)
    np.testing.assert_array_equal(early.read(0, 30), whole.read(0, 30))
    np.testing.assert_array_equal(early.slice(start, stop).read(0, stop - start), whole.read(start, stop))


def test_days_are_rounded_to_steps_and_told(make_cube):
    six_hourly = make_cube(_fields(40), units="hours since 2001-01-01", numbers=np.arange(40) * 6)
    assert "means over 20 steps" in smooth(six_hourly, 5).notes[-1]
    monthly = np.datetime64("2001-01") + np.arange(40)
    days = (monthly.astype("datetime64[D]") - monthly[0].astype("datetime64[D]")).astype(int)
    assert (
        "means over 3 steps"
        in smooth(make_cube(_fields(40), "days since 2001-01-01", numbers=days), 90).notes[-1]
    )


def test_less_than_two_steps_is_refused(make_cube):
    with pytest.raises(UsageError, match="--smooth 1 days is less than two time steps of 1 day"):
        smooth(make_cube(_fields(9)), 1)
