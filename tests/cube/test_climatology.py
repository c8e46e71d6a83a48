from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube import climatology
from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.cube.cycles import diurnal_left, resolve_anomaly, told
from faconv_cli.cube.time.timeaxis import TimeAxis
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
        length[length < 1e-9] = 1  # the sine of the shortest wave at 00, 06, ... UTC is rounding
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
@pytest.mark.slow
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
        (np.arange(4 * 365) * 6, "hours since 2001-01-01", "standard", "seasonal-diurnal"),
        (np.arange(4 * 276) * 6, "hours since 2001-01-01", "standard", "seasonal-diurnal"),
        (np.arange(4 * 270) * 6, "hours since 2001-01-01", "standard", "diurnal"),
        (np.r_[:360, 1460:1820] * 6, "hours since 2001-12-01", "standard", "diurnal"),  # two winters
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


@pytest.mark.parametrize("kind", ["diurnal", "seasonal-diurnal", "hourly"])
def test_days_have_no_diurnal_cycle(make_cube, kind):
    with pytest.raises(UsageError, match="needs steps shorter than a day"):
        resolve_anomaly(kind, make_cube(noisy_record(800)).time)


def one_year(make_cube, *, detrend=0.0, missing=None):
    """Six-hourly: the diurnal cycle is 1 K in winter and 7 K in summer; a seasonal cycle of 10 K, a trend.

    Returns the cube, the diurnal cycle (t,) and the rest (t,), without the noise.
    """
    time = TimeAxis.from_values(np.datetime64("1990-01-01", "ns") + np.arange(1460) * np.timedelta64(6, "h"))
    year, day = 2 * np.pi * time.year_fraction, 2 * np.pi * time.day_fraction
    diurnal = (4 - 3 * np.cos(year)) * np.cos(day - 0.8) + np.sin(year) * np.sin(day)
    rest = 290 - 10 * np.cos(year) + 2 * np.sin(2 * year) + detrend * (time.years - time.years[0])
    noise = np.random.default_rng(0).normal(size=(1460, 1, 2, 3)) / 2
    fields = (diurnal + rest)[:, None, None, None] + noise
    for index, at in enumerate([] if missing is None else missing(time)):
        fields[at, 0, index // 3, index % 3] = np.nan
    return make_cube(fields, numbers=np.arange(1460) * 6, units=HOURS), diurnal, rest


HOURS = "hours since 1990-01-01"


def seasonal_gaps(time):
    """Summers without nights, no winter, every seventh step, a point that is never there."""
    summer, night = np.isin(time.month, (5, 6, 7, 8)), np.isin(24 * time.day_fraction, (0, 18))
    return [summer & night, np.isin(time.month, (1, 2, 12)), np.arange(1460) % 7 == 0, np.full(1460, True)]


@pytest.mark.parametrize("detrend", [False, True])
def test_a_changing_diurnal_cycle_is_least_squares_where_gaps_follow_the_season(make_cube, detrend):
    """Against NumPy's lstsq, point by point: beside four harmonics of the year, which are then left out."""
    cube, _, _ = one_year(make_cube, detrend=3.0, missing=seasonal_gaps)
    fitted = fit_climatology(cube, "seasonal-diurnal", detrend)
    basis, fields = fitted.basis(cube.time), cube.read(0, 1460).astype(np.float64)
    assert basis.shape == (1460, 1 + 4 * 3 + detrend)  # two harmonics of the day, each times 1, cos, sin
    angle = 2 * np.pi * cube.time.year_fraction[:, None] * [1, 2, 3, 4]
    whole, day = np.hstack([basis, np.cos(angle), np.sin(angle)]), slice(1, 13)
    others = np.delete(basis, day, axis=1)
    for row, column in np.ndindex(2, 3):
        y = fields[:, 0, row, column]
        valid = np.isfinite(y)
        if not valid.any():
            assert np.isnan(fitted.coefficients[:, 0, row, column]).all()
            continue
        length = np.maximum(np.linalg.norm(whole[valid], axis=0), 1e-9)
        solved = np.linalg.lstsq(whole[valid] / length, y[valid], rcond=1e-3)[0] / length
        diurnal = basis[:, day] @ solved[day]
        rest = others @ np.linalg.lstsq(others[valid], (y - diurnal)[valid], rcond=None)[0]
        np.testing.assert_allclose(fitted.expected(cube.time)[:, 0, row, column], diurnal + rest, atol=1e-4)


def test_the_diurnal_part_alone_follows_the_season(make_cube):
    """What is taken off a day on average is the time mean, as of any short record."""
    cube, diurnal, rest = one_year(make_cube)
    expected = fit_climatology(cube, "seasonal-diurnal", False).expected(cube.time)[:, 0]
    np.testing.assert_allclose(expected, (diurnal + rest.mean())[:, None, None] * np.ones((2, 3)), atol=0.2)


@pytest.mark.parametrize("months", [(6,), (12, 1, 2), (4, 5, 6, 7, 8)])
def test_a_point_seen_in_a_part_of_the_year_has_one_diurnal_cycle(make_cube, months):
    """What its season tells of the others would be wild there."""
    cube, diurnal, _ = one_year(make_cube, missing=lambda time: [~np.isin(time.month, months)])
    fitted = fit_climatology(cube, "seasonal-diurnal", False)
    days = fitted.expected(cube.time)[:, 0, 0, 0].reshape(-1, 4)
    np.testing.assert_allclose(days, days[:1] * np.ones((365, 1)), atol=1e-6)
    seen = diurnal.reshape(-1, 4)[np.isin(cube.time.month[::4], months)].mean(axis=0)
    np.testing.assert_allclose(days[0] - days[0].mean(), seen - seen.mean(), atol=0.3)
    assert np.abs(fitted.coefficients[2, 0, 0, 1]) > 1  # the others change


def test_a_summer_without_nights_is_not_taken_for_a_diurnal_cycle(make_cube):
    cube, diurnal, _ = one_year(make_cube, missing=lambda time: seasonal_gaps(time)[:1])
    expected = fit_climatology(cube, "seasonal-diurnal", False).expected(cube.time)[:, 0, 0, 0]
    found = expected.reshape(-1, 4) - expected.reshape(-1, 4).mean(axis=1, keepdims=True)
    wanted = diurnal.reshape(-1, 4) - diurnal.reshape(-1, 4).mean(axis=1, keepdims=True)
    assert np.abs(found - wanted).max() < 0.6
    plain = fit_climatology(cube, "diurnal", False).expected(cube.time)[:, 0, 0, 0].reshape(-1, 4)
    assert np.abs(plain - plain.mean(axis=1, keepdims=True) - wanted).max() > 3


@pytest.mark.parametrize("kind", ["diurnal", "seasonal-diurnal", "hourly", "monthly and diurnal"])
@pytest.mark.parametrize("step_hours", [3, 6, 12])
def test_hours_between_those_of_the_training_are_interpolated(make_cube, kind, step_hours):
    """A checkpoint of 00, 06, 12 and 18 UTC may be run on 03, 09, 15 and 21 UTC."""
    cube = of_hours(make_cube, step_hours, 365)
    fitted = fit_climatology(cube, kind, False)
    between = TimeAxis.from_values(cube.time.values + timedelta(hours=step_hours / 2))
    assert np.abs(fitted.expected(between) - 290).max() < 25


def test_old_kinds_mean_what_they_meant(make_cube):
    """Coefficients in a checkpoint are of these columns; the very bits of its embedding depend on them."""
    time = one_year(make_cube)[0].time
    day, year, two_pi = time.day_fraction, time.year_fraction, 2 * np.pi
    one, of_day = np.ones(1460), [f(two_pi * n * day) for n in (1, 2) for f in (np.cos, np.sin)]
    of_year = [f(two_pi * n * year) for n in (1, 2, 3, 4) for f in (np.cos, np.sin)]
    columns = {
        "diurnal": [one, *of_day],
        "hourly": [one, *of_year, *(a * b for a in of_day for b in (one, *of_year[:4]))],
    }
    for kind, expected in columns.items():
        basis = Climatology(kind, False, np.zeros((len(expected), 1, 1, 1)), 0.0, ("", "")).basis(time)
        np.testing.assert_array_equal(basis, np.stack(expected, axis=1))


@pytest.mark.parametrize(
    ("kind", "days", "left"),
    [
        ("diurnal", 365, "one cycle is used for 12 months"),
        ("diurnal", 92, "one cycle is used for 3 months"),
        ("diurnal", 40, ""),
        ("seasonal-diurnal", 365, ""),
        ("hourly", 365, ""),
        ("daily", 365, "The diurnal cycle is not removed"),
        ("mean", 40, "The diurnal cycle is not removed"),
    ],
)
def test_what_is_left_of_a_diurnal_cycle_is_told(make_cube, kind, days, left):
    told = diurnal_left(kind, of_hours(make_cube, 6, days))
    assert len(told) == bool(left)
    assert all(left in note for note in told)
    assert diurnal_left(kind, make_cube(noisy_record(days))) == []


def test_a_seasonal_diurnal_cycle_takes_nine_months(make_cube):
    with pytest.raises(UsageError, match="covers 3 months of the year"):
        resolve_anomaly("seasonal-diurnal", of_hours(make_cube, 6, 90).time)
    assert resolve_anomaly("seasonal-diurnal", of_hours(make_cube, 6, 280).time) == "seasonal-diurnal"


def test_the_kinds_have_words():
    assert "hourly" in told("hourly")
    assert told("mean") == "the mean of each point"


def test_a_levelled_climatology_is_the_mean_of_all_points_by_area(make_cube):
    fields = noisy_record(30)
    fields[:, :, 1, 2] = np.nan
    cube = make_cube(fields)
    each = fit_climatology(cube, "mean", False)
    level = each.levelled(cube.grid.area)
    assert level.kind == "constant"
    known = np.isfinite(each.coefficients)
    np.testing.assert_array_equal(np.isfinite(level.coefficients), known)
    for channel in range(2):
        weight = np.where(known[0, channel], cube.grid.area, 0)
        mean = np.average(np.nan_to_num(each.coefficients[0, channel]), weights=weight)
        np.testing.assert_allclose(level.coefficients[0, channel][known[0, channel]], mean)
    assert told("constant") == "the mean of all points"
