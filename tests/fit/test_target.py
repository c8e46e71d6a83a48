"""Targets through training: a table and a field beside a small cube whose first channel tells them."""

import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import InputError, UsageError
from faconv_cli.fit.eofs import regress
from faconv_cli.fit.loop import CheckReport, Training
from faconv_cli.fit.prepare import prepare
from faconv_cli.fit.toldtarget import tell_target
from tests.reference.head import principal_subspace
from tests.reference.target import told_linearly

CPU = torch.device("cpu")
EOF = {"encoder": "eof", "embedding": 4, "validation": "0", "anomaly": "none", "eof_share": 1.0}
SMALL = {
    "window": 12,
    "burn_in": 4,
    "hidden": 4,
    "bottleneck": 4,
    "embedding": 4,
    "batch": 4,
    "anomaly": "none",
}
STEPS = 150


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(STEPS, shape=(4, 6), noise=1.0)


@pytest.fixture(scope="module")
def index(cube):
    """(t,) what one corner of the first channel has, with noise."""
    noise = np.random.default_rng(1).normal(size=STEPS)
    return cube.fields.values[:, 0, 0, 0] - 280 + 0.5 * noise + 3


@pytest.fixture(scope="module")
def folder(cube, index, tmp_path_factory):
    """index.csv; rain.nc, a field on another grid of which one point is the index and others are noise."""
    folder = tmp_path_factory.mktemp("targets")
    _table(folder / "index.csv", cube, index)
    rng = np.random.default_rng(2)
    field = np.stack([index * weight for weight in (1.0, -2, 0.5, 0, 3, 1)], axis=1).reshape(-1, 2, 3)
    field = (field + 0.3 * rng.normal(size=field.shape)).astype("f4")
    coordinates = {"time": cube.time.values, "lat": [10.0, 40], "lon": [5.0, 15, 25]}
    xr.Dataset({"rain": (("time", "lat", "lon"), field, {"units": "mm"})}, coordinates).to_netcdf(
        folder / "rain.nc"
    )
    return folder


def _table(path, cube, values, steps=slice(None)):
    rows = zip(np.array(cube.time.labels)[steps], values[steps], strict=True)
    path.write_text("date,index\n" + "".join(f"{day},{value:.9g}\n" for day, value in rows))
    return path


def _prepare(cube, target, settings=EOF, **options):
    targets = [target] if isinstance(target, (str, bytes)) or not isinstance(target, list) else target
    return prepare(
        cube, RunConfig.build(None, settings | {"target": [str(one) for one in targets]} | options)
    )


def _train(prepared, path):
    training = Training(prepared, path, CPU)
    reports = [report for report in training.run() if isinstance(report, CheckReport)]
    return read_checkpoint(path), reports


def _embed(checkpoint, cube):
    rows = Embedder(checkpoint, cube, CPU, batch=None, attention=False).run(0, len(cube.time))
    return np.concatenate([part.embedding for part in rows])


def _analysis(cube, count):
    """(t, count) principal components of the standardised fields, in units of one variance, by NumPy."""
    fields = np.asarray(cube.fields).astype(float)
    anomalies, area = fields - fields.mean(axis=0), cube.grid.area
    std = np.sqrt((anomalies**2 * area).sum((-2, -1)).mean(axis=0))[:, None, None]
    weighted = (anomalies / std * np.sqrt(area)).reshape(len(fields), -1)
    u, s, _ = np.linalg.svd(weighted, full_matrices=False)
    return (u * s)[:, :count] / np.sqrt((s**2).sum() / len(fields))


def test_the_regression_is_that_of_plain_numpy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * [5, 3, 2, 1, 1, 0.5]
    for noise in (0.5, 5.0):
        y = x @ rng.normal(size=(6, 3)) + noise * rng.normal(size=(200, 3))
        centred = x - x.mean(axis=0), y - y.mean(axis=0)
        np.testing.assert_allclose(regress(*centred, persist=False), told_linearly(x, y), rtol=1e-8)


def test_what_cannot_be_told_is_shrunk_to_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 8)), rng.normal(size=(120, 2))
    assert np.abs(regress(x, y, persist=False)).max() < 0.01


