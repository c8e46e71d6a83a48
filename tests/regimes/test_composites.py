from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_ind

from faconv_cli.cube.cube import Channel, Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.timeaxis import TimeAxis
from faconv_cli.errors import InputError
from faconv_cli.regimes import composites as room
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


def test_means_are_those_of_the_steps_of_each_regime(record):
    cube, labels = record
    found = composites(cube, labels, np.array([9, 9, 9]))
    fields = cube.read(0, 730).astype(float)
    for k in (1, 2, 3):
        of_k = fields[labels == k]
        count = np.isfinite(of_k).sum(axis=0)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(found.mean[k - 1], np.nansum(of_k, axis=0) / count, rtol=1e-6)
    np.testing.assert_array_equal(found.steps, [(labels == k).sum() for k in (1, 2, 3)])
    assert np.isnan(found.anomaly[:, :, 0, 1]).all()


@pytest.mark.parametrize("steps", [1, 7, 100])
def test_composites_do_not_depend_on_blocks(record, monkeypatch, steps):
    cube, labels = record
    whole, seen = composites(cube, labels, np.array([9, 9, 9])), []
    cut = [(start, min(start + steps, 730)) for start in range(0, 730, steps)]
    monkeypatch.setattr(room, "blocks", lambda cube: cut)
    pieces = composites(cube, labels, np.array([9, 9, 9]), lambda: seen.append(1))
    for name in ("mean", "anomaly", "p_value"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-4, atol=1e-5)
    assert len(seen) == len(cut)


def test_the_seasonal_cycle_is_not_taken_for_the_pattern_of_a_regime():
    rng = np.random.default_rng(0)
    time = TimeAxis.from_values(days(3650))
    warm = 10 * np.cos(2 * np.pi * (time.month - 7) / 12)
    pattern = rng.standard_normal((1, 3, 4))
    labels = np.where(rng.random(3650) < np.where(warm > 0, 0.8, 0.2), 1, 2)
    fields = warm[:, None, None, None] + np.where(labels == 1, 1, -1)[:, None, None, None] * pattern
    found = composites(cube_of(fields), labels, np.array([100, 100]))
    raw = found.mean[0] - fields.mean(axis=0)
    assert np.abs(raw - (found.mean[0] - found.mean[1]) / 2).max() > 0.1  # the cycle is in the raw means
    excess = (found.anomaly[0] - found.anomaly[1]) / 2 / pattern
    np.testing.assert_allclose(excess, excess.flat[0], rtol=1e-3)  # the pattern alone, free of the cycle
    assert 0.6 < excess.flat[0] < 1  # less than all of it: the mean of a month has its regimes in it


def test_unclassified_steps_belong_to_the_mean_but_to_no_regime():
    fields = np.zeros((40, 1, 2, 3))
    fields[:10] = 4.0
    labels = np.array([1] * 10 + [0] * 30)
    found = composites(cube_of(fields), labels, np.array([1]))
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
    found = composites(cube_of(fields), labels, np.array([16, 15]))
    expected = ttest_ind(fields[labels == 1], fields[labels == 2]).pvalue
    np.testing.assert_allclose(found.p_value, [expected, expected], rtol=1e-4)
    fewer = composites(cube_of(fields), labels, np.array([4, 4]))
    assert (fewer.p_value > found.p_value).all()


def test_pure_noise_is_significant_as_often_as_the_level_says():
    rng = np.random.default_rng(2)
    fields = rng.standard_normal((400, 1, 40, 50))
    labels = rng.integers(1, 4, 400)
    found = composites(cube_of(fields), labels, np.bincount(labels)[1:])
    assert (found.p_value < 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_large_means_lose_no_digits():
    rng = np.random.default_rng(3)
    fields = rng.standard_normal((60, 1, 2, 3))
    labels = rng.integers(1, 3, 60)
    near, far = (
        composites(cube_of((fields + offset).astype(np.float32)), labels, np.array([9, 9]))
        for offset in (0, 4096)
    )
    np.testing.assert_allclose(far.p_value, near.p_value, atol=2e-3)


def test_an_unused_regime_has_no_composite():
    found = composites(cube_of(np.ones((5, 1, 2, 3))), np.array([1, 1, 1, 1, 1]), np.array([1, 0]))
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


def test_separation_on_too_large_an_input_is_left_out(record, monkeypatch):
    monkeypatch.setattr(room, "MAX_INPUT_NUMBERS", 1000)
    assert input_separation(*record) is None


def test_a_constant_cell_scales_to_zero():
    np.testing.assert_array_equal(minmax_scaled(np.array([[1.0, 5.0], [3.0, 5.0]])), [[0, 0], [1, 0]])


def test_steps_without_a_label_are_not_read(record, monkeypatch):
    cube, labels = record
    labels = np.where((np.arange(730) > 200) & (np.arange(730) < 230), np.maximum(labels, 1), -1)
    read, seen = Cube.read, []
    monkeypatch.setattr(room, "blocks", lambda cube: [(s, min(s + 100, 730)) for s in range(0, 730, 100)])
    monkeypatch.setattr(Cube, "read", lambda self, a, b: seen.append((a, b)) or read(self, a, b))
    composites(replace(cube), labels, np.array([1, 1, 1]))
    assert seen == [(201, 230)]
