import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube import climatology
from faconv_cli.cube.climatology import fit_climatology, resolve_anomaly, told
from faconv_cli.cube.timeaxis import TimeAxis
from faconv_cli.errors import UsageError

KINDS = [("monthly", False), ("monthly", True), ("daily", False), ("daily", True), ("none", True)]
KINDS += [("mean", False), ("mean", True)]


def noisy_record(t, shape=(2, 3, 4), seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    season = 5 * np.cos(2 * np.pi * np.arange(t) / 365)
    return rng.normal(size=(t, *shape)) + season[:, None, None, None] + offset


def plain_expected(fields, basis, constant):
    """The same regression, point by point on full arrays, by NumPy's lstsq."""
    out = np.full(fields.shape, np.nan)
    for index in np.ndindex(*fields.shape[1:]):
        y = fields[(slice(None), *index)].astype(np.float64)
        valid = np.isfinite(y)
        if not valid.any():
            continue
        columns = basis[valid]
        length = np.sqrt((columns**2).sum(axis=0))
        length[length == 0] = 1
        mean = y[valid].mean()
        solved = np.linalg.lstsq(columns / length, y[valid] - mean, rcond=1e-3)[0] / length
        out[(slice(None), *index)] = basis @ (solved + mean * constant)
    return out


def check_against_plain(cube, kind, detrend):
    fitted = fit_climatology(cube, kind, detrend)
    fields, basis = cube.read(0, cube.shape[0]), fitted.basis(cube.time)
    constant = np.zeros(basis.shape[1])
    constant[: 12 if kind.startswith("monthly") else 1] = 1
    np.testing.assert_allclose(basis @ constant, 1)
    np.testing.assert_allclose(
        fitted.expected(cube.time), plain_expected(fields, basis, constant), rtol=1e-7, atol=1e-6
    )
    return fitted


@pytest.mark.parametrize(("kind", "detrend"), KINDS)
@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_the_stream_is_least_squares_at_each_point(make_cube, kind, detrend, calendar):
    check_against_plain(make_cube(noisy_record(1000), calendar=calendar), kind, detrend)


@pytest.mark.parametrize(("kind", "detrend"), KINDS)
def test_masks_that_change_in_time_are_least_squares_over_the_valid_steps(make_cube, kind, detrend):
    fields = noisy_record(800)
    fields[np.random.default_rng(1).random(fields.shape) < 0.3] = np.nan
    fields[:, 0, 0, 0] = np.nan
    fields[100:, 1, 1, 1] = np.nan
    fields[:, :, 2, 2] = fields[:, :1, 2, 2]
    fitted = check_against_plain(make_cube(fields), kind, detrend)
    assert np.isnan(fitted.coefficients[:, 0, 0, 0]).all()


@pytest.mark.parametrize(("kind", "detrend"), KINDS)
def test_gaps_that_follow_the_season_are_least_squares_over_the_valid_steps(make_cube, kind, detrend):
    """As sea that freezes: what is cold is not there, so the mean of what is says little of the year."""
    fields = noisy_record(1500) + np.linspace(-3, 3, 4)
    fields[fields < 0] = np.nan
    assert 0.2 < np.isnan(fields).mean() < 0.8
    check_against_plain(make_cube(fields), kind, detrend)


@pytest.mark.parametrize(("kind", "detrend"), KINDS)
def test_winters_alone_are_least_squares_and_stay_tame_in_summer(make_cube, kind, detrend):
    numbers = np.concatenate([np.arange(90) + 365 * year for year in range(10)])
    cube = make_cube(noisy_record(900), numbers=numbers, units="days since 1991-12-01")
    fitted = check_against_plain(cube, kind, detrend)
    summers = TimeAxis.from_values(np.datetime64("1995-05-01", "ns") + np.arange(90) * np.timedelta64(1, "D"))
    assert np.abs(fitted.expected(summers)).max() < 100


@given(
    st.sampled_from(KINDS),
    st.integers(1, 250),
    st.integers(7, 90),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 3),
)
def test_chunks_blocks_and_batches_never_change_the_climatology(make_cube, kind, chunks, block, holes, seed):
    fields = noisy_record(200, shape=(1, 2, 3), seed=seed, offset=1e5)
    fields[np.random.default_rng(seed).random(fields.shape) < holes] = np.nan
    whole = fit_climatology(make_cube(fields), *kind)
    cube = make_cube(fields, chunks=chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(cube), "blocks", lambda self: _blocks(self.shape[0], block))
        patch.setattr(climatology, "_GRAM_BYTES", 14 * 14 * 8 * 3)
        patch.setattr(climatology, "_POINTS_AT_ONCE", 5)
        pieces = fit_climatology(cube, *kind)
    np.testing.assert_allclose(
        pieces.expected(cube.time), whole.expected(cube.time), rtol=1e-9, atol=1e-5, equal_nan=True
    )


