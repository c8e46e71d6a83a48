import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import (
    adjusted_rand_score,
    balanced_accuracy_score,
    normalized_mutual_info_score,
    r2_score,
)

from faconv_cli.sample.config import PlantedConfig
from faconv_cli.sample.netcdf import write_planted
from tests.benchmarks.regimes.autoencoder import ConvLSTMAutoencoder
from tests.benchmarks.regimes.methods import METHODS
from tests.benchmarks.regimes.records import Record, with_missing, with_noise
from tests.benchmarks.regimes.results import Result, append, forget, read
from tests.benchmarks.regimes.scores import agreement, class_probe, halves_agree, skill_of_regimes
from tests.benchmarks.regimes.table import BEGIN, END, markdown, put_into
from tests.benchmarks.regimes.tasks import planted_truth
from tests.benchmarks.slp_scores import match, value_probe

RNG = np.random.default_rng(0)
STEPS, LEAD = 120, 2
TRAIN = np.arange(STEPS) < 80
labels = np.resize(np.repeat([0, 1, 2], 10), STEPS)
Z = np.eye(3)[labels] * 3 + RNG.normal(size=(STEPS, 3))
INDEX = Z @ [1.0, -2.0, 0.5] + RNG.normal(size=STEPS)


def test_probes_are_fitted_on_training_rows_as_plain_scikit_learn_does():
    now = (Z[:80], Z[80 : STEPS - LEAD])
    mean, spread = now[0].mean(0), now[0].std(0)
    seen, unseen = ((part - mean) / spread for part in now)
    y, truth = labels[LEAD : 80 + LEAD], labels[80 + LEAD :]
    expected = balanced_accuracy_score(truth, LogisticRegression(max_iter=3000).fit(seen, y).predict(unseen))
    assert class_probe(Z, labels, TRAIN, ~TRAIN, LEAD) == pytest.approx(expected)
    y, truth = INDEX[LEAD : 80 + LEAD], INDEX[80 + LEAD :]
    expected = r2_score(truth, Ridge(1.0).fit(seen, y).predict(unseen))
    assert value_probe(Z, INDEX, TRAIN, ~TRAIN, LEAD) == pytest.approx(expected)


def test_probes_leave_out_what_is_not_known():
    known = np.arange(STEPS) % 7 > 0
    gappy = np.where(known, INDEX, np.nan)
    expected = value_probe(Z[known], INDEX[known], TRAIN[known], ~TRAIN[known], 0)
    assert value_probe(Z, gappy, TRAIN, ~TRAIN, 0) == pytest.approx(expected)


def test_regimes_are_matched_with_an_index_as_plain_scikit_learn_does():
    found = match(labels + 5, labels > 0, INDEX)
    means = np.array([INDEX[labels == k].mean() for k in range(3)])
    assert found == pytest.approx(
        {
            "NMI with NAO": normalized_mutual_info_score(labels > 0, labels),
            "ARI with NAO": adjusted_rand_score(labels > 0, labels),
            "NAO variance explained": means[labels].var() / INDEX.var(),
        }
    )


def test_halves_are_fitted_apart_and_compared_on_all_rows():
    year = 2000 + np.arange(STEPS) // 20
    a, b = (KMeans(2, n_init=20, random_state=0).fit(Z[year % 2 == rest]).predict(Z) for rest in (0, 1))
    assert halves_agree(Z, year, 2) == pytest.approx(adjusted_rand_score(a, b))


def test_skill_of_regimes_is_r2_of_a_regression_on_them_fitted_to_training_rows():
    one_hot, y = np.eye(3)[labels], np.stack([INDEX, Z[:, 0]], axis=1)
    told = LinearRegression(fit_intercept=False).fit(one_hot[TRAIN], y[TRAIN]).predict(one_hot[~TRAIN])
    errors = ((y[~TRAIN] - told) ** 2).sum(0), ((y[~TRAIN] - y[TRAIN].mean(0)) ** 2).sum(0)
    expected = 1 - (errors[0] @ [1, 2]) / (errors[1] @ [1, 2])
    assert skill_of_regimes(y, labels, TRAIN, np.array([1.0, 2.0])) == pytest.approx(expected)


