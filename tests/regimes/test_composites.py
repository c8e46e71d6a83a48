from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.stats import t as t_distribution
from scipy.stats import ttest_ind
from sklearn.decomposition import PCA

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError
from faconv_cli.regimes import composites as room
from faconv_cli.regimes import significance
from faconv_cli.regimes.cluster import fit_regimes
from faconv_cli.regimes.composites import composites, input_separation, match_labels, minmax_scaled
from tests.regimes.planted import days


def cube_of(fields, time=None):
    """Wrap (t, c, h, w) as a cube of channels sst, z500, ..."""
    t, c, h, w = fields.shape
    channels = (Channel("sst", "degC"), Channel("z500", "m"))[:c]
    return Cube(
        fields=xr.DataArray(fields.astype(np.float32), dims=("time", "channel", "y", "x")),
        channels=channels,
        time=TimeAxis.from_values(days(t) if time is None else time),
        grid=Grid.from_coordinates(np.linspace(60, 20, h), np.linspace(-40, 40, w)),
        sources=("made.nc",),
    )


@pytest.fixture
def record():
    """Two years of days: (cube with land and a hole in time, labels -1..3)."""
    rng = np.random.default_rng(0)
    fields = 15 + rng.standard_normal((730, 2, 4, 5))
    fields[:, :, 0, 1] = np.nan
    fields[100:200, 0, 2, 2] = np.nan
    return cube_of(fields), rng.integers(-1, 4, 730)


def cut(steps, length):
    return [(start, min(start + length, steps)) for start in range(0, steps, length)]


def test_means_are_those_of_the_steps_of_each_regime(record):
    cube, labels = record
    found = composites(cube, labels, 3)
    fields = cube.read(0, 730).astype(float)
    for k in (1, 2, 3):
        of_k = fields[labels == k]
        count = np.isfinite(of_k).sum(axis=0)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(found.mean[k - 1], np.nansum(of_k, axis=0) / count, rtol=1e-6)
    np.testing.assert_array_equal(found.steps, [(labels == k).sum() for k in (1, 2, 3)])
    assert np.isnan(found.anomaly[:, :, 0, 1]).all()


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.slow
def test_composites_do_not_depend_on_blocks(record, monkeypatch, steps):
    cube, labels = record
    whole, seen = composites(cube, labels, 3), []
    monkeypatch.setattr(room, "blocks", lambda cube: cut(len(cube.time), steps))
    pieces = composites(cube, labels, 3, advance=lambda: seen.append(1))
    for name in ("mean", "anomaly", "p_value"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-4, atol=1e-5)
    assert len(seen) == len(cut((labels >= 0).sum(), steps))


def test_the_seasonal_cycle_is_not_taken_for_the_pattern_of_a_regime():
    rng = np.random.default_rng(0)
    time = TimeAxis.from_values(days(3650))
    warm = 10 * np.cos(2 * np.pi * (time.month - 7) / 12)
    pattern = rng.standard_normal((1, 3, 4))
    labels = np.where(rng.random(3650) < np.where(warm > 0, 0.8, 0.2), 1, 2)
    fields = warm[:, None, None, None] + np.where(labels == 1, 1, -1)[:, None, None, None] * pattern
    found = composites(cube_of(fields), labels, 2)
    raw = found.mean[0] - fields.mean(axis=0)
    assert np.abs(raw - (found.mean[0] - found.mean[1]) / 2).max() > 0.1  # the cycle is in the raw means
    excess = (found.anomaly[0] - found.anomaly[1]) / 2 / pattern
    np.testing.assert_allclose(excess, excess.flat[0], rtol=1e-3)  # the pattern alone, free of the cycle
    assert 0.6 < excess.flat[0] < 1  # less than all of it: the mean of a month has its regimes in it


