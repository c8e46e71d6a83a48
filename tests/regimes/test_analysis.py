from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.signal import detrend
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from faconv_cli import schema
from faconv_cli.cube.shape.season import WHOLE_YEAR, parse_season
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.regimes import additions, selection, significance
from faconv_cli.regimes.additions import add_data
from faconv_cli.regimes.analysis import assign_regimes, find_regimes
from faconv_cli.regimes.cluster import METHODS
from faconv_cli.regimes.report import summary
from faconv_cli.regimes.result import KnownRegimes
from tests.regimes.planted import SHA, days, embedding, planted
from tests.regimes.test_composites import cube_of, red_fields


def known(regimes, checkpoint=SHA):
    return KnownRegimes(
        regimes.model,
        regimes.season,
        checkpoint,
        "old.nc",
        regimes.embedding.time,
        regimes.labels,
        regimes.embedding_modes,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_planted_regimes_are_found_and_numbered_by_frequency(method):
    x, labels = planted(k=4, steps=800, modes=5)
    found = find_regimes(embedding(x), method=method, clusters=None if method == "hdbscan" else (4,))
    kept = found.labels > 0
    np.testing.assert_array_equal(found.labels[kept], labels[kept])
    assert (np.diff(found.persistence.steps) <= 0).all()
    assert found.labels.dtype == np.int8
    assert found.k == 4


def test_distances_are_to_the_own_centroid_and_probabilities_of_the_own_regime():
    x, _ = planted(k=3)
    found = find_regimes(embedding(x), method="gmm", clusters=(3,))
    own = found.labels - 1
    np.testing.assert_allclose(found.distance, found.model.distances(x)[np.arange(600), own])
    np.testing.assert_allclose(found.probability, found.model.probabilities(x).max(axis=1))
    assert find_regimes(embedding(x), clusters=(3,)).probability is None


def test_missing_rows_are_not_labelled_and_break_spells():
    x, _ = planted(k=2, steps=400, stay=0.95)
    whole = find_regimes(embedding(x), clusters=(2,))
    x[100:103] = np.nan
    flag = np.where(np.isnan(x[:, 0]), schema.MISSING_INPUT, schema.OK)
    flag[200] = schema.MISSING_INPUT  # numbers that the flag disowns
    holed = find_regimes(embedding(x, flag=flag), clusters=(2,))
    np.testing.assert_array_equal(np.flatnonzero(holed.labels == -1), [100, 101, 102, 200])
    assert np.isnan(holed.distance[[100, 200]]).all()
    kept = holed.labels > 0
    np.testing.assert_array_equal(holed.labels[kept], whole.labels[kept])
    assert holed.persistence.steps.sum() == 396


def test_cold_start_steps_are_labelled_but_do_not_move_the_centroids():
    x, labels = planted(k=3)
    flag = np.zeros(600)
    flag[:8] = schema.COLD_START
    clean = find_regimes(embedding(x[8:]), clusters=(3,))
    shifted = x.copy()
    shifted[:8] *= 0.6  # a state still warming up
    found = find_regimes(embedding(shifted, flag=flag), clusters=(3,))
    np.testing.assert_allclose(found.model.centroids, clean.model.centroids)
    np.testing.assert_array_equal(found.labels[:8], labels[:8])
    assert "8 warm-up steps" in found.notes[0]


def test_a_season_is_fitted_and_labelled_alone():
    x, _ = planted(k=3, steps=1461)
    found = find_regimes(embedding(x), clusters=(3,), season=parse_season("DJF"))
    month = days(1461).astype("datetime64[M]").astype(int) % 12 + 1
    np.testing.assert_array_equal(found.labels > 0, np.isin(month, [12, 1, 2]))
    everything = find_regimes(embedding(x), clusters=(3,))
    assert found.persistence.spells.sum() < everything.persistence.spells.sum()
    gaps = np.flatnonzero(np.diff(np.flatnonzero(found.labels > 0)) > 1)
    assert len(gaps) == 4  # and no spell runs across them
    together = np.diff(found.labels[found.labels > 0].astype(int)) == 0
    assert found.persistence.spells.sum() == 1 + (~together).sum() + together[gaps].sum()


def test_spells_end_at_gaps_in_the_record():
    x = np.repeat([[0.0, 0.0], [9.0, 9.0]], 10, axis=0) + np.random.default_rng(0).normal(size=(20, 2)) / 10
    time = np.concatenate([days(5), days(15, "2002-01-01")])
    found = find_regimes(embedding(x, time), clusters=(2,))
    np.testing.assert_array_equal(found.persistence.spells, [2, 1])


def test_a_range_chooses_by_the_criterion_and_says_so():
    x, _ = planted(k=3, steps=300)
    found = find_regimes(embedding(x), clusters=(2, 3, 4))
    assert found.k == 3 == found.criterion.chosen
    assert any(note.startswith("k = 3 by largest skill") for note in found.notes)
    assert find_regimes(embedding(x)).k == 4  # the default is a number, not a choice


def test_a_continuum_is_called_one(monkeypatch):
    monkeypatch.setattr(selection.Criterion, "significant", property(lambda self: False))
    found = find_regimes(embedding(planted(steps=300)[0]), clusters=(2, 3))
    assert any("partition of a continuum" in note for note in found.notes)


def test_hdbscan_leaves_noise_unclassified_and_takes_no_number():
    x, _ = planted(k=3)
    x[::50] += 100 * np.random.default_rng(0).standard_normal((12, 4))
    found = find_regimes(embedding(x), method="hdbscan")
    assert (found.labels == 0).sum() >= 12
    assert found.persistence.share.sum() == pytest.approx(1 - (found.labels == 0).mean())
    assert any("unclassified" in note for note in found.notes)
    assert np.isnan(found.distance[found.labels == 0]).all()
    with pytest.raises(UsageError, match="finds the number of regimes itself"):
        find_regimes(embedding(x), method="hdbscan", clusters=(3,))


def test_the_seed_reaches_the_fit():
    x = np.random.default_rng(0).standard_normal((300, 10))
    first, second = (find_regimes(embedding(x), clusters=(9,), seed=seed) for seed in (0, 1))
    assert adjusted_rand_score(first.labels, second.labels) < 1
    assert (first.seed, second.seed) == (0, 1)


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_assigning_to_the_same_data_gives_the_labels_of_the_fit(method):
    x, _ = planted(k=4, distance=2.0)
    x[7] = np.nan
    fitted = find_regimes(embedding(x), method=method, clusters=(4,))
    found = assign_regimes(embedding(x), known(fitted))
    np.testing.assert_array_equal(found.labels, fitted.labels)
    np.testing.assert_array_equal(found.distance, fitted.distance)
    if method == "gmm":
        np.testing.assert_array_equal(found.probability, fitted.probability)
    assert (found.assigned, found.seed) == ("old.nc", None)


@pytest.mark.parametrize("method", ["ward", "hdbscan"])
def test_methods_without_a_rule_assign_to_the_nearest_centroid(method):
    fitted = find_regimes(embedding(planted(k=3)[0]), method=method, clusters={"ward": (3,)}.get(method))
    new, labels = planted(k=3, seed=9)
    assigned = assign_regimes(embedding(new), known(fitted))
    np.testing.assert_array_equal(assigned.labels, labels)
    assert any("nearest centroid" in note for note in assigned.notes)


def test_assigned_numbers_stay_though_frequencies_differ():
    x, labels = planted(k=3)
    fitted = find_regimes(embedding(x), clusters=(3,))
    rare = np.concatenate([x[labels == 3], x[labels == 1][:5]])
    found = assign_regimes(embedding(rare), known(fitted))
    np.testing.assert_array_equal(found.persistence.steps, [5, 0, (labels == 3).sum()])
    assert np.isnan(found.persistence.mean_duration[1])
    assert summary(found)["regimes"][1]["mean_duration"] is None


def test_assigning_takes_the_season_of_the_old_regimes_unless_told():
    x, _ = planted(k=3, steps=1461)
    fitted = find_regimes(embedding(x), clusters=(3,), season=parse_season("JJA"))
    assert assign_regimes(embedding(x), known(fitted)).season.name == "JJA"
    whole = assign_regimes(embedding(x), known(fitted), WHOLE_YEAR)
    assert (whole.labels > 0).all()


def test_centroids_of_another_checkpoint_are_refused():
    x, _ = planted()
    fitted = find_regimes(embedding(x), clusters=(3,))
    with pytest.raises(CheckpointError, match="made with checkpoint bbbb"):
        assign_regimes(embedding(x, checkpoint="b" * 64), known(fitted))
    with pytest.raises(CheckpointError, match=r"has 2 modes, but old\.nc has 4"):
        assign_regimes(embedding(x[:, :2]), known(fitted))


@pytest.mark.parametrize(
    ("x", "clusters", "message"),
    [
        (np.full((20, 3), np.nan), (2,), "all 20 rows are missing"),
        (np.ones((20, 3)), (2,), "the embedding is constant"),
        (np.eye(3), (4,), "has 3 different steps after warm-up, fewer than 4"),
        (np.repeat(np.eye(3), 9, axis=0), (4,), "has 3 different steps after warm-up, fewer than 4"),
        (np.random.default_rng(0).standard_normal((30, 3)), (2, 8), "30 different steps .* fewer than 32"),
    ],
)
def test_embeddings_without_regimes_are_refused(x, clusters, message):
    with pytest.raises(InputError, match=message):
        find_regimes(embedding(x), clusters=clusters)


def test_a_season_without_steps_is_refused():
    with pytest.raises(InputError, match="no valid step lies in season JJA"):
        find_regimes(embedding(planted(steps=50)[0]), season=parse_season("JJA"))


def test_data_give_composites_and_separation_on_the_input(monkeypatch):
    x, labels = planted(k=2, steps=120)
    fields = np.random.default_rng(0).standard_normal((120, 1, 3, 4)) + 5 * labels[:, None, None, None]
    found = add_data(find_regimes(embedding(x), clusters=(2,)), cube_of(fields))
    assert found.input_separation.silhouette > 0.3
    assert (found.composites.mean[1] > found.composites.mean[0]).all()
    monkeypatch.setattr(additions, "input_separation", lambda cube, labels: None)
    later = cube_of(fields[20:], days(120)[20:])
    partial = add_data(find_regimes(embedding(x), clusters=(2,)), later)
    assert partial.composites.steps.sum() == 100
    assert any("20 labelled steps are not in the data" in note for note in partial.notes)
    assert any("at most 100,000,000 numbers" in note for note in partial.notes)


def monthly(steps, start="1990-01"):
    return (np.datetime64(start, "M") + np.arange(steps)).astype("datetime64[ns]")


@pytest.mark.parametrize(
    ("labelled", "given", "steps"),
    [
        (monthly(72), days(2191, "1990-01-01"), "1 day, but that of the labels is 1 month"),
        (days(2191, "1990-01-01"), monthly(72), "1 month, but that of the labels is 1 day"),
        (monthly(72)[::12], monthly(72), "1 month, but that of the labels is 1 year"),
    ],
)
def test_means_over_other_steps_are_refused(labelled, given, steps):
    found = find_regimes(embedding(planted(k=2, steps=len(labelled))[0], labelled), clusters=(2,))
    data = cube_of(np.random.default_rng(0).standard_normal((len(given), 1, 3, 4)), given)
    with pytest.raises(InputError, match=f"the time step is {steps}.*cdo monmean"):
        add_data(found, data)


def test_one_month_of_each_year_is_known_to_be_of_monthly_data():
    julys = monthly(240)[6::12]
    x = embedding(planted(k=2, steps=20)[0], julys)
    fields = np.random.default_rng(0).standard_normal((240, 1, 3, 4))
    found = add_data(
        find_regimes(replace(x, data_step="1 month"), clusters=(2,)), cube_of(fields, monthly(240))
    )
    assert found.composites.steps.sum() == 20


def test_the_summary_is_strict_json_and_complete():
    import json

    x, _ = planted(k=3, steps=300)
    found = summary(find_regimes(embedding(x), clusters=(2, 3, 4), seed=5))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["clusters"], found["seed"], found["method"], found["season"]) == (3, 5, "kmeans", "all")
    assert [row["regime"] for row in found["regimes"]] == [1, 2, 3]
    assert sum(row["share"] for row in found["regimes"]) == pytest.approx(1)
    np.testing.assert_allclose(np.sum(found["transition"], axis=1), 1)
    assert [row["clusters"] for row in found["criterion"]["scores"]] == [2, 3, 4]
    assert found["separation"]["input"] is None


