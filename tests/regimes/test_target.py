from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError
from faconv_cli.regimes import target as room
from faconv_cli.regimes.additions import add_targets
from faconv_cli.regimes.analysis import assign_regimes, find_regimes
from faconv_cli.regimes.netcdf import write_regimes
from faconv_cli.regimes.report import summary
from faconv_cli.regimes.result import KnownRegimes
from faconv_cli.regimes.target import periods_of, score_target, stability_of, year_blocks
from tests.reference.target import skill
from tests.regimes.planted import embedding, planted

YEARS = 12
WINTERS = np.concatenate(
    [
        np.datetime64(f"{year}-12-01", "ns") + np.arange(60) * np.timedelta64(1, "D")
        for year in range(1990, 2002)
    ]
)
STEPS = len(WINTERS)
TRAINED = {"period": ["1990-12-01", "1998-01-29"], "validation period": ["1996-12-01", "1998-01-29"]}


@pytest.fixture(scope="module")
def found():
    """Three planted regimes in twelve winters, of which six are of the training period."""
    x, _ = planted(k=3, steps=STEPS)
    made = replace(embedding(x, WINTERS), training=TRAINED, settings={"anomaly": "none"})
    return find_regimes(made, clusters=(3,))


def _target(labels, *, points=(2, 3), noise=1.0, missing=0.0, seed=0, time=None):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(4, *points))
    fields = means[labels] + noise * rng.normal(size=(len(labels), *points)) + 20
    fields[rng.uniform(size=fields.shape) < missing] = np.nan
    lat, lon = (10.0 * np.arange(1, count + 1) for count in points)
    return Cube(
        xr.DataArray(fields[:, None].astype(np.float32), dims=("time", "channel", "y", "x")),
        (Channel("rain", "mm"),),
        TimeAxis.from_values(WINTERS) if time is None else time,
        Grid.from_coordinates(lat, lon),
        sources=("rain.nc",),
    )


def _score(found, target, **options):
    options = {"source": "rain.nc:rain", "lead": 0, "stability": 0.5} | options
    return score_target(found.embedding, found.labels, found.k, target, **options)


def _periods(found):
    stamps = WINTERS.astype("datetime64[D]").astype(str)
    return stamps < "1996-12-01", stamps > "1998-01-29"


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_scores_are_those_of_plain_numpy(found, missing):
    target = _target(found.labels, missing=missing)
    scores, (learned, scored) = _score(found, target), _periods(found)
    values = target.read(0, STEPS).reshape(STEPS, -1).astype(float)
    area = target.grid.area.ravel()
    there = (np.isfinite(values) * area).sum(axis=1) >= 0.5 * (
        np.isfinite(values[learned]).mean(axis=0) @ area
    )
    arguments = found.labels, learned & there, scored & there, area
    np.testing.assert_allclose(scores.share.value, skill(values, *arguments), atol=1e-6)
    limit = np.nanquantile(values[learned & there], 0.95, axis=0)
    extreme = np.where(np.isnan(values), np.nan, values > limit)
    np.testing.assert_allclose(scores.brier_skill.value, skill(extreme, *arguments), atol=1e-4)
    assert (scores.steps, scores.years) == ((scored & there).sum(), 4)
    assert scores.training_steps == (learned & there).sum()
    assert scores.period == ("1998-12-01", "2002-01-29")
    assert not scores.validation


def test_regimes_that_tell_all_and_nothing_have_shares_of_one_and_less_than_nothing(found):
    assert _score(found, _target(found.labels, noise=1e-4)).share.value > 0.999
    none = _score(found, _target(np.zeros(STEPS, int), noise=1.0))
    assert -0.05 < none.share.value < 0.01
    assert none.share.low < none.share.value < none.share.high < 0.05


def test_the_interval_holds_the_score_of_most_other_years(found):
    scores = [_score(found, _target(found.labels, noise=2.0, seed=0))]
    again = []
    for seed in range(20):
        target = _target(found.labels, noise=0.0)
        noise = 2.0 * np.random.default_rng(seed + 1).normal(size=target.fields.shape)
        again.append(_score(found, replace(target, fields=target.fields + noise.astype("f4"))).share.value)
    inside = [scores[0].share.low - 0.02 <= value <= scores[0].share.high + 0.02 for value in again]
    assert np.mean(inside) >= 0.7
    assert scores[0].share.high - scores[0].share.low < 0.2