def test_unclassified_steps_belong_to_the_mean_but_to_no_regime():
    fields = np.zeros((40, 1, 2, 3))
    fields[:10] = 4.0
    labels = np.array([1] * 10 + [0] * 30)
    found = composites(cube_of(fields), labels, 1)
    np.testing.assert_allclose(found.mean[0], 4)
    time = cube_of(fields).time
    january = time.month == 1
    share = january[:10].mean()
    expected = 4 - share * fields[january].mean() - (1 - share) * 0
    np.testing.assert_allclose(found.anomaly[0], expected, rtol=1e-6)


def test_significance_is_that_of_a_t_test_over_spells():
    rng = np.random.default_rng(1)
    fields = rng.standard_normal((31, 1, 2, 3))  # of one month, each step a spell
    labels = np.where(np.arange(31) % 2 == 0, 1, 2)
    fields[labels == 2] -= np.linspace(0, 2, 6).reshape(1, 2, 3)
    found = composites(cube_of(fields), labels, 2)
    expected = ttest_ind(fields[labels == 1], fields[labels == 2]).pvalue
    np.testing.assert_allclose(found.p_value, [expected, expected], rtol=1e-4)
    assert found.tests == (significance.T_TEST,)
    order = np.argsort(labels, kind="stable")  # the same values in two spells alone
    fewer = composites(cube_of(fields[order]), labels[order], 2)
    assert (fewer.p_value > found.p_value).all()


def test_pure_noise_is_significant_as_often_as_the_level_says():
    rng = np.random.default_rng(2)
    fields = rng.standard_normal((400, 1, 40, 50))
    labels = np.arange(400) % 3 + 1  # each step a spell
    found = composites(cube_of(fields), labels, 3)
    assert (found.p_value < 0.05).mean() == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("steps", [10_000, 37])
def test_the_memory_of_each_point_is_of_neighbours_that_it_has_both(monkeypatch, steps):
    cube, labels = seasonal_gaps()
    seen = []
    monkeypatch.setattr(room, "blocks", lambda cube: cut(len(cube.time), steps))
    monkeypatch.setattr(room, "memory_of", lambda *sums: seen.append(sums) or significance.memory_of(*sums))
    composites(cube, labels, 3)
    used = labels >= 0
    fields = cube.read(0, len(labels))[:, 0].reshape(len(labels), -1)
    both = np.isfinite(fields[1:]) & np.isfinite(fields[:-1]) & (used[1:] & used[:-1])[:, None]
    np.testing.assert_array_equal(seen[0][1], both.sum(axis=0))


@pytest.mark.parametrize("memory", [0.0, 0.9, 0.98])
def test_noise_that_remembers_longer_than_spells_is_hardly_ever_significant(memory):
    """As sea surface temperature on regimes of daily pressure."""
    rng = np.random.default_rng(4)
    labels = rng.integers(1, 4, 300).repeat(5)
    fields = rng.standard_normal((1500, 1, 20, 25)).astype(np.float32)
    for step in range(1, 1500):
        fields[step] = memory * fields[step - 1] + np.sqrt(1 - memory**2) * fields[step]
    found = composites(cube_of(fields), labels, 3)
    assert (found.p_value < 0.05).mean() < 0.07
    assert (found.p_adjusted < 0.05).mean() < 0.01


def test_large_means_lose_no_digits():
    rng = np.random.default_rng(3)
    fields = rng.standard_normal((60, 1, 2, 3))
    labels = rng.integers(1, 3, 60)
    near, far = (composites(cube_of((fields + offset).astype(np.float32)), labels, 2) for offset in (0, 4096))
    np.testing.assert_allclose(far.p_value, near.p_value, atol=2e-3)


def test_an_unused_regime_has_no_composite():
    found = composites(cube_of(np.ones((5, 1, 2, 3))), np.array([1, 1, 1, 1, 1]), 2)
    assert np.isfinite(found.mean[0]).all()
    assert np.isnan(found.mean[1]).all()