def test_regimes_that_are_the_seasons_are_called_so():
    x, _ = planted(k=2, steps=730, distance=1.0)
    seasonal = x + 9 * np.cos(2 * np.pi * np.arange(730) / 365.25)[:, None]
    for values, said in ((x, 0), (seasonal, 1)):
        notes = find_regimes(embedding(values), clusters=(2,)).notes
        assert sum("they are seasons" in note for note in notes) == said


def of_noise(fields, channels, modes=8):
    """Embedding of the principal components of fields (t, 1, h, w)."""
    x = PCA(modes).fit_transform(fields.reshape(len(fields), -1))
    return replace(embedding(x), channels=channels)


@pytest.mark.parametrize(
    ("channels", "test"),
    [
        (("sst",), significance.SURROGATE_TEST),
        (("slp", "sst"), significance.SURROGATE_TEST),
        (("slp",), significance.T_TEST),
        ((), significance.SURROGATE_TEST),  # a file that does not say what was embedded
    ],
)
def test_what_was_clustered_is_tested_against_red_noise_and_other_data_are_not(channels, test):
    regimes = find_regimes(of_noise(red_fields(300), channels), clusters=(2,))
    found = add_data(regimes, cube_of(red_fields(300, seed=1)))  # cube_of calls its channel sst
    assert found.composites.tests == (test,)
    assert any(note == f"p-values of sst: {test}" for note in found.notes)
    assert not any("too much significant" in note for note in found.notes)


