import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.compare.plan import Data, encoder_config, plan_jobs, prepare_all
from faconv_cli.compare.run import Result, finished, run
from faconv_cli.compare.table import shown, summarize, write_tables
from faconv_cli.errors import InputError, UsageError
from faconv_cli.files import last_path
from faconv_cli.fit.loop import CheckReport, UpdateReport

CPU = torch.device("cpu")
SETTINGS = {
    "window": 8,
    "burn_in": 2,
    "hidden": 4,
    "embedding": 4,
    "updates": 4,
    "batch": 4,
    "anomaly": "none",
}


@pytest.fixture(scope="module")
def data(make_cube):
    cube = make_cube(200)
    truth = np.where(cube.fields.values[:, 0].mean((1, 2)) > 280, "warm", "cold")
    return Data(cube, (0, 150), (150, 200), {"type": truth})


def _jobs(data, folder, names=("minconvgru", "eof"), seeds=1, **options):
    configs = [encoder_config(None, {"task": "embed"} | SETTINGS | options, name) for name in names]
    prepared = prepare_all(data, configs, equal_parameters=True, parameters=None)
    return plan_jobs(data, prepared, seeds, 3, folder)


def _result(job):
    *_, result = run(job, CPU)
    assert isinstance(result, Result)
    return result


def test_an_embedding_is_scored_against_labels_on_the_test_steps(data, tmp_path):
    for job in _jobs(data, tmp_path):
        numbers = _result(job).numbers
        assert {"type NMI", "type ARI", "type probe", "validation loss"} <= set(numbers)
        assert 0.5 < numbers["type probe"] <= 1
        assert numbers["peak MiB"] > 50


def test_labels_drawn_at_random_cannot_be_told(data, tmp_path):
    noise = np.random.default_rng(0).choice(["a", "b"], len(data.record.time))
    job = _jobs(Data(data.record, data.training, data.test, {"noise": noise}), tmp_path, ["eof"])[0]
    numbers = _result(job).numbers
    assert abs(numbers["noise ARI"]) < 0.1
    assert 0.25 < numbers["noise probe"] < 0.75


def test_forecasts_are_scored_by_lead(data, tmp_path):
    for job in _jobs(data, tmp_path, task="forecast"):
        numbers = _result(job).numbers
        assert {"RMSE +1", "RMSE +3", "RMSE persistence +1", "RMSE climatology +2", "ACC +3"} <= set(numbers)
        assert "RMSE +4" not in numbers


def test_a_score_that_is_not_finite_is_none(data, tmp_path, monkeypatch):
    monkeypatch.setattr("faconv_cli.compare.run._scores", lambda *_: {"ACC +1": float("nan"), "RMSE +1": 0.5})
    (job,) = _jobs(data, tmp_path, ("eof",))
    numbers = _result(job).numbers
    assert (numbers["ACC +1"], numbers["RMSE +1"]) == (None, 0.5)
    assert finished(job).numbers == numbers


def test_a_finished_run_is_not_repeated_unless_it_differs(data, tmp_path):
    (job,) = _jobs(data, tmp_path, ["minconvgru"])
    assert finished(job) is None
    result = _result(job)
    assert finished(job) == result
    (other,) = _jobs(data, tmp_path, ["minconvgru"], updates=6)
    assert finished(other) is None
    job.checkpoint.unlink()
    assert finished(job) is None


def test_a_run_that_was_stopped_is_gone_on_with(data, tmp_path):
    (whole,) = _jobs(data, tmp_path / "whole", ["minconvgru"], updates=6)
    (stopped,) = _jobs(data, tmp_path / "stopped", ["minconvgru"], updates=6)
    for job in (whole, stopped):
        job.folder.mkdir()
    for report in run(stopped, CPU):
        if isinstance(report, UpdateReport) and report.update == 2:
            break
    assert last_path(stopped.checkpoint).exists()
    again = list(run(stopped, CPU))
    assert [report.update for report in again if isinstance(report, CheckReport)] == [2, 3, 4, 5, 6]
    numbers, expected = again[-1].numbers, _result(whole).numbers
    assert numbers["validation loss"] == expected["validation loss"]
    assert stopped.checkpoint.read_bytes() == whole.checkpoint.read_bytes()
    assert not last_path(stopped.checkpoint).exists()