def test_labels_go_to_the_same_stamps_whatever_else_the_data_hold():
    time, data = TimeAxis.from_values(days(5)), TimeAxis.from_values(days(9, "2000-12-30"))
    matched = match_labels(data, time, np.array([1, 2, 3, -1, 1]), "data.nc")
    np.testing.assert_array_equal(matched, [-1, -1, 1, 2, 3, -1, 1, -1, -1])


def test_stamps_match_across_calendars_and_hours():
    cf = xr.date_range("2001-01-01", periods=5, freq="12h", calendar="standard", use_cftime=True).values
    matched = match_labels(TimeAxis.from_values(cf), TimeAxis.from_values(days(3)), np.array([1, 2, 3]), "d")
    np.testing.assert_array_equal(matched, [1, -1, 2, -1, 3])


def test_a_date_of_another_calendar_is_another_day():
    with pytest.raises(InputError, match=r"d: the calendar is noleap, but that of the labels is standard"):
        noleap = xr.date_range("2001-01-01", periods=5, calendar="noleap", use_cftime=True).values
        match_labels(TimeAxis.from_values(noleap), TimeAxis.from_values(days(5)), np.ones(5), "d")


def test_labels_of_months_are_not_those_of_their_first_days():
    months = TimeAxis.from_values(np.arange("2001-01", "2002-01", dtype="M8[M]").astype("M8[ns]"))
    with pytest.raises(InputError, match=r"d: the time step is 1 day, but that of the labels is 1 month"):
        match_labels(TimeAxis.from_values(days(365)), months, np.ones(12), "d")


def test_data_of_another_time_are_refused():
    with pytest.raises(InputError, match=r"data\.nc: none of its time steps"):
        match_labels(
            TimeAxis.from_values(days(5, "1950-01-01")), TimeAxis.from_values(days(5)), np.ones(5), "data.nc"
        )


def test_separation_on_the_input_uses_scaled_cells_without_missing_ones(record):
    cube, labels = record
    fields = cube.read(0, 730).reshape(730, -1)[labels > 0]
    fields = fields[:, np.isfinite(fields).all(axis=0)]
    scaled = (fields - fields.min(axis=0)) / (fields.max(axis=0) - fields.min(axis=0))
    expected = room.separation(scaled, labels[labels > 0])
    found = input_separation(cube, labels)
    assert found.silhouette == pytest.approx(expected.silhouette, abs=1e-5)
    assert found.rmse == pytest.approx(expected.rmse, rel=1e-5)


def test_separation_needs_a_point_that_is_always_seen(record):
    cube, labels = record
    clouds = np.random.default_rng(1).uniform(size=cube.shape) < 0.3
    fields = np.where(clouds, np.nan, cube.read(0, 730))
    assert input_separation(cube_of(fields), labels) is None
    assert input_separation(cube_of(np.full_like(fields, np.nan)), labels) is None


def test_separation_on_too_large_an_input_is_left_out(record, monkeypatch):
    monkeypatch.setattr(room, "MAX_INPUT_NUMBERS", 1000)
    assert input_separation(*record) is None


def test_a_constant_cell_scales_to_zero():
    np.testing.assert_array_equal(minmax_scaled(np.array([[1.0, 5.0], [3.0, 5.0]])), [[0, 0], [1, 0]])


def test_steps_without_a_label_are_not_read(record, monkeypatch):
    cube, labels = record
    labels = np.where((np.arange(730) > 200) & (np.arange(730) < 230), np.maximum(labels, 1), -1)
    read, seen = Cube.read, []
    monkeypatch.setattr(
        Cube, "read", lambda self, a, b: seen.append(self.time.labels[a:b]) or read(self, a, b)
    )
    composites(cube, labels, 3)
    assert {stamp for stamps in seen for stamp in stamps} == set(cube.time.labels[201:230])


# Gaps that follow the season, against sums that are written out.