COPIES = {
    "the field": lambda fields: fields,
    "less its mean, in another unit": lambda fields: 100 * (fields - fields.mean(axis=0)),
    "less its trend": lambda fields: detrend(fields, axis=0),
    "half of the points": lambda fields: fields[..., ::2],
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
@pytest.mark.slow
def test_noise_that_was_clustered_does_not_pass_under_another_name(copy):
    passed = []
    for seed in range(3):
        fields = red_fields(300, seed=seed)
        found = add_data(find_regimes(of_noise(fields, ("slp",)), clusters=(4,)), cube_of(copy(fields)))
        assert found.composites.tests == (significance.SURROGATE_TEST,)
        passed.append(found.composites.p_value < 0.05)
    assert np.mean(passed) < 0.05


def test_a_response_to_the_regimes_keeps_its_t_test():
    regimes = find_regimes(of_noise(red_fields(1000), ("slp",)), clusters=(2,))
    response = red_fields(1000, seed=1) + 0.3 * regimes.embedding.values[:, :1, None, None]
    found = add_data(regimes, cube_of(response))
    assert found.composites.tests == (significance.T_TEST,)
    assert (found.composites.p_adjusted < 0.05).all()


def test_one_of_two_fields_that_were_embedded_is_doubted_under_another_name():
    fields = np.concatenate([red_fields(500), red_fields(500, seed=1)], axis=1)
    found = add_data(find_regimes(of_noise(fields, ("slp", "t850")), clusters=(2,)), cube_of(fields[:, :1]))
    assert found.composites.tests == (significance.T_TEST,)
    assert any("of the embedding's variance can be told from sst" in note for note in found.notes)


def test_hdbscan_has_a_t_test_and_says_that_it_is_too_lenient_on_what_was_embedded():
    x, _ = planted(k=3, steps=200)
    dense = find_regimes(replace(embedding(x), channels=("sst",)), method="hdbscan")
    found = add_data(dense, cube_of(red_fields(200)))
    assert found.composites.tests == (significance.T_TEST,)
    assert any("sst was embedded, and hdbscan finds no regimes in red noise" in note for note in found.notes)


@pytest.mark.parametrize(("start", "shared"), [("2001-01-01", 200), ("2001-04-11", 100), ("2010-01-01", 0)])
def test_assigned_regimes_have_a_t_test_and_say_where_they_were_found_on_the_same_steps(start, shared):
    x, _ = planted(k=3, steps=200)
    fitted = find_regimes(embedding(x), clusters=(3,))
    later = replace(embedding(x, days(200, start)), channels=("sst",))
    found = add_data(assign_regimes(later, known(fitted)), cube_of(red_fields(200), days(200, start)))
    assert found.composites.tests == (significance.T_TEST,)
    told = [note for note in found.notes if "too much significant" in note]
    assert [f"{shared} of the steps have a regime in old.nc" in note for note in told] == [True] * (
        shared > 0
    )


def test_regimes_that_are_times_of_the_day_are_called_so():
    x, _ = planted(k=2, steps=730, distance=1.0)
    hours = np.datetime64("2000-01-01") + np.arange(730) * np.timedelta64(6, "h")
    diurnal = x + 9 * np.cos(np.pi * np.arange(730) / 2)[:, None]
    for values, said in ((x, 0), (diurnal, 1)):
        record = replace(embedding(values), time=TimeAxis.from_values(hours))
        notes = find_regimes(record, clusters=(2,)).notes
        assert sum("they are the diurnal cycle" in note for note in notes) == said


def test_monthly_and_360_day_records_have_seasons_too():
    time = xr.date_range("1990-01-16", periods=240, freq="MS", calendar="360_day", use_cftime=True).values
    x, _ = planted(k=2, steps=240)
    found = find_regimes(embedding(x, time), clusters=(2,), season=parse_season("NDJ"))
    assert (found.labels > 0).sum() == 60
    assert found.embedding.time.step == "1 month"


def test_data_of_a_shorter_step_than_the_labels_are_told():
    x, _ = planted(k=2, steps=60)
    half_days = np.datetime64("2001-01-01", "ns") + np.arange(120) * np.timedelta64(12, "h")
    fields = np.random.default_rng(0).standard_normal((120, 1, 3, 4))
    found = add_data(find_regimes(embedding(x), clusters=(2,)), cube_of(fields, half_days))
    (told,) = [note for note in found.notes if "the data have a step of" in note]
    assert "step of 12 hours, the labels of 1 day: composites are of the 60 steps" in told
