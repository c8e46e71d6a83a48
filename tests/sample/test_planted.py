"""A planted cube holds the regimes it says, where and as hard to find as it says."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from faconv_cli.errors import UsageError
from faconv_cli.sample.config import VARIABLES, PlantedConfig
from faconv_cli.sample.planted import blocks, plan, planted_cube, steps_per_block
from faconv_cli.sample.signal import CENTRES

SMALL = PlantedConfig(steps=60, lat=8, lon=16)
KINDS = ("snapshot", "motion", "teleconnection")


def values(config, block_steps=10**6):
    return np.concatenate(list(blocks(plan(config), block_steps)))


def deseasonalised(cube, names):
    """Area-weighted anomalies (t, points) of unit spread, without mean, trend and seasonal cycle."""
    angle = 2 * np.pi * cube["time"].dt.dayofyear.values / 365.25
    columns = [np.ones_like(angle), np.arange(angle.size)]
    basis = np.column_stack([*columns, *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))])
    weights = np.sqrt(np.cos(np.deg2rad(cube["lat"].values)))[:, None]
    parts = []
    for name in names:
        field = (cube[name].values * weights).reshape(angle.size, -1)
        field = field[:, ~np.isnan(field[0])]
        anomaly = field - basis @ np.linalg.lstsq(basis, field, rcond=None)[0]
        parts.append(anomaly / anomaly.std())
    return np.hstack(parts)


def leading_eofs(config, number=10):
    """Amplitudes (t, number) of the leading EOFs of a planted cube, and its regimes (t,)."""
    cube = planted_cube(config)
    anomalies = deseasonalised(cube, [variable.name for variable in config.chosen])
    pca = PCA(number, svd_solver="randomized", random_state=0)
    return pca.fit_transform(anomalies), cube["regime_true"].values


def kmeans_score(config):
    amplitudes, truth = leading_eofs(config)
    found = KMeans(config.regime_count, n_init=5, random_state=0).fit_predict(amplitudes)
    return adjusted_rand_score(truth, found)


def probe(features, truth, degree=1):
    """Balanced accuracy in the second half of a logistic classifier fitted in the first half."""
    half = truth.size // 2
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(degree), LogisticRegression(C=0.1, max_iter=2000)
    ).fit(features[:half], truth[:half])
    return balanced_accuracy_score(truth[half:], model.predict(features[half:]))


# --- how hard the regimes are to find -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_snapshot_regimes_are_found_by_eofs_and_kmeans(seed):
    assert kmeans_score(PlantedConfig(seed=seed)) > 0.9


def test_noise_makes_snapshot_regimes_harder_to_find():
    clean, default, loud = (kmeans_score(PlantedConfig(noise=noise)) for noise in (0.5, 2.5, 8.0))
    assert clean > 0.999
    assert loud < 0.5 < default


@pytest.mark.parametrize("kind", ["motion", "teleconnection"])
def test_the_other_kinds_are_not_found_by_eofs_and_kmeans(kind):
    assert abs(kmeans_score(PlantedConfig(kind=kind))) < 0.1


def test_one_snapshot_of_a_moving_wave_tells_nothing_and_a_sequence_tells_its_direction():
    config = PlantedConfig(kind="motion", steps=4000, lat=12, lon=24, duration=12)
    now, truth = leading_eofs(config, number=4)
    before = np.hstack([now, *(np.roll(now, lag, axis=0) for lag in (1, 2, 3))])
    assert abs(probe(now, truth) - 0.5) < 0.06
    assert abs(probe(now, truth, degree=2) - 0.5) < 0.06
    assert abs(probe(before, truth) - 0.5) < 0.06
    assert probe(before, truth, degree=2) > 0.9


def centre_series(cube, name):
    """Anomalies (t, 2) of one variable at the two centres of the teleconnection."""
    anomalies = deseasonalised(cube, [name]).reshape(cube["time"].size, cube["lat"].size, -1)
    grid = xr.DataArray(
        anomalies, dims=("time", "lat", "lon"), coords={"lat": cube["lat"], "lon": cube["lon"]}
    )
    return np.column_stack([grid.sel(lat=lat, lon=lon, method="nearest") for lat, lon in CENTRES])


def test_each_centre_alone_tells_nothing_and_their_product_tells_the_regime():
    config = PlantedConfig(kind="teleconnection", steps=4000, lat=12, lon=24, variables=1)
    cube = planted_cube(config)
    truth, both = cube["regime_true"].values, centre_series(cube, "t2m")
    for centre in (both[:, :1], both[:, 1:]):
        lagged = np.hstack([np.roll(centre, lag, axis=0) for lag in range(4)])
        assert abs(probe(lagged, truth, degree=2) - 0.5) < 0.06
    assert abs(probe(both, truth) - 0.5) < 0.06
    assert probe(both, truth, degree=2) > 0.85


# --- what is in the cube ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_signal_has_a_mean_square_of_one_in_units_of_scale(kind):
    config = PlantedConfig(kind=kind, steps=4000, lat=12, lon=24, noise=0)
    planned = plan(config)
    signal = np.einsum("tp,pvhw->tvhw", planned.amplitudes[:, 3:], planned.patterns[3:])
    weights = np.cos(np.deg2rad(planned.lat))[:, None] / np.cos(np.deg2rad(planned.lat)).sum() / config.lon
    square = [
        ((signal[:, v] / variable.scale) ** 2 * weights).sum(axis=(1, 2)).mean()
        for v, variable in enumerate(config.chosen)
    ]
    assert np.mean(square) == pytest.approx(1, rel=0.1)


def test_noise_is_as_strong_as_asked_in_each_variable():
    quiet, loud = (values(replace(SMALL, steps=800, noise=noise)) for noise in (0.0, 2.0))
    spread = (loud - quiet).std(axis=(0, 2, 3))
    np.testing.assert_allclose(spread, [2 * variable.scale for variable in SMALL.chosen], rtol=0.1)


def test_seasons_are_opposite_in_the_hemispheres_and_the_record_warms():
    cube = planted_cube(PlantedConfig(noise=0, steps=365 * 20, lat=8, lon=16, calendar="noleap", duration=5))
    monthly = cube["t2m"].mean("lon").groupby("time.month").mean()
    north, south = monthly.isel(lat=-1), monthly.isel(lat=0)
    assert north[6] - north[0] > 10
    assert south[6] - south[0] < -10
    yearly = cube["t2m"].mean(["lat", "lon"]).groupby("time.year").mean()
    assert 2 < yearly[-5:].mean() - yearly[:5].mean() < 5


def test_variables_have_their_own_units_and_sizes():
    cube = planted_cube(replace(SMALL, variables=len(VARIABLES)))
    for variable in VARIABLES:
        field = cube[variable.name]
        assert field.dims == ("time", "lat", "lon")
        assert field.dtype == np.float32
        assert field.attrs["units"] == variable.units
        assert abs(float(field.mean()) - variable.mean) < 3 * variable.scale
    assert float(cube["q850"].min()) > 0


def test_land_is_a_fixed_share_of_whole_blobs():
    fields = values(replace(SMALL, lat=24, lon=48, missing=0.3))
    land = np.isnan(fields[0, 0])
    assert land.mean() == pytest.approx(0.3, abs=1e-3)
    assert (np.isnan(fields) == land).all()
    assert (land == np.roll(land, 1, axis=1)).mean() > 0.8


def test_the_centres_of_a_teleconnection_are_at_sea():
    for seed in range(5):
        config = PlantedConfig(kind="teleconnection", steps=2, missing=0.7, seed=seed)
        cube = planted_cube(config)
        for lat, lon in CENTRES:
            assert np.isfinite(cube["t2m"].sel(lat=lat, lon=lon, method="nearest")).all()


@pytest.mark.parametrize(
    ("calendar", "day_60"), [("standard", "2000-02-29"), ("noleap", "2000-03-01"), ("360_day", "2000-02-30")]
)
def test_times_follow_the_calendar(calendar, day_60):
    cube = planted_cube(replace(SMALL, calendar=calendar))
    assert cube["time"].dt.strftime("%Y-%m-%d").values[59] == day_60


@pytest.mark.parametrize(
    ("step", "second"),
    [("6-hourly", "2000-01-01T06"), ("daily", "2000-01-02T00"), ("monthly", "2000-02-01T00")],
)
def test_steps_are_as_long_as_asked(step, second):
    cube = planted_cube(replace(SMALL, step=step))
    assert cube["time"].dt.strftime("%Y-%m-%dT%H").values[1] == second


def test_regime_true_is_the_chain_with_the_names_of_the_regimes():
    for kind, names in zip(
        KINDS, ("pattern_1 pattern_2 pattern_3", "eastward westward", "in_phase out_of_phase"), strict=True
    ):
        config = replace(SMALL, kind=kind, regimes=3 if kind == "snapshot" else None)
        regime = planted_cube(config)["regime_true"]
        np.testing.assert_array_equal(regime, plan(config).regime)
        assert regime.dtype == np.int8
        assert regime.attrs["flag_meanings"] == names
        np.testing.assert_array_equal(regime.attrs["flag_values"], np.arange(config.regime_count))


def test_attributes_hold_every_setting():
    attrs = planted_cube(SMALL).attrs
    for name, value in vars(SMALL).items():
        assert attrs[f"planted_{name}"] == (4 if name == "regimes" else value)
        assert f"--{name} " in attrs["history"]


# --- what changes the answer, and what does not -----------------------------------------------------------


@given(st.sampled_from(KINDS), st.integers(1, 70), st.sampled_from([0.0, 0.4]))
def test_the_size_of_a_block_does_not_change_a_bit(kind, block_steps, missing):
    config = replace(SMALL, kind=kind, missing=missing)
    np.testing.assert_array_equal(values(config, block_steps), values(config))


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_record_begins_with_the_shorter_one(kind):
    config = replace(SMALL, kind=kind)
    np.testing.assert_array_equal(values(replace(config, steps=90))[:60], values(config))


def test_a_plan_gives_the_same_fields_each_time():
    planned = plan(SMALL)
    first, second = (np.concatenate(list(blocks(planned, 7))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "motion"},
        {"kind": "teleconnection"},
        {"steps": 61},
        {"lat": 9},
        {"lon": 18},
        {"variables": 1},
        {"regimes": 3},
        {"duration": 3.0},
        {"noise": 2.0},
        {"seed": 1},
        {"calendar": "360_day"},
        {"step": "6-hourly"},
        {"missing": 0.5},
        {"start": "2001-07-01"},
    ],
    ids=str,
)
def test_each_setting_changes_the_cube(change):
    changed, default = values(replace(SMALL, **change)), values(SMALL)
    assert changed.shape != default.shape or not np.array_equal(changed, default)


def test_blocks_are_whole_chunks_of_bounded_size():
    large = PlantedConfig(lat=721, lon=1440, variables=4)
    assert steps_per_block(large, 1) == 1
    assert steps_per_block(large, 30) == 30
    assert steps_per_block(SMALL, 7) % 7 == 0
    assert steps_per_block(SMALL, 7) * SMALL.step_bytes <= 16 * 2**20


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"kind": "tides"}, "--kind is tides"),
        ({"calendar": "maya"}, "--calendar is maya"),
        ({"step": "weekly"}, "--step is weekly"),
        ({"steps": 1}, "--steps is 1"),
        ({"lat": 5}, "--lat is 5"),
        ({"lon": 11}, "--lon is 11"),
        ({"variables": 0}, "--variables is 0"),
        ({"variables": 7}, "from 1 to 6"),
        ({"regimes": 1}, "from 2 to 12"),
        ({"regimes": 13}, "from 2 to 12"),
        ({"kind": "motion", "regimes": 3}, "from 2 to 2 for the kind motion"),
        ({"duration": 0.5}, "--duration is 0.5"),
        ({"duration": float("nan")}, "--duration is nan"),
        ({"noise": -1.0}, "--noise is -1.0"),
        ({"noise": float("inf")}, "--noise is inf"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": 2**63}, "--seed is 9223372036854775808"),
        ({"missing": 0.95}, "--missing is 0.95"),
        ({"missing": -0.1}, "--missing is -0.1"),
        ({"start": "yesterday"}, "a date YYYY-MM-DD of the calendar standard"),
        ({"start": "2000-02-30"}, "a date YYYY-MM-DD"),
        ({"start": "2001-02-29", "calendar": "noleap"}, "a date YYYY-MM-DD of the calendar noleap"),
        ({"start": "2000-01-15", "step": "monthly"}, "the first of a month"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong, complaint):
    with pytest.raises(UsageError, match=complaint):
        PlantedConfig(**wrong)


def test_a_thirtieth_of_february_starts_a_360_day_record():
    cube = planted_cube(replace(SMALL, start="2000-02-30", calendar="360_day"))
    assert cube["time"].dt.strftime("%Y-%m-%d").values[1] == "2000-03-01"
