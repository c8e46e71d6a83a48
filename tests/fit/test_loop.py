import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.files import last_path
from faconv_cli.fit.embedding import EmbeddingTask
from faconv_cli.fit.loop import EpochReport, StepReport, Training
from faconv_cli.fit.prepare import prepare

CPU = torch.device("cpu")
SMALL = {
    "window": 12,
    "burn_in": 4,
    "hidden": 6,
    "bottleneck": 4,
    "embedding": 4,
    "batch": 4,
    "epochs": 3,
    "points": 32,
    "anomaly": "none",
}


def _training(cube, path, **options):
    return Training(prepare(cube, RunConfig.build(None, SMALL | options)), path, CPU)


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(120, land=0.2)


def _epochs(training):
    return [report for report in training.run() if isinstance(report, EpochReport)]


def test_training_lowers_the_validation_loss_below_that_of_the_eofs(make_cube, tmp_path):
    cube = make_cube(300, noise=0.1)
    epochs = _epochs(_training(cube, tmp_path / "m.pt", epochs=8, embedding=2, lr=0.01))
    assert epochs[0].epoch == 0
    assert min(e.validation_loss for e in epochs) < 0.97 * epochs[0].validation_loss
    assert set(epochs[0].terms) == {"now", "lead 1"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(cube, tmp_path):
    paths = [tmp_path / name for name in ("one.pt", "two.pt", "three.pt")]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        _epochs(_training(cube, path, seed=seed, epochs=2))
    one, two, three = (path.read_bytes() for path in paths)
    assert one == two
    assert one != three


def test_a_resumed_training_ends_as_an_uninterrupted_one(cube, tmp_path):
    _epochs(_training(cube, tmp_path / "whole.pt"))
    stopped = _training(cube, tmp_path / "parts.pt")
    for report in stopped.run():
        if isinstance(report, StepReport) and report.epoch == 2:
            break  # in the middle of an epoch: the last checkpoint is of the first
    resumed = _training(cube, tmp_path / "parts.pt")
    resumed.resume(read_checkpoint(last_path(tmp_path / "parts.pt")))
    assert resumed.epochs_saved == resumed.best_epoch == 1
    assert [e.epoch for e in _epochs(resumed)] == [2, 3]
    assert (tmp_path / "parts.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert last_path(tmp_path / "parts.pt").read_bytes() == last_path(tmp_path / "whole.pt").read_bytes()


def test_a_training_that_diverges_keeps_what_was_good_and_saves_nothing_else(cube, tmp_path):
    path, training = tmp_path / "m.pt", _training(cube, tmp_path / "m.pt", lr=1e30, epochs=2)
    with pytest.raises(UsageError, match=r"diverged in epoch 1 .*m\.pt is of epoch 0, .*--lr below 1e\+30"):
        _epochs(training)
    kept = read_checkpoint(path), read_checkpoint(last_path(path))
    assert [one.record["epochs"] for one in kept] == [0, 0]
    assert all(torch.isfinite(weights).all() for weights in kept[1].resume["model"].values())


def test_a_validation_loss_that_is_not_finite_is_not_saved(cube, tmp_path, monkeypatch):
    training = _training(cube, tmp_path / "m.pt")
    monkeypatch.setattr(training, "_validate", lambda: torch.tensor([1.0, torch.nan]))
    with pytest.raises(UsageError, match=r"its loss is not finite.*none was"):
        _epochs(training)
    assert list(tmp_path.iterdir()) == []


def test_errors_that_are_not_finite_at_the_start_are_refused(cube, tmp_path, monkeypatch):
    monkeypatch.setattr(EmbeddingTask, "losses", lambda *_: torch.tensor([1.0, torch.inf]))
    with pytest.raises(
        InputError, match=r"made\.nc: .*untrained network are not finite \(now 1, lead 1 inf\)"
    ):
        _training(cube, tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_another_training_is_not_resumed(cube, make_cube, tmp_path):
    _epochs(_training(cube, tmp_path / "m.pt", epochs=1))
    last = read_checkpoint(last_path(tmp_path / "m.pt"))
    with pytest.raises(CheckpointError, match=r"encoder\.hidden"):
        _training(cube, tmp_path / "m.pt", epochs=1, hidden=8).resume(last)
    with pytest.raises(CheckpointError, match="other data"):
        _training(make_cube(121, land=0.2), tmp_path / "m.pt", epochs=1).resume(last)
    with pytest.raises(CheckpointError, match="another training"):
        _training(cube, tmp_path / "m.pt", epochs=1).resume(replace(last, resume={}))


def test_training_stops_when_the_validation_loss_no_longer_falls(cube, tmp_path):
    epochs = _epochs(_training(cube, tmp_path / "m.pt", epochs=50, lr=0.5, patience=2))
    assert len(epochs) < 20
    best = min(epochs, key=lambda e: e.validation_loss)
    assert epochs[-1].epoch == best.epoch + 2
    record = read_checkpoint(tmp_path / "m.pt").record
    assert record["best_epoch"] == best.epoch


def test_without_validation_the_last_weights_are_the_best(cube, tmp_path):
    epochs = _epochs(_training(cube, tmp_path / "m.pt", validation="0", epochs=2))
    assert [e.validation_loss for e in epochs] == [None, None, None]
    assert read_checkpoint(tmp_path / "m.pt").record["best_epoch"] == 2
    json.dumps(read_checkpoint(tmp_path / "m.pt").record, allow_nan=False)


def test_the_checkpoint_says_what_it_was_trained_on(cube, tmp_path):
    _epochs(_training(cube.noted("Region 0:1,0:1."), tmp_path / "m.pt", epochs=1))
    record = read_checkpoint(tmp_path / "m.pt").record
    assert record["training"] == {
        "sources": ["made.nc"],
        "notes": ["Region 0:1,0:1."],
        "steps": 96,
        "period": [cube.time.labels[0], cube.time.labels[95]],
        "validation period": [cube.time.labels[96], cube.time.labels[119]],
        "calendar": "standard",
    }


@pytest.mark.parametrize(
    ("objective", "lead", "terms"),
    [
        ("reconstruct", (1,), {"now"}),
        ("forecast", (1, 3), {"lead 1", "lead 3"}),
        ("both", (2,), {"now", "lead 2"}),
    ],
)
def test_the_objective_says_what_is_decoded(cube, tmp_path, objective, lead, terms):
    epochs = _epochs(_training(cube, tmp_path / "m.pt", objective=objective, lead=lead, epochs=1))
    assert set(epochs[-1].terms) == terms


@pytest.mark.parametrize(
    "option",
    [
        {"lr": 1e-4},
        {"weight_decay": 5.0},
        {"points": 8},
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
        *({"without": (name,)} for name in ("squeeze-excitation", "peephole", "axial", "temporal", "season")),
    ],
    ids=str,
)
def test_every_setting_changes_what_is_trained(make_cube, tmp_path, option):
    cube = make_cube(60, shape=(8, 12))
    trained = []
    for number, options in enumerate(({}, option)):
        path = tmp_path / f"{number}.pt"
        epochs = _epochs(_training(cube, path, **{"batch": 2, "epochs": 1} | options))
        assert np.isfinite(epochs[-1].training_loss)
        trained.append(read_checkpoint(last_path(path)).encoder)
    one, two = trained
    assert {n: t.shape for n, t in one.items()} != {n: t.shape for n, t in two.items()} or any(
        not torch.equal(one[name], two[name]) for name in one
    )
