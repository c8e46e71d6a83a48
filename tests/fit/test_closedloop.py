import numpy as np
import pytest
import torch

from faconv_cli.config import RunConfig
from faconv_cli.fit.closedloop import ClosedLoopTask
from faconv_cli.fit.loop import CheckReport, Training
from faconv_cli.fit.prepare import prepare
from faconv_cli.network import build_domain
from faconv_cli.windows.dataset import WindowReader

SETTINGS = {
    "task": "forecast",
    "closed_loop": True,
    "encoder": "convgru",
    "hidden": 4,
    "window": 8,
    "burn_in": 2,
    "batch": 4,
    "updates": 4,
    "anomaly": "none",
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(120, land=0.2)


def _task(cube, **options):
    prepared = prepare(cube, RunConfig.build(None, SETTINGS | options))
    grid, config = cube.grid, prepared.config
    valid = prepared.normalizer.valid
    domain = build_domain(config, grid, valid)
    reader = WindowReader(cube, prepared.climatology, prepared.normalizer, grid.shape, 8, config.fit.batch)
    task = ClosedLoopTask(prepared)
    batch = reader.read(prepared.training_windows(np.random.default_rng(0), 4)[:4])
    return task, batch, domain


@pytest.mark.parametrize("given", [1, 3, 7])
def test_the_loss_is_the_area_weighted_mean_square_of_each_phase(cube, given):
    task, batch, domain = _task(cube, teacher_forced=given)
    torch.nn.init.normal_(task.model.decoder.weight, std=0.3)
    losses = task.losses(task.model, batch, domain).detach().numpy()
    forecast = (
        task.model(batch.x[:, :given], batch.valid[:, :given], 7 - given, domain).detach().double().numpy()
    )
    x, valid, area = batch.x.double().numpy(), batch.valid.numpy(), domain.area.double().numpy()
    errors = np.zeros((7, 2))
    for frame in range(7):
        for channel in range(2):
            weight = area * valid[:, frame + 1, channel]
            squares = (forecast[:, frame, channel] - x[:, frame + 1, channel]) ** 2
            errors[frame, channel] = (weight * squares).sum() / weight.sum()
    expected = [part.mean() for part in (errors[:given], errors[given:]) if len(part)]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(task.shares, [given / 7, 1 - given / 7][: len(expected)], rtol=1e-6)


def test_training_forecasts_better_than_persistence(make_cube, tmp_path):
    cube = make_cube(300, noise=0.05)
    options = {"updates": 60, "lr": 0.01, "hidden": 8}
    training = Training(prepare(cube, RunConfig.build(None, SETTINGS | options)), tmp_path / "m.pt", CPU)
    checks = [report for report in training.run() if isinstance(report, CheckReport)]
    assert training.start == "persistence"
    assert checks[-1].validation_loss < 0.6 * checks[0].validation_loss
    assert set(checks[0].terms) == {"teacher-forced", "closed loop"}


@pytest.mark.parametrize(
    "option", [{"teacher_forced": 3}, {"skip": False}, {"layers": 2}, {"padding": "circular"}, {"patch": 2}]
)
def test_every_setting_changes_what_is_trained(cube, tmp_path, option):
    checkpoints = []
    for name, settings in (("plain", {}), ("changed", option)):
        prepared = prepare(cube, RunConfig.build(None, SETTINGS | {"updates": 2} | settings))
        for _ in Training(prepared, tmp_path / f"{name}.pt", CPU).run():
            pass
        weights = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        checkpoints.append({**weights["encoder"], **weights["decoder"]})
    plain, changed = checkpoints
    assert plain.keys() != changed.keys() or any(
        plain[name].shape != changed[name].shape or not torch.equal(plain[name], changed[name])
        for name in plain
    )
