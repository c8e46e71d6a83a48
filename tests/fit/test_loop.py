import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.files import last_path
from faconv_cli.fit import loop
from faconv_cli.fit.embedding import EmbeddingTask
from faconv_cli.fit.loop import CheckReport, Training, UpdateReport
from faconv_cli.fit.prepare import prepare
from faconv_cli.network import load_encoder

CPU = torch.device("cpu")
SMALL = {
    "window": 12,
    "burn_in": 4,
    "hidden": 6,
    "bottleneck": 4,
    "embedding": 4,
    "batch": 4,
    "updates": 24,
    "lead": (1, 2),
    "anomaly": "none",
}


def _training(cube, path, **options):
    return Training(prepare(cube, RunConfig.build(None, SMALL | options)), path, CPU)


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(120, land=0.2)


def _checks(training):
    return [report for report in training.run() if isinstance(report, CheckReport)]


def test_training_forecasts_better_than_the_linear_inverse_model(make_cube, tmp_path):
    cube = make_cube(300, noise=0.1)
    checks = _checks(_training(cube, tmp_path / "m.pt", updates=60, embedding=2, without=("changes",)))
    assert [check.update for check in checks] == [5 * number for number in range(13)]
    assert min(check.validation_loss for check in checks) < 0.97 * checks[0].validation_loss
    assert set(checks[0].terms) == {"lead 1", "lead 2"}


def test_the_loss_of_validation_is_the_weighted_mean_of_its_terms(cube, tmp_path):
    (start, *_) = _checks(_training(cube, tmp_path / "m.pt", updates=1, lead_weight=(3.0, 1.0)))
    expected = 0.75 * start.terms["lead 1"] + 0.25 * start.terms["lead 2"]
    assert start.validation_loss == pytest.approx(expected)


def test_the_error_of_the_climatology_is_1_whatever_the_eofs_hold(make_cube, tmp_path):
    """All but noise, which nothing forecasts and of which a few EOFs hold a part."""
    training = _training(make_cube(300, noise=100.0), tmp_path / "m.pt", updates=1)
    assert any(note.startswith("the leading EOFs hold") for note in training.notes)
    (start, *_) = _checks(training)
    assert start.terms == {"lead 1": pytest.approx(1, abs=0.05), "lead 2": pytest.approx(1, abs=0.05)}


def test_no_lead_is_worse_than_the_linear_inverse_model_on_validation(cube, tmp_path):
    checks = _checks(_training(cube, tmp_path / "m.pt", updates=24, lr=0.3))
    for check in checks:
        assert all(check.terms[name] <= checks[0].terms[name] * (1 + 1e-5) for name in check.terms)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(cube, tmp_path):
    paths = [tmp_path / name for name in ("one.pt", "two.pt", "three.pt")]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        _checks(_training(cube, path, seed=seed, updates=4))
    one, two, three = (path.read_bytes() for path in paths)
    assert one == two
    assert one != three