def _blocks(steps, size):
    yield from ((a, min(a + size, steps)) for a in range(0, steps, size))


def test_a_planted_cycle_and_trend_are_found_again(make_cube):
    cube = make_cube(np.zeros((3650, 1, 1, 2)), calendar="noleap")
    angle = 2 * np.pi * cube.time.year_fraction
    truth = 280 + 10 * np.cos(angle) - 3 * np.sin(2 * angle) + 0.2 * (cube.time.years - cube.time.years[0])
    fields = np.stack([truth, -truth], axis=1)[:, None, None, :]
    cube = make_cube(fields, calendar="noleap")
    fitted = fit_climatology(cube, "daily", True)
    np.testing.assert_allclose(fitted.coefficients[9, 0, 0], [0.2, -0.2], atol=1e-6)
    np.testing.assert_allclose(fitted.coefficients[1, 0, 0], [10, -10], atol=1e-4)
    assert np.abs(fitted.subtract(cube.read(0, 3650), cube.time)).max() < 1e-3


def test_adding_undoes_subtracting(make_cube):
    cube = make_cube(noisy_record(800, offset=280))
    fitted = fit_climatology(cube, "monthly", True)
    fields = cube.read(3, 40)
    anomalies = fitted.subtract(fields, cube.time.slice(3, 40))
    assert anomalies.dtype == np.float32
    np.testing.assert_allclose(fitted.add(anomalies, cube.time.slice(3, 40)), fields, rtol=1e-6)


def test_none_is_the_identity(make_cube):
    cube = make_cube(noisy_record(50))
    fitted = fit_climatology(cube, "none", False)
    assert fitted.coefficients.shape == (0, 2, 3, 4)
    assert fitted.basis(cube.time).shape == (50, 0)
    np.testing.assert_array_equal(fitted.subtract(cube.read(0, 50), cube.time), cube.read(0, 50))


def test_a_month_never_seen_gets_the_overall_mean(make_cube):
    fields = noisy_record(59, shape=(1, 1, 2))
    cube = make_cube(fields)
    fitted = fit_climatology(cube, "monthly", False)
    np.testing.assert_allclose(fitted.coefficients[5, 0, 0], fields.mean(axis=0)[0, 0], rtol=1e-5)
    np.testing.assert_allclose(fitted.coefficients[0, 0, 0], fields[:31].mean(axis=0)[0, 0], rtol=1e-5)


def test_a_small_signal_survives_on_a_large_offset(make_cube):
    fields = 1e5 + np.cos(2 * np.pi * np.arange(1460) / 365.25)[:, None, None, None] * np.ones((1, 1, 1, 2))
    cube = make_cube(fields)
    fitted = fit_climatology(cube, "daily", False)
    assert fitted.coefficients[1, 0, 0, 0] == pytest.approx(1, abs=1e-3)


def test_only_the_training_part_is_fitted(make_cube):
    fields = noisy_record(800)
    fields[400:] += 1000
    fitted = fit_climatology(make_cube(fields).slice(0, 400), "monthly", False)
    assert np.abs(fitted.coefficients).max() < 20
    assert fitted.period == ("1990-01-01", "1991-02-04")


