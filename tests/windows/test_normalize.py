import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.windows.normalize import fit_normalizer


def _nothing(cube):
    return Climatology("none", False, np.zeros((0, *cube.shape[1:])), 0.0, ("", ""))


def test_statistics_equal_area_weighted_ones_of_the_whole_array(make_cube):
    cube = make_cube(land=0.3)
    fields = cube.read(0, cube.shape[0]).astype(np.float64)
    normalizer = fit_normalizer(cube, _nothing(cube))[0]
    for channel in range(2):
        values, weights = fields[:, channel], np.broadcast_to(cube.grid.area, fields[:, channel].shape)
        valid = np.isfinite(values)
        mean = np.average(values[valid], weights=weights[valid])
        variance = np.average((values[valid] - mean) ** 2, weights=weights[valid])
        np.testing.assert_allclose(normalizer.mean[channel], mean, rtol=1e-12)
        np.testing.assert_allclose(normalizer.std[channel], variance**0.5, rtol=1e-9)
    np.testing.assert_allclose(normalizer.valid, np.isfinite(fields).mean(0))


@pytest.mark.parametrize("kind", ["mean", "monthly", "daily"])
def test_gaps_that_follow_the_season_weigh_what_is_there(make_cube, kind):
    cube = make_cube(800)
    season = 4 * np.cos(2 * np.pi * cube.time.year_fraction)[:, None, None, None]
    fields = cube.fields.values
    fields += season * np.array([1.0, 300.0])[:, None, None]
    fields[fields < fields.mean(axis=0)] = np.nan
    fitted = fit_climatology(cube, kind, False)
    normalizer = fit_normalizer(cube, fitted)[0]
    anomalies = fields - fitted.expected(cube.time)
    for channel in range(2):
        there = np.isfinite(anomalies[:, channel])
        weights = np.broadcast_to(cube.grid.area, there.shape)[there]
        mean = np.average(anomalies[:, channel][there], weights=weights)
        variance = np.average((anomalies[:, channel][there] - mean) ** 2, weights=weights)
        assert normalizer.mean[channel] == pytest.approx(mean, abs=1e-4 * variance**0.5)
        assert normalizer.std[channel] == pytest.approx(variance**0.5, rel=1e-4)
    np.testing.assert_allclose(normalizer.valid, np.isfinite(fields).mean(0))


@given(st.integers(1, 5000))
def test_the_size_of_blocks_never_changes_the_statistics(make_cube, block):
    cube = make_cube(40)
    whole = fit_normalizer(cube, _nothing(cube))[0]
    blocks = [(i, min(i + block % 40 + 1, 40)) for i in range(0, 40, block % 40 + 1)]
    object.__setattr__(cube, "blocks", lambda: iter(blocks))
    cut = fit_normalizer(cube, _nothing(cube))[0]
    np.testing.assert_allclose(cut.std, whole.std, rtol=1e-10)
    np.testing.assert_allclose(cut.mean, whole.mean, rtol=1e-12)


def test_a_channel_of_1e_minus_5_survives_beside_one_of_1e5(make_cube):
    cube = make_cube(offset=(1e-5, 1e5))
    small = cube.fields.values.copy()
    small[:, 0] = 1e-5 + 1e-7 * (small[:, 0] - small[:, 0].mean())
    object.__setattr__(cube, "fields", cube.fields.copy(data=small))
    normalizer = fit_normalizer(cube, _nothing(cube))[0]
    scaled = normalizer.apply(cube.read(0, 80))
    for channel in range(2):
        weights = np.broadcast_to(cube.grid.area, scaled[:, channel].shape)
        assert np.average(scaled[:, channel] ** 2, weights=weights) == pytest.approx(1.0, rel=1e-3)
    np.testing.assert_allclose(normalizer.invert(scaled), small, rtol=1e-5)


def test_statistics_are_those_of_the_anomalies(make_cube):
    cube = make_cube(800)
    plain, seasonless = (
        fit_normalizer(cube, fit_climatology(cube, kind, False))[0] for kind in ("none", "monthly")
    )
    assert np.all(np.abs(seasonless.mean) < 1e-3 * plain.std)
    assert np.all(seasonless.std < plain.std)


@pytest.mark.parametrize("kind", ["none", "monthly"])
def test_a_constant_channel_is_told_by_name(make_cube, kind):
    cube = make_cube(800)
    fields = cube.fields.values.copy()
    fields[:, 1] = 101325.0
    object.__setattr__(cube, "fields", xr.DataArray(fields, dims=cube.fields.dims))
    flaws = fit_normalizer(cube, fit_climatology(cube, kind, False))[1]
    assert list(flaws) == [1]
    assert "v1 is constant in the training period" in str(flaws[1])


@pytest.mark.parametrize("fill", [1e19, -1e19, -9.99e8])
@pytest.mark.parametrize("share", [slice(0, 1), slice(0, -1)])
def test_fill_that_nobody_declared_is_told_as_such_and_not_as_a_constant(make_cube, fill, share):
    cube = make_cube(80)
    fields = cube.fields.values.copy()
    fields[:, 1, share] = fill
    object.__setattr__(cube, "fields", xr.DataArray(fields, dims=cube.fields.dims))
    flaws = fit_normalizer(cube, fit_climatology(cube, "mean", False))[1]
    assert list(flaws) == [1]
    assert f"v1 has values as large as {fill:.6g} in the training period" in str(flaws[1])
    assert f"--missing-value {fill:.6g}" in str(flaws[1])


def test_a_channel_without_values_is_told_by_name(make_cube):
    cube = make_cube()
    fields = cube.fields.values.copy()
    fields[:, 0] = np.nan
    object.__setattr__(cube, "fields", xr.DataArray(fields, dims=cube.fields.dims))
    flaws = fit_normalizer(cube, _nothing(cube))[1]
    assert list(flaws) == [0]
    assert "v0 holds no valid value" in str(flaws[0])