def test_the_last_checkpoint_of_another_training_is_not_gone_on_with(data, tmp_path):
    for updates, seen in ((2, [0, 1, 2]), (3, [0, 1, 2, 3])):
        (job,) = _jobs(data, tmp_path, ["minconvgru"], updates=updates)
        reports = []
        for report in run(job, CPU):
            reports.append(report)
            if isinstance(report, CheckReport) and report.update == updates:
                break
        assert [report.update for report in reports if isinstance(report, CheckReport)] == seen


def test_scores_on_steps_that_training_has_seen_are_refused(data, tmp_path):
    with pytest.raises(UsageError, match="within the training period"):
        _jobs(Data(data.record, data.training, (100, 160)), tmp_path)
    with pytest.raises(UsageError, match="no steps are held out"):
        _jobs(Data(data.record, data.training, None), tmp_path, validation="0")


def test_without_a_test_period_the_validation_period_is_scored_on(data, tmp_path):
    job = _jobs(Data(data.record, (20, 120), None), tmp_path)[0]
    assert job.test == (100, 120)
    assert not job.prepared.config.fit.refit  # or it would be scored on what it was fitted to
    assert _jobs(data, tmp_path)[0].prepared.config.fit.refit


def test_a_channel_that_is_constant_in_training_is_left_out_of_the_scores_too(data, tmp_path):
    fields = data.record.fields.copy(data=data.record.fields.values.copy())
    fields[:, 1] = 5.0
    flat = Data(replace(data.record, fields=fields), data.training, data.test, data.labels)
    for task in ("embed", "forecast"):
        (job,) = _jobs(flat, tmp_path, ["minconvgru"], task=task)
        assert np.isfinite(_result(job).numbers["validation loss"])
        assert len(job.prepared.cube.channels) == 1


def test_a_run_on_other_values_is_another_run(data, tmp_path):
    other = replace(data.record, fields=data.record.fields * 2)
    (one,), (two,) = (
        _jobs(Data(cube, data.training, data.test), tmp_path, ["minconvgru"]) for cube in (data.record, other)
    )
    assert one.key != two.key


@pytest.mark.parametrize("steps", [slice(0, 150), slice(150, 200)])
def test_labels_that_only_one_period_has_are_refused(data, tmp_path, steps):
    truth = np.full(200, "", dtype="<U4")
    truth[steps] = data.labels["type"][steps]
    with pytest.raises(InputError, match="A probe needs two classes"):
        _jobs(Data(data.record, data.training, data.test, {"type": truth}), tmp_path)


def test_seeds_differ_and_encoders_share_their_data(data, tmp_path):
    jobs = _jobs(data, tmp_path, seeds=2)
    assert [job.name for job in jobs] == ["minconvgru-seed0", "eof-seed0", "minconvgru-seed1", "eof-seed1"]
    one, two = (_result(jobs[number]).numbers["validation loss"] for number in (0, 2))
    assert one != two


def test_eofs_are_plain_ones_whatever_the_window():
    given = {"task": "embed", "window": 8, "burn_in": 2}
    assert encoder_config(None, given, "eof").tiling.window == 1
    assert encoder_config(None, given, "convgru").tiling.window == 8


def test_tables_hold_means_and_deviations_over_seeds(tmp_path):
    results = [
        Result("a", 0, {"score": 1.0, "cost": 10.0, "gone": None}),
        Result("a", 1, {"score": 2.0, "cost": 10.0, "gone": None}),
        Result("b", 0, {"score": 5.0, "cost": 2500.4, "other": 1.0}),
    ]
    rows = summarize(results)
    assert rows["a"]["seeds"] == 2
    assert rows["a"]["score"] == 1.5
    assert rows["a"]["score std"] == pytest.approx(np.std([1, 2], ddof=1))
    assert rows["b"]["score std"] is None
    table, document = write_tables(tmp_path, results)
    lines = table.read_text().splitlines()
    assert lines[0].startswith("encoder,seeds,score,score std")
    assert lines[1].startswith("a,2,1.5,0.707")
    kept = json.loads(document.read_text())
    assert kept["encoders"] == rows
    assert kept["runs"][1] == {"encoder": "a", "seed": 1, "score": 2.0, "cost": 10.0, "gone": None}
    columns, cells = shown(results)
    assert columns == ["", "a", "b"]
    assert ["score", "1.50 ± 0.71", "5"] in cells
    assert ["cost", "10", "2500"] in cells
    assert ["gone", "-", "-"] in cells
