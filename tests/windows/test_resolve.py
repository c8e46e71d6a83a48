import pytest

from faconv_cli.config import RunConfig
from faconv_cli.errors import UsageError
from faconv_cli.windows.resolve import (
    EMBEDDING_BYTES,
    TRAINING_BYTES,
    affordable_batch,
    embedding_batch,
    padded,
    plan_summary,
    resolve,
    tiles_of,
    window_bytes,
)


def _resolve(shape, channels=1, *, periodic=False, **options):
    return resolve(RunConfig.build(None, options), channels, shape, periodic=periodic)


def test_what_is_given_is_kept_and_defaults_follow_the_grid():
    small, large = _resolve((17, 33)), _resolve((181, 360), 4, periodic=True)
    assert (small.encoder.patch, small.encoder.attention_pool, small.tiling.stride) == (1, 1, 16)
    assert (large.encoder.patch, large.encoder.attention_pool) == (2, 3)
    given = _resolve((181, 360), patch=4, attention_pool=2, stride=8, batch=3)
    assert (given.encoder.patch, given.encoder.attention_pool) == (4, 2)
    assert (given.tiling.stride, given.fit.batch) == (8, 3)
    with pytest.raises(UsageError, match="--patch 4 does not divide 6"):
        _resolve((4, 6), periodic=True, patch=4)


def test_large_grids_are_worked_on_fewer_windows_at_a_time():
    assert _resolve((17, 33)).fit.batch == 8
    large = _resolve((721, 1440), 4, periodic=True)
    size = window_bytes(large, 4, tiles_of(large, (721, 1440), periodic=True))
    assert large.fit.batch * size <= TRAINING_BYTES < (large.fit.batch + 1) * size
    batch = embedding_batch(large, 4, (721, 1440), periodic=True)
    assert batch == max(1, EMBEDDING_BYTES // size)
    assert affordable_batch(10, 5) == 1


def test_a_grid_is_rounded_up_to_whole_patches():
    assert padded((181, 360), 4) == (184, 360)


def test_the_plan_names_windows_tiles_patch_memory_and_bytes(make_cube):
    told = plan_summary(make_cube(80), RunConfig.build(None, {"tile": 5, "halo": 1, "batch": 3}))
    assert told["windows"] == "5 of 24 steps every 16, burn-in 8"
    assert told["tiles"] == "4 of 5 x 5 points"
    assert "3 windows" in told["memory per batch"]
    assert told["bytes to read"] == "0.0 MiB a pass (the record has 0.0 MiB as float32)"