def test_a_resumed_training_ends_as_an_uninterrupted_one(cube, tmp_path):
    _checks(_training(cube, tmp_path / "whole.pt"))
    stopped = _training(cube, tmp_path / "parts.pt")
    for report in stopped.run():
        if isinstance(report, UpdateReport) and report.update == 11:
            break  # between two checks: the last checkpoint is of the one before
    resumed = _training(cube, tmp_path / "parts.pt")
    resumed.resume(read_checkpoint(last_path(tmp_path / "parts.pt")))
    assert resumed.updates_saved == 10
    assert [check.update for check in _checks(resumed)] == list(range(12, 25, 2))
    assert (tmp_path / "parts.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert last_path(tmp_path / "parts.pt").read_bytes() == last_path(tmp_path / "whole.pt").read_bytes()


def test_a_finished_training_that_is_resumed_stays_as_it_is(cube, tmp_path):
    path = tmp_path / "m.pt"
    _checks(_training(cube, path))
    before, again = path.read_bytes(), _training(cube, path)
    again.resume(read_checkpoint(last_path(path)))
    assert _checks(again) == []
    assert path.read_bytes() == before


def test_a_training_that_diverges_keeps_what_was_good_and_saves_nothing_else(cube, tmp_path):
    path, training = tmp_path / "m.pt", _training(cube, tmp_path / "m.pt", lr=1e30, updates=4)
    with pytest.raises(
        UsageError, match=r"diverged after update 1 .*m\.pt is of update 0, .*--lr below 1e\+30"
    ):
        _checks(training)
    kept = read_checkpoint(path), read_checkpoint(last_path(path))
    assert [one.record["updates"] for one in kept] == [0, 0]
    assert all(torch.isfinite(weights).all() for weights in kept[1].resume["model"].values())


def test_a_validation_loss_that_is_not_finite_is_not_saved(cube, tmp_path, monkeypatch):
    training = _training(cube, tmp_path / "m.pt")
    monkeypatch.setattr(training, "_validate", lambda: torch.tensor([1.0, torch.nan]))
    with pytest.raises(UsageError, match=r"its loss is not finite.*none was"):
        _checks(training)
    assert list(tmp_path.iterdir()) == []


def test_errors_that_are_not_finite_at_the_start_are_refused(cube, tmp_path, monkeypatch):
    monkeypatch.setattr(EmbeddingTask, "losses", lambda *_, **__: torch.tensor([1.0, torch.inf]))
    with pytest.raises(
        InputError, match=r"made\.nc: .*untrained network are not finite \(lead 1 1, lead 2 inf\)"
    ):
        _training(cube, tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_another_training_is_not_resumed(cube, make_cube, tmp_path):
    _checks(_training(cube, tmp_path / "m.pt", updates=2))
    last = read_checkpoint(last_path(tmp_path / "m.pt"))
    with pytest.raises(CheckpointError, match=r"encoder\.hidden"):
        _training(cube, tmp_path / "m.pt", updates=2, hidden=8).resume(last)
    with pytest.raises(CheckpointError, match="other data"):
        _training(make_cube(121, land=0.2), tmp_path / "m.pt", updates=2).resume(last)
    with pytest.raises(CheckpointError, match="another training"):
        _training(cube, tmp_path / "m.pt", updates=2).resume(replace(last, resume={}))


@pytest.mark.parametrize(
    ("steps", "change"),
    [
        (slice(None), lambda x: 50 * x + 100),  # other data of the same shape
        (slice(30, 60), lambda x: x + 0.5),  # reprocessed
        (slice(110, None), lambda x: x + 0.5),  # in the validation period alone
        (slice(5, 6), lambda x: np.nan * x),
    ],
)
def test_a_training_is_not_resumed_on_values_that_have_changed(cube, tmp_path, steps, change):
    _checks(_training(cube, tmp_path / "m.pt", updates=2))
    last = read_checkpoint(last_path(tmp_path / "m.pt"))
    fields = cube.fields.copy(deep=True)
    fields[steps] = change(fields[steps])
    for kept in (cube.fields.astype("f4"), cube.fields + 1e-6 * cube.fields):  # the same but for rounding
        _training(replace(cube, fields=kept), tmp_path / "m.pt", updates=2).resume(last)
    with pytest.raises(CheckpointError, match=r"other data: the values in .* are not those"):
        _training(replace(cube, fields=fields), tmp_path / "m.pt", updates=2).resume(last)


def test_the_best_update_is_kept(cube, tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 1.0, *[4.0] * 10])
    training = _training(cube, tmp_path / "m.pt")
    monkeypatch.setattr(training, "_validate", lambda: torch.full((2,), next(losses)))
    checks = _checks(training)
    assert [check.best for check in checks[:4]] == [True, True, True, False]
    assert training.best_update == read_checkpoint(tmp_path / "m.pt").record["best_update"] == 4


def test_without_validation_a_network_is_trusted_as_far_as_it_helps_in_training(cube, tmp_path):
    options = {"validation": "0", "without": ("changes",)}
    for name, more in (("wild", {"updates": 2, "lr": 1.0}), ("trained", {"updates": 60, "lr": 0.02})):
        _checks(_training(cube, tmp_path / f"{name}.pt", **options, **more))
    wild, trained = (
        read_checkpoint(tmp_path / f"{name}.pt").encoder["confidence"] for name in ("wild", "trained")
    )
    assert (wild < 0.1).all()
    assert (trained > 0.5).all()


@pytest.mark.parametrize(("validation", "checked"), [("0.2", True), ("0", False)])
def test_a_network_learns_beside_the_changes_where_validation_checks_it(
    cube, tmp_path, monkeypatch, validation, checked
):
    asked, losses = [], EmbeddingTask.losses

    def noted(*given, checked=False):
        asked.append(checked)
        return losses(*given, checked=checked)

    monkeypatch.setattr(EmbeddingTask, "losses", noted)
    _checks(_training(cube, tmp_path / "m.pt", validation=validation, updates=2))
    assert asked == [False, checked, checked]


def test_without_validation_the_last_weights_are_the_best(cube, tmp_path):
    checks = _checks(_training(cube, tmp_path / "m.pt", validation="0", updates=2))
    assert {check.validation_loss for check in checks} == {None}
    assert read_checkpoint(tmp_path / "m.pt").record["best_update"] == 2
    json.dumps(read_checkpoint(tmp_path / "m.pt").record, allow_nan=False)


def test_the_checkpoint_says_what_it_was_trained_on(cube, tmp_path):
    _checks(_training(cube.noted("Region 0:1,0:1."), tmp_path / "m.pt", updates=2))
    record = read_checkpoint(tmp_path / "m.pt").record
    assert record["training"] == {
        "sources": ["made.nc"],
        "notes": ["Region 0:1,0:1."],
        "steps": 96,
        "period": [cube.time.labels[0], cube.time.labels[95]],
        "validation period": [cube.time.labels[96], cube.time.labels[119]],
        "calendar": "standard",
        "targets": [],
        "refitted": True,
    }


@pytest.mark.parametrize(
    ("objective", "lead", "terms", "parts"),
    [
        ("reconstruct", None, set(), 1),
        ("forecast", (1, 3), {"lead 1", "lead 3"}, 2),
        ("both", (2,), {"lead 2"}, 2),
    ],
)
def test_the_objective_says_what_is_told(cube, tmp_path, objective, lead, terms, parts):
    checks = _checks(_training(cube, tmp_path / "m.pt", objective=objective, lead=lead, updates=2))
    assert set(checks[-1].terms) == terms
    assert len(checks) == (3 if terms else 1)
    assert read_checkpoint(tmp_path / "m.pt").encoder["subspace.axes"].shape[1] == parts


def test_what_is_fitted_is_fitted_to_all_steps_in_the_end(cube, tmp_path):
    """The checkpoint is that of the whole record, with the weights and the trust of the best update."""
    paths = {name: tmp_path / f"{name}.pt" for name in ("held out", "refitted", "whole")}
    options = {"lr": 0.02, "eof_share": 0.01}  # so that there are as many EOFs as modes
    _checks(_training(cube, paths["held out"], **options, refit=False))
    _checks(_training(cube, paths["refitted"], **options))
    _checks(_training(cube, paths["whole"], **options | {"validation": "0", "updates": 0}))
    held_out, refitted, whole = (read_checkpoint(path) for path in paths.values())
    assert refitted.record["best_update"] == held_out.record["best_update"] > 0
    np.testing.assert_array_equal(refitted.normalizer.std, whole.normalizer.std)
    np.testing.assert_array_equal(refitted.climatology.coefficients, whole.climatology.coefficients)
    trained = dict(load_encoder(held_out).named_parameters())
    for name, weights in load_encoder(refitted).named_parameters():
        assert torch.equal(weights, trained[name])
    assert torch.equal(refitted.encoder["confidence"], held_out.encoder["confidence"])
    assert not torch.equal(refitted.encoder["eofs.on_x"], held_out.encoder["eofs.on_x"])
    # the same space as that of the EOFs of the whole record, turned towards those of the training
    one, two = (checkpoint.encoder["eofs.on_x"][0].flatten(1).double() for checkpoint in (refitted, whole))
    torch.testing.assert_close(one.T @ one, two.T @ two, rtol=1e-3, atol=1e-4)
    assert not whole.record["training"].get("refitted")


def test_a_refit_that_was_stopped_is_done_by_the_next_run(cube, tmp_path, monkeypatch):
    _checks(_training(cube, tmp_path / "m.pt", updates=2))
    whole = (tmp_path / "m.pt").read_bytes()
    stopped = _training(cube, tmp_path / "parts.pt", updates=2)
    monkeypatch.setattr(stopped, "_finish", lambda: None)
    _checks(stopped)
    assert (tmp_path / "parts.pt").read_bytes() != whole
    resumed = _training(cube, tmp_path / "parts.pt", updates=2)
    resumed.resume(read_checkpoint(last_path(tmp_path / "parts.pt")))
    assert _checks(resumed) == []
    assert (tmp_path / "parts.pt").read_bytes() == whole


def test_modes_are_uncorrelated_over_the_training_period(cube, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SETTLING_WINDOWS", 3)  # too few: the best network is settled at the end
    path = tmp_path / "m.pt"
    _checks(_training(cube, path, lr=0.02, refit=False))
    checkpoint = read_checkpoint(path)
    assert checkpoint.record["best_update"] > 0
    z = np.concatenate(
        [rows.embedding for rows in Embedder(checkpoint, cube, CPU, batch=None, attention=False).run(0, 96)]
    )
    covariance = np.cov(z.T.astype(float))
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=2e-3 * covariance.max())
    assert (np.diff(np.diag(covariance)) < 0).all()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-2)


