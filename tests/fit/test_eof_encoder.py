"""The encoder `eof` through training, embedding and forecasting."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import UsageError
from faconv_cli.fit import eofs as module
from faconv_cli.fit.loop import CheckReport, Training
from faconv_cli.fit.prepare import prepare
from faconv_cli.forecast.run import ForecastRun

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(150, land=0.2)


def _train(cube, folder, **options):
    options = {"encoder": "eof", "embedding": 4, "validation": "0.2", "anomaly": "none"} | options
    prepared = prepare(cube, RunConfig.build(None, options))
    training = Training(prepared, folder / "m.pt", CPU)
    reports = [report for report in training.run() if isinstance(report, CheckReport)]
    return read_checkpoint(folder / "m.pt"), reports, training


def _embed(checkpoint, cube):
    parts = list(Embedder(checkpoint, cube, CPU, batch=None, attention=True).run(0, len(cube.time)))
    return np.concatenate([part.embedding for part in parts]), np.concatenate([part.flag for part in parts])


def _components(cube, count, lags):
    """Principal components by scikit-learn alone, fitted to the first 120 steps."""
    land = np.isnan(cube.fields.values).any((0, 1))
    area = np.where(land, 0, cube.grid.area)
    area = area / area.sum()
    fields = cube.fields.values.astype(np.float64)
    std = np.sqrt(
        (area * (fields - (np.nan_to_num(fields[:120]) * area).sum((2, 3)).mean(0)[:, None, None]) ** 2)[
            :120
        ][..., ~land]
        .sum(2)
        .mean(0)
    )
    weighted = np.nan_to_num(fields) * np.sqrt(area) / std[:, None, None]
    rows = weighted.reshape(len(fields), -1)
    joined = np.concatenate([rows[lags - 1 - lag : len(rows) - lag] for lag in range(lags)], axis=1)
    pca = PCA(count).fit(joined[: 120 - lags + 1])
    return pca.transform(joined)


def _blocks_of_seven(cube, max_bytes=0, start=0, stop=None):
    stop = cube.shape[0] if stop is None else stop
    return ((first, min(first + 7, stop)) for first in range(start, stop, 7))


@pytest.mark.parametrize("lags", [1, 5])
def test_the_embedding_is_that_of_scikit_learn(cube, tmp_path, lags):
    checkpoint, _, _ = _train(cube, tmp_path, window=lags, refit=False)
    z, flag = _embed(checkpoint, cube)
    expected = _components(cube, 4, lags)
    for mode in range(4):
        correlation = np.corrcoef(z[lags - 1 :, mode], expected[:, mode])[0, 1]
        assert abs(correlation) > 0.99999
    assert flag.tolist() == [1] * (lags - 1) + [0] * (150 - lags + 1)


def test_extended_eofs_are_the_same_in_a_stream(cube, tmp_path, monkeypatch):
    checkpoint, _, _ = _train(cube, tmp_path, window=3, embedding=2)
    monkeypatch.setattr(module, "EXACT_NUMBERS", 1)
    monkeypatch.setattr(type(cube), "blocks", _blocks_of_seven)
    streamed, _, _ = _train(cube, tmp_path, window=3, embedding=2)
    a, b = (_embed(one, cube)[0] for one in (checkpoint, streamed))
    for mode in range(2):
        assert abs(np.corrcoef(a[:, mode], b[:, mode])[0, 1]) > 0.99


def test_nothing_is_trained(cube, tmp_path):
    checkpoint, reports, training = _train(cube, tmp_path, updates=14)
    assert [report.update for report in reports] == [0]
    assert checkpoint.config.fit.updates == 0
    assert training.start == "the EOFs"


def test_a_record_shorter_than_a_learned_window_is_enough(make_cube, tmp_path):
    short = make_cube(15)
    checkpoint, _, _ = _train(short, tmp_path, embedding=2)
    assert np.isfinite(_embed(checkpoint, short)[0]).all()


def test_the_rows_do_not_depend_on_the_windows_they_are_computed_in(cube, tmp_path):
    checkpoint, _, _ = _train(cube, tmp_path, window=5)
    whole, _ = _embed(checkpoint, cube)
    part, _ = _embed(checkpoint, cube.slice(30, 120))
    np.testing.assert_allclose(whole[34:120], part[4:], rtol=1e-4, atol=1e-5)


def test_a_burn_in_other_than_the_lags_is_refused():
    with pytest.raises(UsageError, match="look 4 steps back"):
        RunConfig.build(None, {"encoder": "eof", "window": 5, "burn_in": 2})


def test_eofs_forecast_by_the_inverse_model(cube, tmp_path):
    options = {"task": "forecast", "window": 12, "teacher_forced": 8}
    checkpoint, reports, training = _train(cube, tmp_path, **options)
    assert training.start == "the quadratic inverse model"
    assert set(reports[0].terms) == {f"lead {lead}" for lead in (1, 2, 3, 4)}
    # three patterns oscillate: the inverse model of four components follows them where persistence cannot
    (part,) = ForecastRun(checkpoint, cube, 3, CPU, truth=True, batch=1).run([130])
    error, persistence = (np.nanmean((one - part.truth) ** 2) for one in (part.anomalies, part.seen[:, None]))
    assert error < 0.6 * persistence


def test_lags_help_an_inverse_model_that_needs_them(make_cube, tmp_path):
    cube = make_cube(400, noise=0.02)
    losses = {}
    for lags in (1, 3):
        options = {"task": "forecast", "window": 12, "burn_in": lags - 1, "embedding": 6}
        _, reports, _ = _train(cube, tmp_path, **options)
        losses[lags] = reports[0].terms["lead 4"]
    assert losses[3] < losses[1]