def test_a_lead_scores_later_steps_of_the_same_winter(found):
    later = np.roll(found.labels, 2)
    ahead, now = (_score(found, _target(later, noise=0.3), lead=lead) for lead in (2, 0))
    assert ahead.share.value > now.share.value + 0.1
    assert ahead.steps == now.steps - 2 * ahead.years


def test_with_a_lead_no_target_from_beyond_the_training_period_is_learned_from(found):
    until = TRAINED | {"period": [TRAINED["period"][0], "1996-01-10"], "validation period": None}
    regimes = replace(found, embedding=replace(found.embedding, training=until))
    target = _target(found.labels)
    now, ahead = (_score(regimes, target, lead=lead) for lead in (0, 3))
    winters = len({stamp[:4] for stamp in WINTERS.astype(str) if "-12-" in stamp and stamp < "1996"})
    assert ahead.training_steps == now.training_steps - 3 * winters


def test_persistence_is_that_of_the_scored_steps(found):
    scored, labels = _periods(found)[1], found.labels
    pairs = scored[1:] & scored[:-1] & (np.diff(WINTERS) == np.timedelta64(1, "D"))
    same = (labels[1:] == labels[:-1])[pairs].mean()
    np.testing.assert_allclose(_score(found, _target(labels)).persistence, same)


def test_the_validation_period_is_scored_where_little_lies_beyond_it(found):
    ends = TRAINED | {
        "validation period": ["1996-12-01", "2002-01-29"],
        "period": ["1990-12-01", "2002-01-29"],
    }
    regimes = replace(found, embedding=replace(found.embedding, training=ends))
    target = _target(found.labels)
    scores = _score(regimes, target)
    assert scores.validation
    assert scores.period[0] == "1996-12-01"
    noted = add_targets(regimes, [("rain.nc", target, 0)])
    assert any("less than 3 years lie beyond the validation period" in note for note in noted.notes)


def test_the_seasonal_cycle_of_the_training_is_taken_off(found):
    season = 5 * np.sin(2 * np.pi * TimeAxis.from_values(WINTERS).year_fraction)[:, None, None, None]
    target = _target(found.labels, noise=0.5)
    seasonal = replace(target, fields=target.fields + season.astype("f4"))
    settings = {"anomaly": "daily", "detrend": False}
    off = replace(found, embedding=replace(found.embedding, settings=settings))
    plain = _score(off, target).share.value
    np.testing.assert_allclose(_score(off, seasonal).share.value, plain, atol=1e-3)
    assert _score(found, seasonal).share.value < plain - 0.2


def test_a_target_of_all_months_is_taken_at_those_of_an_embedding_of_one_month_a_year():
    months = np.arange("1950-01", "2000-01", dtype="datetime64[M]").astype("datetime64[ns]")
    januaries = months[::12]
    made = embedding(np.zeros((50, 2)), januaries)
    training = {"period": ["1950-01-01", "1975-01-01"], "validation period": None}
    made = replace(made, training=training, settings={"anomaly": "none"}, data_step="1 month")
    labels = np.arange(50) % 2 + 1
    target = _target(np.repeat(labels, 12), noise=0.01, time=TimeAxis.from_values(months))
    options = {"source": "rain.nc", "stability": 0.5}
    scores = score_target(made, labels, 2, target, lead=0, **options)
    assert scores.share.value > 0.99
    assert (scores.training_steps, scores.steps) == (26, 24)
    with pytest.raises(InputError, match="at 0 labelled steps"):
        score_target(made, labels, 2, target, lead=1, **options)


def test_few_years_outside_have_no_interval(found):
    short = TRAINED | {"validation period": None, "period": ["1990-12-01", "2000-03-01"]}
    regimes = replace(found, embedding=replace(found.embedding, training=short))
    scores = _score(regimes, _target(found.labels))
    assert scores.years == 2
    assert np.isfinite(scores.share.value)
    assert np.isnan([scores.share.low, scores.brier_skill.high]).all()
    assert not scores.validation


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"training": {}}, "does not say which period its checkpoint was trained on"),
        ({"training": {"period": ["1980", "1985"]}}, "at 0 labelled steps in the training period"),
        ({"training": {"period": ["1990-12-01", "2002-01-29"]}}, "at 0 labelled steps outside the training"),
    ],
)
def test_what_cannot_be_scored_is_refused(found, change, told):
    regimes = replace(found, embedding=replace(found.embedding, **change))
    with pytest.raises(InputError, match=told):
        _score(regimes, _target(found.labels))


