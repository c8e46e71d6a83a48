import pytest

from faconv_cli.config import RunConfig
from faconv_cli.errors import UsageError
from faconv_cli.windows.layout import padded
from faconv_cli.windows.resolve import plan_summary, resolve


def _resolve(shape, channels=1, *, periodic=False, **options):
    return resolve(RunConfig.build(None, options), channels, shape, periodic=periodic)


def test_what_is_given_is_kept_and_defaults_follow_the_grid():
    small, large = _resolve((17, 33)), _resolve((181, 360), 4, periodic=True)
    assert (small.encoder.patch, small.encoder.attention_pool, small.tiling.stride) == (1, 1, 16)
    assert (large.encoder.patch, large.encoder.attention_pool) == (2, 3)
    given = _resolve((181, 360), patch=4, attention_pool=2, stride=8, batch=3)
    assert (given.encoder.patch, given.encoder.attention_pool) == (4, 2)
    assert (given.tiling.stride, given.fit.batch) == (8, 3)
    with pytest.raises(UsageError, match="--patch 4 does not divide the 6"):
        _resolve((4, 6), periodic=True, patch=4)


def test_a_grid_is_rounded_up_to_whole_patches():
    assert padded((181, 360), 4) == (184, 360)


def test_the_plan_names_windows_tiles_patch_memory_and_bytes(make_cube):
    config = _resolve((6, 8), 2, tile=5, halo=1, batch=3, updates=600)
    told = plan_summary(make_cube(80), config)
    assert told["windows"] == "5 of 24 steps every 16, burn-in 8"
    assert told["tiles"] == "4 of 5 x 5 points"
    leads = "leads of 1, 2, 3, 5 time steps"
    assert told["embedding"] == f"16 numbers per time step, of the field now and {leads}"
    assert told["training"] == "600 updates by 3 windows"
    assert "3 windows a batch" in told["memory"]
    assert "for the record" in told["memory"]
    assert told["bytes to read"] == "0.0 MiB a pass (the record has 0.0 MiB as float32)"
    now = plan_summary(make_cube(80), _resolve((6, 8), 2, objective="reconstruct"))
    assert now["embedding"] == "16 numbers per time step, of the field now"
    ahead = plan_summary(make_cube(80), _resolve((6, 8), 2, objective="forecast", lead=(2,)))
    assert ahead["embedding"] == "16 numbers per time step, of leads of 2 time steps"
    assert "embedding" not in plan_summary(make_cube(80), _resolve((6, 8), 2, task="forecast"))
