from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.errors import UsageError
from faconv_cli.fit.forecasting import ForecastTask
from faconv_cli.fit.loop import CheckReport, Training
from faconv_cli.fit.prepare import prepare
from faconv_cli.forecast.run import ForecastRun
from faconv_cli.network import build_domain
from faconv_cli.windows.dataset import WindowReader

SETTINGS = {
    "task": "forecast",
    "encoder": "convgru",
    "hidden": 4,
    "window": 10,
    "teacher_forced": 7,
    "burn_in": 3,
    "batch": 4,
    "updates": 4,
    "anomaly": "none",
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(240, land=0.2, noise=0.05)


def _task(cube, **options):
    prepared = prepare(cube, RunConfig.build(None, SETTINGS | options))
    grid, config = cube.grid, prepared.config
    domain = build_domain(config, grid, prepared.normalizer.valid)
    reader = WindowReader(
        cube, prepared.climatology, prepared.normalizer, grid.shape, config.steps_read, config.fit.batch
    )
    task = ForecastTask(prepared, reader, domain)
    batch = reader.read(prepared.training_windows(np.random.default_rng(0), 4)[:4])
    return task, batch, domain, prepared


def _with(cube, fields):
    return replace(cube, fields=cube.fields.copy(data=fields.astype(np.float32)))


def _train(cube, path, **options):
    training = Training(prepare(cube, RunConfig.build(None, SETTINGS | options)), path, CPU)
    return training, [report for report in training.run() if isinstance(report, CheckReport)]


def test_all_leads_that_a_window_leaves_are_told(cube):
    task, *_ = _task(cube)
    assert task.targets == ("lead 1", "lead 2", "lead 3")
    assert task.start == "the quadratic inverse model"


@pytest.mark.parametrize(("burn_in", "checked"), [(0, True), (3, False), (9, True)])
def test_the_loss_is_that_of_rows_past_the_warm_up_which_have_all_their_leads(cube, burn_in, checked):
    task, batch, domain, _ = _task(cube, burn_in=burn_in)
    encoder = task.model.encoder
    seen = (one[:, :7] for one in (batch.x, batch.valid, batch.year_fraction, batch.day_fraction))
    with torch.no_grad():
        encoding = encoder(*seen, domain)
        ahead = encoding.linear + encoding.correction
        if not checked:  # a checked network learns beside what changes tell
            ahead = ahead + encoding.tendency
        truth = encoder.eofs.whole(batch.x, domain)
        rows = range(min(burn_in, 6), 7)
        expected = [
            np.mean([((truth[:, t + lead] - ahead[:, t, lead - 1]) ** 2).sum(-1).numpy() for t in rows])
            for lead in (1, 2, 3)
        ]
        np.testing.assert_allclose(
            task.losses(task.model, batch, domain, checked=checked), expected, rtol=1e-4
        )


def test_the_last_changes_tell_which_way_a_wave_goes(make_cube):
    cube = make_cube(300, channels=1, shape=(6, 12), noise=0.02)
    way = np.repeat(np.random.default_rng(0).choice([-1, 1], 20), 15)
    x, phase = np.arange(12) * 2 * np.pi / 12, np.cumsum(0.4 * way)[:, None, None, None]
    task, batch, domain, _ = _task(_with(cube, np.cos(x - phase) + cube.fields.values / 10))
    with torch.no_grad():
        seeing = task.validate(task.model, [batch], domain)
        task.model.encoder.tendencies.weight.zero_()
        assert (seeing < 0.8 * task.validate(task.model, [batch], domain)).all()


def test_a_change_counts_where_both_steps_hold_most_points(cube):
    task, batch, domain, _ = _task(cube)
    encoder = task.model.encoder
    x, valid, *when = [one[:, :7] for one in (batch.x, batch.valid, batch.year_fraction, batch.day_fraction)]

    def tendency(valid):
        with torch.no_grad():
            return encoder(x * valid, valid, *when, domain).tendency

    whole = tendency(valid)
    assert not whole[:, 0].any()
    few = valid.clone()
    few[:, 3, :, :4] = False  # of six rows
    found = tendency(few)
    torch.testing.assert_close(found[:, :3], whole[:, :3])
    assert found[:, 3].any()  # of what is left of the step, all was there before
    assert not found[:, 4].any()  # and after it most was not
    assert found[:, 5].any()
    torch.testing.assert_close(found[:, 6], whole[:, 6])


def test_no_lead_is_worse_in_validation_than_the_linear_forecast(cube, tmp_path):
    _, checks = _train(cube, tmp_path / "m.pt", updates=12, lr=1.0, dropout=0.0)
    for check in checks:
        assert all(check.terms[name] <= checks[0].terms[name] * (1 + 1e-5) for name in check.terms)


def test_training_improves_on_the_linear_forecast(make_cube, tmp_path):
    cube = make_cube(300, noise=0.05)
    options = {"updates": 80, "lr": 0.03, "hidden": 8, "dropout": 0.0}
    training, checks = _train(cube, tmp_path / "m.pt", **options)
    assert training.best_update
    assert checks[-1].validation_loss < checks[0].validation_loss
    assert read_checkpoint(tmp_path / "m.pt").encoder["confidence"].max() > 0


def test_what_is_finer_than_the_eofs_persists_damped(make_cube):
    cube = make_cube(400, channels=1, shape=(8, 12), noise=0.0)
    fine = np.random.default_rng(0).normal(size=(400, 1, 8, 12)) / 5
    for step in range(1, 400):  # white in space: a few EOFs hold little of it
        fine[step] = 0.8 * fine[step - 1] + 0.6 * fine[step]
    task, *_ = _task(_with(cube, cube.fields.values + fine), encoder="eof", embedding=6, burn_in=0)
    np.testing.assert_allclose(task.model.decoder.kept[:, 0], [0.8, 0.64, 0.51], atol=0.08)


def test_more_steps_than_leads_go_on_from_the_forecasts(cube, tmp_path):
    _train(cube, tmp_path / "m.pt", updates=2, lr=0.1)
    checkpoint = read_checkpoint(tmp_path / "m.pt")
    (part,) = ForecastRun(checkpoint, cube, 8, CPU, batch=1).run([60])
    fields = cube.fields.values.copy()
    physical = ForecastRun(checkpoint, cube, 8, CPU).physical(60, part.anomalies[0])
    fields[61:64] = np.where(np.isfinite(fields[61:64]), physical[:3], np.nan)
    (more,) = ForecastRun(checkpoint, replace(cube, fields=cube.fields.copy(data=fields)), 3, CPU).run([63])
    np.testing.assert_allclose(more.anomalies[0], part.anomalies[0, 3:6], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "option",
    [
        {"teacher_forced": 5},
        {"layers": 2},
        {"padding": "circular"},
        {"patch": 2},
        {"dropout": 0.9},
        {"closed_loop": True},
        {"skip": False},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_trained(cube, tmp_path, option):
    checkpoints = []
    for name, settings in (("plain", {}), ("changed", option)):
        _train(cube, tmp_path / f"{name}.pt", **{"updates": 2, **settings})
        weights = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        checkpoints.append({**weights["encoder"], **weights["decoder"]})
    plain, changed = checkpoints
    assert plain.keys() != changed.keys() or any(
        plain[name].shape != changed[name].shape or not torch.equal(plain[name], changed[name])
        for name in plain
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encoder": "eof", "closed_loop": True, "hidden": None}, "all lead times at once"),
        ({"encoder": "eof", "skip": False, "hidden": None}, "all lead times at once"),
        ({"closed_loop": True, "dropout": 0.1}, "--dropout was given in closed loop"),
        (
            {"task": "embed", "teacher_forced": None, "closed_loop": True},
            "--closed-loop was given with --task embed",
        ),
    ],
)
def test_settings_of_the_other_kind_of_forecast_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        RunConfig.build(None, SETTINGS | options)