def test_a_target_too_large_to_be_held_is_refused(found, monkeypatch):
    monkeypatch.setattr(room, "MAX_NUMBERS", 100)
    with pytest.raises(InputError, match="at most 100 values"):
        _score(found, _target(found.labels))


def test_periods_of_numbered_steps_are_numbers():
    time = TimeAxis.from_values(np.arange(40.0))
    made = embedding(np.zeros((40, 2)))
    made = replace(made, time=time, training={"period": ["0", "29"], "validation period": ["20", "29"]})
    periods = periods_of(made)
    np.testing.assert_array_equal(np.flatnonzero(periods.training), np.arange(20))
    np.testing.assert_array_equal(np.flatnonzero(periods.validation), np.arange(20, 30))
    np.testing.assert_array_equal(year_blocks(time, np.ones(40, bool)), np.repeat(np.arange(10), 4))


def test_a_year_begins_after_the_months_without_steps():
    time = TimeAxis.from_values(WINTERS)
    years = year_blocks(time, np.ones(STEPS, bool))
    np.testing.assert_array_equal(years, np.repeat(np.arange(1991, 2003), 60))
    whole = TimeAxis.from_values(
        np.arange("2000-01", "2003-01", dtype="datetime64[M]").astype("datetime64[ns]")
    )
    np.testing.assert_array_equal(year_blocks(whole, np.ones(36, bool)), np.repeat([2000, 2001, 2002], 12))
    summer = year_blocks(whole, np.isin(whole.month, [6, 7, 8]))
    np.testing.assert_array_equal(summer[np.isin(whole.month, [6, 7, 8])], np.repeat([2000, 2001, 2002], 3))


@pytest.mark.parametrize("method", ["kmeans", "gmm", "hmm"])
@pytest.mark.slow
def test_planted_regimes_are_stable_and_noise_is_not(found, method):
    everyone = np.ones(STEPS, bool)
    stable = stability_of(found.embedding, found.labels, method, 3, everyone, seed=0)
    assert stable > 0.95
    if method == "kmeans":
        noise = replace(found.embedding, values=np.random.default_rng(0).normal(size=(STEPS, 8)))
        assert stability_of(noise, found.labels, method, 3, everyone, seed=0) < 0.5
        assert np.isnan(stability_of(noise, found.labels, "hdbscan", 3, everyone, seed=0))


@pytest.mark.slow
def test_scores_are_written_and_told(found, tmp_path, assert_cf):
    target = _target(found.labels)
    scored = add_targets(found, [("rain.nc:rain", target, 0), ("rain.nc:rain", target, 1)])
    assert any("found on all steps" in note for note in scored.notes)
    write_regimes(tmp_path / "r.nc", scored)
    assert_cf(tmp_path / "r.nc")
    report = summary(scored)["targets"]
    with xr.open_dataset(tmp_path / "r.nc") as file:
        for suffix, one, row in zip(("rain", "rain_2"), scored.targets, report, strict=True):
            assert float(file[f"target_share_{suffix}"]) == one.share.value == row["share"]
            np.testing.assert_array_equal(file[f"target_share_interval_{suffix}"], one.share[1:])
            assert float(file[f"target_brier_skill_{suffix}"]) == row["brier_skill"]
            np.testing.assert_array_equal(
                file[f"target_brier_skill_interval_{suffix}"], row["brier_skill_interval"]
            )
            assert float(file[f"target_persistence_{suffix}"]) == row["persistence"]
            assert float(file[f"target_stability_{suffix}"]) == one.stability > 0.9
        assert "240 steps of 4 years outside the training period" in file.target_share_rain.attrs["comment"]
        assert "1 steps later" in file.target_share_rain_2.attrs["long_name"]


def test_assigned_regimes_are_scored_without_the_note_on_their_steps(found):
    known = KnownRegimes(
        found.model, found.season, found.embedding.checkpoint, "r.nc", found.embedding.time, found.labels, 4
    )
    scored = add_targets(assign_regimes(found.embedding, known), [("rain.nc", _target(found.labels), 0)])
    assert not any("found on all steps" in note for note in scored.notes)
    assert scored.targets[0].share.value == _score(found, _target(found.labels)).share.value


def test_after_a_refit_the_validation_period_is_of_the_training(found):
    held_out = periods_of(found.embedding)
    refitted = periods_of(replace(found.embedding, training=TRAINED | {"refitted": True}))
    assert held_out.validation.any()
    np.testing.assert_array_equal(refitted.training, held_out.training | held_out.validation)
    assert not refitted.validation.any()