def seasonal_gaps(steps=900, seed=0):
    """Temperatures seen only where it is warm, as in a record of sea without ice; labels and their cube."""
    rng = np.random.default_rng(seed)
    time = TimeAxis.from_values(days(steps))
    cycle = -8 * np.cos(2 * np.pi * time.year_fraction)[:, None, None, None]
    fields = 6 + cycle + np.linspace(-6, 6, 12).reshape(1, 1, 3, 4) + rng.standard_normal((steps, 1, 3, 4))
    labels = np.repeat(rng.integers(0, 4, steps // 5), 5)
    labels[rng.random(steps) < np.where(time.month < 7, 0.5, 0.0)] = 1  # one regime prefers some months
    labels[::17] = -1
    fields[fields < 4] = np.nan
    return cube_of(fields), labels


def point_by_point(cube, labels, k):
    """Means, anomalies and p-values of each point from its own valid steps alone."""
    fields, month = cube.read(0, len(labels)).astype(float), cube.time.month
    mean, anomaly, p_value = np.full((3, k, *cube.shape[1:]), np.nan)
    used = np.flatnonzero(labels >= 0)
    run = np.zeros(len(labels), int)  # number of the spell
    for before, now in pairwise(used):
        run[now] = run[before] + (now - before > 1 or labels[now] != labels[before])
    for point in np.ndindex(*cube.shape[1:]):
        series = fields[(slice(None), *point)]
        there = [t for t in used if np.isfinite(series[t])]
        if not there:
            continue
        normal = {m: np.mean([series[t] for t in there if month[t] == m]) for m in {month[t] for t in there}}
        own = {g: [t for t in there if labels[t] == g] for g in range(k + 1)}
        off = {g: [series[t] - normal[month[t]] for t in own[g]] for g in own}
        spells = {g: len({run[t] for t in own[g]}) for g in own}
        within = sum(((np.array(x) - np.mean(x)) ** 2).sum() for x in off.values() if x)
        variance, everything = within / (len(there) - k), sum(spells.values())
        for g in range(1, k + 1):
            at = (g - 1, *point)
            if own[g]:
                mean[at], anomaly[at] = np.mean([series[t] for t in own[g]]), np.mean(off[g])
                error = np.sqrt(variance * (1 / spells[g] - 1 / everything))
                p_value[at] = 2 * t_distribution.sf(abs(anomaly[at] / error), everything - k)
    return mean, anomaly, p_value


@pytest.mark.parametrize("steps", [10_000, 37])
def test_each_point_counts_its_own_steps(monkeypatch, steps):
    cube, labels = seasonal_gaps()
    share = np.isfinite(cube.read(0, 900)).mean(axis=0)
    assert (share.min(), share.max()) == (pytest.approx(0.3, abs=0.1), pytest.approx(0.9, abs=0.1))
    monkeypatch.setattr(room, "blocks", lambda cube: cut(len(cube.time), steps))
    monkeypatch.setattr(room, "memory_of", lambda products, *rest: np.zeros_like(products))
    found, expected = composites(cube, labels, 3), point_by_point(cube, labels, 3)
    for name, values in zip(("mean", "anomaly", "p_value"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), values, rtol=2e-4, atol=2e-5, err_msg=name)


def test_what_misses_values_in_some_months_gets_no_anomaly_from_them():
    """A regime that prefers winter, at a point that is seen in summer alone."""
    rng = np.random.default_rng(0)
    time = TimeAxis.from_values(days(1461))
    summer = np.isin(time.month, [6, 7, 8])
    labels = np.where(rng.random(1461) < np.where(summer, 0.1, 0.8), 1, 2)
    fields = np.broadcast_to(
        10.0 * summer[:, None, None, None], (1461, 1, 2, 3)
    ) + 0.01 * rng.standard_normal((1461, 1, 2, 3))
    fields = np.where(summer[:, None, None, None], fields, np.nan)
    fields[:, :, 1] = np.where(summer[:, None, None], 10.0, 0.0) + 0.01 * rng.standard_normal((1461, 1, 3))
    found = composites(cube_of(fields), labels, 2)
    np.testing.assert_allclose(found.anomaly, 0, atol=0.005)


# Regimes that were cut from the field.


def red_fields(steps, memory=0.8, shape=(8, 16), seed=0):
    """Pure red noise, smooth in space."""
    rng = np.random.default_rng(seed)
    shocks = gaussian_filter(rng.standard_normal((steps + 60, *shape)), (0, 2, 2))
    for step in range(1, len(shocks)):
        shocks[step] += memory * shocks[step - 1]
    return shocks[60:, None]


def clustered(fields, k=4, modes=8, seed=0):
    """Composites of fields by the regimes of their own principal components."""
    cube = cube_of(fields)
    flat = (fields - fields.mean(axis=0)).reshape(len(fields), -1)
    z = PCA(modes).fit_transform(flat)
    fit, apart = fit_regimes("kmeans", z, k, seed=seed), np.ones(len(z) - 1)
    null = partial(significance.red_noise_regimes, "kmeans", z, apart, k, seed=seed)
    source = room.Origin(frozenset({"sst"}), z, null)
    return composites(cube, fit.labels + 1, k, source), composites(cube, fit.labels + 1, k)


@pytest.mark.slow
def test_of_red_noise_hardly_a_point_stands_out():
    found = [clustered(red_fields(400, seed=seed)) for seed in range(5)]
    assert np.mean([cut.p_value < 0.05 for cut, _ in found]) < 0.05
    assert np.mean([plain.p_value < 0.05 for _, plain in found]) > 0.5  # what a t test makes of it
    assert not any((cut.p_adjusted < 0.05).any() for cut, _ in found)
    assert found[0][0].tests == (significance.SURROGATE_TEST,)


@pytest.mark.slow
def test_regimes_that_are_there_stand_out():
    """Four corners that no Gaussian cloud of the same covariance has."""
    label = np.repeat(np.random.default_rng(0).integers(0, 4, 400), 5)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])[label]
    patterns = np.linalg.qr(red_fields(3, seed=9).reshape(3, -1).T)[0].T.reshape(3, 8, 16)
    noise = red_fields(2000, seed=3)
    fields = np.einsum("tk,kyx->tyx", corners, patterns / patterns.std())[:, None] + 0.3 * noise / noise.std()
    found, _ = clustered(fields)
    strong = np.abs(found.anomaly) > np.quantile(np.abs(found.anomaly), 0.95)
    assert (found.p_adjusted < 0.05).mean() > 0.15
    assert (found.p_adjusted[strong] < 0.05).mean() > 0.5