def test_untrained_the_embedding_is_the_linear_analysis_of_field_and_target(cube, index, folder, tmp_path):
    checkpoint, _ = _train(_prepare(cube, folder / "index.csv", target_weight=[3.0]), tmp_path / "m.pt")
    p = _analysis(cube, checkpoint.encoder["eofs.mean"].shape[-1])
    y = (index - index.mean())[:, None] / index.std()
    told = p @ told_linearly(p, y)
    f = np.stack([p, np.pad(told, [(0, 0), (0, p.shape[1] - 1)])], axis=1)
    scores, _ = principal_subspace(f, np.array([1.0, 3.0]), 4)
    z = _embed(checkpoint, cube)
    np.testing.assert_allclose(np.abs(z), np.abs(scores), rtol=1e-3, atol=1e-3)


def test_a_target_is_no_input(cube, folder, tmp_path):
    copy = tmp_path / "index.csv"
    copy.write_bytes((folder / "index.csv").read_bytes())
    checkpoint, _ = _train(_prepare(cube, copy), tmp_path / "m.pt")
    copy.unlink()
    assert np.isfinite(_embed(checkpoint, cube)).all()


def test_a_field_is_told_in_its_eofs_with_unit_variance(cube, folder):
    prepared = _prepare(cube, folder / "rain.nc", eof_share=0.98)
    target = tell_target(prepared.targets[0], _eofs(prepared), prepared.config)
    count = target.coordinates.mean.shape[-1]
    truth = target.truth.numpy()
    assert 1 <= count < 6
    assert (truth[:, count:] == 0).all()
    assert 0.98 < truth.var(axis=0).sum() <= 1 + 1e-5
    covariance = np.cov(truth[:, :count].T.reshape(count, -1))
    np.testing.assert_allclose(covariance - np.diag(np.diag(np.atleast_2d(covariance))), 0, atol=1e-5)


def _eofs(prepared):
    from faconv_cli.fit.eofs import fit_eofs
    from faconv_cli.network import build_domain
    from faconv_cli.windows.dataset import WindowReader

    grid = prepared.cube.grid
    domain = build_domain(prepared.config, grid, prepared.normalizer.valid)
    reader = WindowReader(prepared.cube, prepared.climatology, prepared.normalizer, grid.shape, 1, 1)
    return fit_eofs(reader, domain, grid.shape, prepared.split.training, count=10, seed=0)


def test_a_target_of_part_of_the_record_tells_of_the_state_as_one_of_all(cube, index, folder, tmp_path):
    part = slice(30, 130)
    prepared = _prepare(cube, _table(tmp_path / "part.csv", cube, index, part))
    told = tell_target(prepared.targets[0], _eofs(prepared), prepared.config)
    truth = told.truth.numpy()[:, 0]
    assert np.isnan(truth[:30]).all()
    assert np.isnan(truth[130:]).all()
    x = _eofs(prepared)
    state = x.components * x.scale @ told.propagator[:, 0]
    # counted from what the mean state tells, so that no offset is left between them
    np.testing.assert_allclose((truth[part] - state[part]).mean(), 0, atol=1e-5)
    assert abs(state[part].mean()) > 1e-3
    assert "a value at 100 of 150 training steps" in " ".join(prepared.cube.notes)


def test_missing_values_leave_steps_out(cube, index, tmp_path):
    gappy = index.copy()
    gappy[40:50] = np.nan
    prepared = _prepare(cube, _table(tmp_path / "gappy.csv", cube, gappy))
    target = prepared.targets[0]
    assert (np.flatnonzero(target.rows < 0) == np.arange(40, 50)).all()
    assert len(target.training_steps) == 140


def test_a_target_lead_is_of_the_record_and_stays_within_training(cube, folder):
    target = _prepare(cube, folder / "index.csv", target_lead=[3], validation="0.2").targets[0]
    np.testing.assert_array_equal(target.rows[:147], np.arange(3, 150))
    assert (target.rows[147:] == -1).all()
    np.testing.assert_array_equal(target.training_steps, np.arange(117))
    np.testing.assert_allclose(target.normalizer.mean, 0, atol=1e-6)


def test_two_targets_have_weights_leads_and_names_of_their_own(cube, folder):
    text = folder / "index.csv"
    prepared = _prepare(
        cube, [text, folder / "rain.nc", text], target_weight=[1, 2, 0.5], target_lead=[0, 1, 2]
    )
    assert [target.name for target in prepared.targets] == ["index", "rain", "index_2"]
    assert [target.lead for target in prepared.targets] == [0, 1, 2]
    assert prepared.config.part_weights == (1.0, 1.0, 2.0, 0.5)