def test_agreement_is_of_each_pair():
    a, b, c = labels, (labels + 1) % 3, RNG.integers(3, size=STEPS)
    assert agreement([a, b, c]) == pytest.approx([1, adjusted_rand_score(a, c), adjusted_rand_score(b, c)])


def test_what_clusters_are_to_find_in_a_teleconnection_has_the_sign_of_the_swing():
    truth = planted_truth(PlantedConfig(kind="teleconnection", steps=400))
    assert set(truth) == {0, 1, 2, 3}
    assert set(planted_truth(PlantedConfig(kind="motion", steps=400))) == {0, 1}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "planted.nc"
    list(write_planted(PlantedConfig(steps=1200, lat=6, lon=12, variables=1), path))
    return Record(path, "2000:2001")


def test_what_is_fitted_does_not_see_the_test_years(record, tmp_path):
    other = tmp_path / "other.nc"
    with xr.open_dataset(record.path) as file:
        changed = file.load()
        changed["t2m"] = changed.t2m.where(record.dates.dt.year < 2002, 0.0)
        changed.to_netcdf(other)
    z = [
        METHODS["field"].fit(Record(path, record.training), 0, tmp_path)(path)
        for path in (record.path, other)
    ]
    np.testing.assert_array_equal(z[0][record.train], z[1][record.train])
    assert not np.allclose(z[0], z[1])
    assert record.train.sum() == 731


def test_bad_data_are_a_tenth_missing_or_half_a_standard_deviation_off(record, tmp_path):
    with xr.open_dataset(record.path) as file:
        clean = file.t2m.values
    with xr.open_dataset(with_missing(record.path, tmp_path / "missing.nc")) as file:
        assert np.isnan(file.t2m.values).mean() == pytest.approx(0.1, abs=0.005)
    with xr.open_dataset(with_noise(record.path, tmp_path / "noisy.nc")) as file:
        off = (file.t2m.values - clean).std(axis=0) / clean.std(axis=0)
        assert off.mean() == pytest.approx(0.5, abs=0.01)


def test_autoencoder_gives_back_the_grid_and_sees_no_future():
    torch.manual_seed(0)
    network = ConvLSTMAutoencoder(2, (7, 10), 3).eval()
    x = torch.randn(2, 6, 2, 7, 10)
    later = torch.cat([x[:, :4], torch.randn(2, 2, 2, 7, 10)], dim=1)
    z, changed = network.encode(x), network.encode(later)
    assert z.shape == (2, 6, 3)
    assert network.decode(z).shape == x.shape
    torch.testing.assert_close(z[:, :4], changed[:, :4])
    assert not torch.allclose(z[:, 4:], changed[:, 4:])


def result(method, seed, value, regimes="0011"):
    scores = {size: {"type today": value, "noise": 0.5} for size in ("8", "16")}
    return Result(method, "slp", seed, "abc", 1.0, scores, {"8": regimes, "16": regimes})


def test_results_are_read_back_the_last_of_a_key_and_forgotten_by_method(tmp_path):
    path = tmp_path / "results" / "lines.jsonl"
    assert read(path) == []
    for one in (result("eof", 0, 0.1), result("field", 0, 0.2), result("eof", 0, 0.3)):
        append(path, one)
    assert read(path) == [result("eof", 0, 0.3), result("field", 0, 0.2)]
    forget(path, ["eof"])
    assert read(path) == [result("field", 0, 0.2)]


def test_table_has_mean_and_standard_deviation_and_the_agreement_of_seeds(tmp_path):
    results = [result("faconvlstm", 0, 0.6), result("faconvlstm", 1, 0.7, "1100"), result("eof", 0, 0.5)]
    text = markdown(results)
    assert "| FAConvLSTM | **0.650** ± 0.071 |" in text
    assert "| EOFs | 0.500 |" in text
    assert "| FAConvLSTM | `abc` | slp 2 |" in text
    assert "| FAConvLSTM | **1.000** | **0.500** ± 0.000 |" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into(page, text)
    assert page.read_text() == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"
