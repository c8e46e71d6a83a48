"""Small records: what `inspect` shows is what `train` does, whatever the steps, segments and grid."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from faconv_cli.commands.inspect import REFUSED, _plan
from faconv_cli.config import RunConfig
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import FaconvError, InputError
from faconv_cli.fit.loop import Training
from faconv_cli.fit.prepare import plan_training, prepare
from faconv_cli.windows.resolve import plan_summary


def _write(path, runs, shape, *, land=0, seed=0):
    """Write daily data in ``runs`` of steps that start each 100 days; the first points are ``land``."""
    days = np.concatenate([np.arange(n) + 100 * i for i, n in enumerate(runs)])
    values = np.random.default_rng(seed).normal(280, 5, (len(days), *shape)).astype("f4")
    values.reshape(len(days), -1)[:, :land] = np.nan
    lat, lon = (np.arange(n) * 2.0 for n in shape)
    xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": ("time", days, {"units": "days since 2001-01-01"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    ).to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def new_path(tmp_path_factory):
    folder, numbers = tmp_path_factory.mktemp("small"), itertools.count()
    return lambda: folder / f"{next(numbers)}.nc"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 3, 5, 10, 20, 24, 31, 60, 90]), min_size=1, max_size=4),
    st.sampled_from([(2, 2), (2, 3), (5, 7)]),
    st.integers(0, 4),
    st.sampled_from(["embed", "forecast"]),
    st.sampled_from(["faconvlstm", "convlstm", "eof"]),
)
@pytest.mark.slow
def test_a_default_plan_can_be_trained_or_is_refused(new_path, runs, shape, land, task, encoder):
    assume(sum(runs) > 1)  # one step is no record
    cube = open_record([str(_write(new_path(), runs, shape, land=land))], RunConfig().data)
    config = RunConfig.build(None, {"task": task, "encoder": encoder})
    shown = _plan(cube, config)
    least = 3 if task == "forecast" else 1
    if land == np.prod(shape) or sum(runs) < 3 or max(runs) < least:
        with pytest.raises(FaconvError) as refusal:
            prepare(cube, config)
        assert shown == {REFUSED: str(refusal.value)}
        return
    prepared = prepare(cube, config)
    assert shown.pop("notes") == list(prepared.cube.notes[len(cube.notes) :])
    assert shown == plan_summary(prepared.cube, prepared.config)
    assert prepared.training_windows(np.random.default_rng(0), 1)
    tiling = prepared.config.tiling
    assert 0 <= tiling.burn_in < tiling.window
    assert tiling.stride % prepared.config.encoder.attention_every == 0


@pytest.mark.parametrize("runs", [(3,), (5,), (24,), (1, 1, 1, 1), (20, 20)])
@pytest.mark.parametrize("shape", [(2, 2), (5, 7)])
def test_what_is_planned_for_a_small_record_is_trained(tmp_path, runs, shape):
    cube = open_record([str(_write(tmp_path / "r.nc", runs, shape))], RunConfig().data)
    config = RunConfig.build(None, {"updates": 2, "hidden": 4, "bottleneck": 4})
    training = Training(prepare(cube, config), tmp_path / "m.pt", torch.device("cpu"))
    assert [*training.run()][-1].update == training.planned_updates


def test_a_note_says_which_defaults_gave_way_and_what_is_left_out(tmp_path):
    cube = open_record([str(_write(tmp_path / "r.nc", (20, 20, 4), (5, 7)))], RunConfig().data)
    plan = plan_training(cube, RunConfig())
    assert "--window 20, --burn-in 6" in " ".join(plan.notes)
    assert plan.config.tiling.window == 20
    plan = plan_training(cube, RunConfig.build(None, {"window": 16, "validation": "0"}))
    assert "4 of 44 training steps lie in runs shorter than a window of 16 steps" in plan.notes[0]
    with pytest.raises(InputError, match="A window has 24 steps"):
        plan_training(cube, RunConfig.build(None, {"window": 24}))


def test_a_record_too_short_to_be_split_is_trained_on_whole(tmp_path):
    cube = open_record([str(_write(tmp_path / "r.nc", (3,), (5, 7)))], RunConfig().data)
    plan = plan_training(cube, RunConfig())
    assert plan.split.validation_count == 0
    assert "3 steps are too few" in plan.notes[0]
    with pytest.raises(InputError, match="leaves 2 steps to train on"):
        plan_training(cube, RunConfig.build(None, {"validation": "0.2"}))
    longer = open_record([str(_write(tmp_path / "s.nc", (20,), (5, 7)))], RunConfig().data)
    assert plan_training(longer, RunConfig()).split.validation_count == 4
    assert plan_training(longer, RunConfig.build(None, {"task": "forecast"})).split.validation_count == 0


def test_an_embedding_counts_the_points_that_hold_values(tmp_path):
    cube = open_record([str(_write(tmp_path / "r.nc", (60,), (2, 3), land=2))], RunConfig().data)
    assert plan_training(cube, RunConfig()).config.encoder.embedding == 6
    assert prepare(cube, RunConfig()).config.encoder.embedding == 4


def test_a_batch_has_no_more_windows_than_cover_the_training_period(tmp_path):
    cube = open_record([str(_write(tmp_path / "r.nc", (60,), (5, 7)))], RunConfig().data)
    assert plan_training(cube, RunConfig()).config.fit.batch == 3  # 48 steps, 16 of them new in each
    assert plan_training(cube, RunConfig.build(None, {"batch": 6})).config.fit.batch == 6


def test_what_memory_does_to_a_batch_is_told(make_cube):
    cube = make_cube(420, 1, (20, 30))
    many = replace(
        cube,
        fields=xr.DataArray(np.zeros((420, 250, 20, 30), "f4"), dims=cube.fields.dims),
        channels=cube.channels * 250,
    )
    long = {"window": 400, "validation": "0", "lead": (1, 2), "anomaly": "none", "hidden": 128, "batch": 4}
    plan = plan_training(many, RunConfig.build(None, long))
    assert plan.config.fit.batch == 4
    assert "A batch of 4 windows needs about" in plan.notes[-1]
    assert not plan_training(cube, RunConfig()).notes