@pytest.mark.parametrize(
    ("steps", "units", "calendar", "expected"),
    [
        (np.arange(731), "days since 2001-01-01", "standard", "daily"),
        (np.arange(700), "days since 2001-01-01", "standard", "none"),
        (np.arange(720), "days since 2001-01-01", "360_day", "daily"),
        (np.arange(4 * 731) * 6, "hours since 2001-01-01", "standard", "hourly"),
        (np.arange(24 * 30), "hours since 2001-01-01", "standard", "diurnal"),
        (np.arange(24 * 3), "hours since 2001-01-01", "standard", "none"),
        (np.arange(150) * 5, "days since 2001-01-01", "standard", "daily"),
        (np.arange(24) * 30, "days since 2001-01-01", "360_day", "monthly"),
        (np.arange(22) * 30, "days since 2001-01-01", "360_day", "none"),
        (np.arange(50) * 360, "days since 2001-01-01", "360_day", "none"),
    ],
)
def test_auto_chooses_by_step_and_length(steps, units, calendar, expected):
    import cftime

    time = TimeAxis.from_values(cftime.num2date(steps, units, calendar))
    assert resolve_anomaly("auto", time) == expected
    assert resolve_anomaly("monthly", time) == "monthly"
    assert resolve_anomaly("none", time) == "none"


# Steps shorter than a day.


def of_hours(make_cube, step_hours, days, *, gaps=False):
    """A record whose diurnal cycle is wide in summer and narrow in winter, on a seasonal cycle."""
    hours = np.arange(0, 24 * days, step_hours)
    year, day = 2 * np.pi * hours / 24 / 365.25, 2 * np.pi * hours / 24
    cycle = 290 - 10 * np.cos(year) + (4 - 3 * np.cos(year)) * np.cos(day - 0.8) + np.cos(2 * day)
    fields = cycle[:, None, None, None] + np.random.default_rng(0).normal(size=(len(hours), 1, 2, 3))
    if gaps:
        fields[::7, 0, 0, 1] = np.nan
    return make_cube(fields, numbers=hours, units="hours since 1990-01-01")


def largest_left(anomalies, cube):
    """Largest mean over a month and a time of the day."""
    hour = np.round(24 * cube.time.day_fraction)
    means = [
        np.abs(anomalies[(cube.time.month == month) & (hour == at)].mean(axis=0)).max()
        for month in range(1, 13)
        for at in np.unique(hour)
    ]
    return max(means)


@pytest.mark.parametrize("step_hours", [1, 3, 6, 12])
def test_no_diurnal_cycle_is_left_in_any_season(make_cube, step_hours):
    cube = of_hours(make_cube, step_hours, 3 * 365)
    left = {
        kind: largest_left(
            fit_climatology(cube, kind, False).subtract(cube.read(0, len(cube.time)), cube.time), cube
        )
        for kind in ("daily", "diurnal", "hourly", "monthly and diurnal")
    }
    assert left["hourly"] < 0.6  # of means of 90 values of noise, at hundreds of places
    assert left["monthly and diurnal"] < 0.6
    assert left["daily"] > 2
    assert left["diurnal"] > 5


@pytest.mark.parametrize("kind", ["diurnal", "hourly", "monthly and diurnal"])
@pytest.mark.parametrize(("step_hours", "days"), [(3, 800), (6, 800), (6, 40), (12, 100)])
def test_cycles_of_the_day_are_least_squares_at_each_point(make_cube, kind, step_hours, days):
    cube = of_hours(make_cube, step_hours, days, gaps=True)
    check_against_plain(cube, kind, detrend=False)


def test_long_steps_have_few_harmonics(make_cube):
    columns = {
        hours: fit_climatology(of_hours(make_cube, hours, 60), "diurnal", False).coefficients.shape[0]
        for hours in (1, 3, 6, 12)
    }
    assert columns == {1: 9, 3: 9, 6: 5, 12: 3}


@pytest.mark.parametrize("kind", ["diurnal", "hourly"])
def test_days_have_no_diurnal_cycle(make_cube, kind):
    with pytest.raises(UsageError, match="only steps shorter than a day"):
        resolve_anomaly(kind, make_cube(noisy_record(800)).time)


def test_the_kinds_have_words():
    assert "hourly" in told("hourly")
    assert told("mean") == "the mean of each point"