@pytest.mark.parametrize(
    "option",
    [
        {"lr": 1e-4},
        {"weight_decay": 5.0},
        {"dropout": 0.9},
        {"lead": (1, 3)},
        {"lead_weight": (1.0, 9.0)},
        {"eof_share": 0.5, "embedding": 1},
        {"objective": "forecast"},
        {"batch": 3},
        {"hidden": 8},
        {"kernel_size": 5},
        {"dilations": (1,)},
        {"attention_every": 2},
        {"attention_heads": 1},
        {"attention_pool": 2},
        {"patch": 2},
        {"tile": 6, "halo": 1},
        {"detrend": True},
        {"causal": False},
        {"precision": "bfloat16"},
        *({"encoder": name} for name in ("minfaconvlstm", "convlstm", "convgru", "minconvlstm")),
        *({"encoder": name} for name in ("minconvgru", "minconvexplstm")),
        *(
            {"without": (name,)}
            for name in ("squeeze-excitation", "peephole", "axial", "temporal", "season", "changes")
        ),
    ],
    ids=str,
)
def test_every_setting_changes_what_is_trained(make_cube, tmp_path, option):
    cube = make_cube(60, shape=(8, 12))
    trained = []
    for number, options in enumerate(({}, option)):
        path = tmp_path / f"{number}.pt"
        checks = _checks(_training(cube, path, **{"batch": 2, "updates": 2} | options))
        assert np.isfinite(checks[-1].training_loss)
        trained.append(read_checkpoint(last_path(path)).encoder)
    one, two = trained
    assert {n: t.shape for n, t in one.items()} != {n: t.shape for n, t in two.items()} or any(
        not torch.equal(one[name], two[name]) for name in one
    )


def test_a_training_on_data_that_have_changed_is_not_resumed(cube, make_cube, tmp_path):
    _checks(_training(cube, tmp_path / "m.pt", updates=2))
    last = read_checkpoint(last_path(tmp_path / "m.pt"))
    with pytest.raises(CheckpointError, match="other data"):
        _training(make_cube(120, land=0.2, noise=0.31), tmp_path / "m.pt", updates=2).resume(last)


def test_a_validation_period_that_a_lead_looks_beyond_is_not_one_without_error(make_cube, tmp_path):
    checks = _checks(_training(make_cube(60), tmp_path / "m.pt", lead=(1, 12), updates=2, validation="0.2"))
    assert {check.validation_loss for check in checks} == {None}
    assert {len(check.terms) for check in checks} == {0}