def test_a_larger_weight_gives_the_target_a_larger_share_of_the_first_mode(cube, index, folder, tmp_path):
    shares = []
    for weight in (0.1, 10.0):
        checkpoint, _ = _train(
            _prepare(cube, folder / "index.csv", target_weight=[weight]), tmp_path / f"{weight}.pt"
        )
        shares.append(np.corrcoef(_embed(checkpoint, cube)[:, 0], index)[0, 1] ** 2)
    assert shares[1] > shares[0] + 0.1


@pytest.mark.parametrize(
    ("values", "steps", "told"),
    [
        (lambda index: index * 0 + 4, slice(None), "is constant in the training period"),
        (lambda index: index, slice(0, 12), "has a value at 12 of the training steps"),
        (lambda index: index, slice(0, 0), "no column of numbers|there is no time step"),
        (
            lambda index: np.where(np.arange(STEPS) % 10, np.nan, index),
            slice(None),
            "a value at 15 of the training",
        ),
    ],
)
def test_a_target_that_nothing_is_learned_from_is_refused(cube, index, tmp_path, values, steps, told):
    with pytest.raises(InputError, match=told):
        _prepare(cube, _table(tmp_path / "bad.csv", cube, values(index), steps))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_weight": [1.0]}, "--target-weight was given without --target"),
        ({"target_lead": [1]}, "--target-lead was given without --target"),
        ({"target": ["a", "b"], "target_lead": [1, 2, 3]}, "--target-lead has 3 values for 2 targets"),
        ({"target": ["a"], "target_weight": [0.0]}, "--target-weight"),
        ({"target": ["a"], "task": "forecast"}, "--target was given with --task forecast"),
    ],
)
def test_options_of_targets_that_do_not_fit_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        RunConfig.build(None, options)


@pytest.fixture(scope="module")
def trained(cube, folder, tmp_path_factory):
    """A network trained for targets alone, one of which ends before the validation period."""
    early = _table(folder / "early.csv", cube, np.linspace(0, 1, STEPS) ** 2, slice(0, 110))
    options = {"objective": "reconstruct", "updates": 24, "validation": "0.25", "lr": 0.02, "refit": False}
    prepared = _prepare(cube, [folder / "rain.nc", early], SMALL, **options)
    path = tmp_path_factory.mktemp("trained") / "m.pt"
    return path, prepared, *_train(prepared, path)


def test_a_network_is_trained_for_a_target_without_leads(trained):
    _, _, checkpoint, reports = trained
    assert [*reports[0].terms] == ["rain"]
    assert min(report.terms["rain"] for report in reports) < reports[0].terms["rain"]
    assert checkpoint.record["best_update"] > 0


def test_a_target_that_validation_does_not_see_is_told_linearly(trained):
    _, prepared, checkpoint, _ = trained
    assert prepared.targets[1].known(prepared.split.validation) == 0
    assert checkpoint.encoder["confidence"][0] > 0
    assert checkpoint.encoder["confidence"][1] == 0


def test_a_checkpoint_keeps_the_grids_and_eofs_of_its_targets(trained):
    _, prepared, checkpoint, _ = trained
    assert [target.name for target in checkpoint.targets] == ["rain", "index"]
    assert [target.is_series for target in checkpoint.targets] == [False, True]
    for kept, own in zip(checkpoint.targets, prepared.targets, strict=True):
        assert kept.grid.same_points(own.cube.grid)
        np.testing.assert_array_equal(kept.normalizer.std, own.normalizer.std)
        assert kept.channel == own.cube.channels[0]
    assert checkpoint.record["training"]["targets"][0]["steps"] == len(prepared.targets[0].training_steps)


def test_training_goes_on_only_with_the_same_target(trained, cube, index, folder, tmp_path):
    from faconv_cli.errors import CheckpointError
    from faconv_cli.files import last_path

    path, prepared, _, _ = trained
    Training(prepared, path, CPU).resume(read_checkpoint(last_path(path)))
    before = (folder / "early.csv").read_text()
    _table(folder / "early.csv", cube, index, slice(0, 110))
    try:
        changed = prepare(cube, RunConfig.model_validate(prepared.config.model_dump()))
        with pytest.raises(CheckpointError, match="belongs to other data"):
            Training(changed, path, CPU).resume(read_checkpoint(last_path(path)))
    finally:
        (folder / "early.csv").write_text(before)
