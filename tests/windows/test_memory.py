"""The memory plan against what torch allocates, and the limits it keeps."""

import numpy as np
import pytest
from torch.profiler import ProfilerActivity, profile

from faconv_cli.config import RunConfig
from faconv_cli.fit.loop import make_task
from faconv_cli.fit.prepare import prepare
from faconv_cli.network import build_domain
from faconv_cli.windows import memory
from faconv_cli.windows.dataset import WindowReader
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.memory import (
    EMBEDDING_BYTES,
    TRAINING_BYTES,
    embedding_batch,
    embedding_bytes,
    starting_bytes,
    training_bytes,
)
from faconv_cli.windows.resolve import plan_summary, resolve


def _resolve(shape, channels=1, *, periodic=False, **options):
    config = resolve(RunConfig.build(None, options), channels, shape, periodic=periodic)
    return config, tiles_of(config, shape, periodic=periodic)


def _allocated(step):
    """Give the most bytes that torch held at once during ``step``."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    held = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention_every": 1},
        {"without": ["axial"]},
        {"encoder": "convlstm"},
        {"encoder": "minfaconvlstm"},
        {"encoder": "minconvgru", "hidden": 64},
        {"layers": 2},
        {"lead": (1, 2, 3)},
        {"task": "forecast"},
        {"task": "forecast", "encoder": "convgru"},
        {"task": "forecast", "closed_loop": True},
        {"task": "forecast", "closed_loop": True, "encoder": "convgru"},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 12])
def test_a_step_of_training_takes_what_was_planned(make_cube, options, channels, monkeypatch):
    config = RunConfig.build(None, {"batch": 2, "validation": "0", **options})
    prepared = prepare(make_cube(60, channels, (24, 32)), config)
    config, cube = prepared.config, prepared.cube
    tiles = tiles_of(config, cube.grid.shape, periodic=False)
    domain = build_domain(config, cube.grid, prepared.normalizer.valid)
    reader = WindowReader(cube, prepared.climatology, prepared.normalizer, tiles.shape, config.steps_read, 2)
    task = make_task(prepared, reader, domain)
    batch = reader.read(prepared.training_windows(np.random.default_rng(0), 2)[:2])

    def step():
        task.losses(task.model, batch, domain).sum().backward()

    step()  # gradients are there from the first step on
    for name in ("_PROGRAM_BYTES", "_UNUSED_BYTES", "_BATCHES"):
        monkeypatch.setattr(memory, name, 0)
    monkeypatch.setattr(memory, "_COPIES", 2)
    monkeypatch.setattr(memory, "MOST_EOFS", 16)  # of 60 steps there are no more
    # kernels that go block by block have some MiB of their own, which count for much on a grid as small
    assert training_bytes(config, channels, tiles) == pytest.approx(_allocated(step), rel=0.35, abs=8 * 2**20)


def test_a_batch_keeps_to_the_limit_by_fewer_windows():
    assert _resolve((17, 33))[0].fit.batch == 8
    fewer, tiles = _resolve((721, 1440), periodic=True)
    assert 1 <= fewer.fit.batch < 8
    assert training_bytes(fewer, 1, tiles) <= TRAINING_BYTES
    more = fewer.model_copy(update={"fit": fewer.fit.model_copy(update={"batch": fewer.fit.batch + 1})})
    assert training_bytes(more, 1, tiles) > TRAINING_BYTES


def test_a_batch_that_was_asked_for_is_kept_and_told(make_cube):
    told = plan_summary(make_cube(30), _resolve((6, 8), 2, batch=3, window=20_000, hidden=512)[0])["memory"]
    assert "(3 windows a batch; more than 4.00 GiB)" in told


def test_embedding_keeps_to_its_limit():
    config, tiles = _resolve((721, 1440), 4, periodic=True)
    batch = embedding_batch(config, 4, tiles, 24)
    assert embedding_bytes(config, 4, tiles, batch + 1, 24) > EMBEDDING_BYTES
    small, tiles = _resolve((17, 33))
    assert embedding_batch(small, 1, tiles, 24) == 8
    assert embedding_bytes(small, 1, tiles, 8, 24, maps=40) > embedding_bytes(small, 1, tiles, 8, 24)


def test_what_comes_before_the_first_step_is_told_where_it_is_more(make_cube):
    small = make_cube(400, 2, (12, 16))
    config, tiles = _resolve((12, 16), 2, hidden=1, bottleneck=2, window=4, burn_in=0, batch=1)
    assert starting_bytes(config, small) > training_bytes(config, 2, tiles)
    told = plan_summary(small, config)["memory"]
    assert told.startswith(f"about {starting_bytes(config, small) / 2**20:.1f} MiB")
    long = make_cube(800, 2, (12, 16))
    assert starting_bytes(config, long) > starting_bytes(config, small)
    ahead, _ = _resolve((12, 16), 2, task="forecast", encoder="convlstm")
    assert starting_bytes(ahead, small) < starting_bytes(
        _resolve((12, 16), 2, encoder="eof", window=4)[0], small
    )