def test_other_channels_than_those_that_were_clustered_have_a_t_test():
    fields = np.concatenate([red_fields(200), red_fields(200, seed=1)], axis=1)
    cube, z = cube_of(fields), np.random.default_rng(0).standard_normal((200, 3))
    fit = fit_regimes("kmeans", z, 2, seed=0)
    null = partial(significance.red_noise_regimes, "kmeans", z, np.ones(199), 2, seed=0)
    found = composites(cube, fit.labels + 1, 2, room.Origin(frozenset({"sst"}), z, null))
    plain = composites(cube, fit.labels + 1, 2)
    assert found.tests == (significance.SURROGATE_TEST, significance.T_TEST)
    np.testing.assert_array_equal(found.p_value[:, 1], plain.p_value[:, 1])
    assert (found.p_value[:, 0] != plain.p_value[:, 0]).any()


def test_gregorian_calendars_name_days_alike_where_they_do():
    recent, old = (
        [
            TimeAxis.from_values(xr.date_range(start, periods=3, calendar=calendar, use_cftime=True).values)
            for calendar in ("standard", "proleptic_gregorian")
        ]
        for start in ("1990-01-01", "1500-01-01")
    )
    assert room.match_steps(*recent).tolist() == [0, 1, 2]
    assert room.match_steps(*old).tolist() == [-1, -1, -1]
