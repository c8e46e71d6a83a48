from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli.embed.run import Embedder
from faconv_cli.errors import CheckpointError, InputError
from faconv_cli.forecast.run import ForecastRun

CPU = torch.device("cpu")


def _run(checkpoint, cube, steps=4, **options):
    return ForecastRun(checkpoint, cube, steps, CPU, **options)


def _all(run, starts):
    parts = list(run.run(starts))
    return np.concatenate([part.anomalies for part in parts])


def test_a_forecast_depends_on_nothing_after_its_start(checkpoint, cube):
    later = cube.fields.copy(data=cube.fields.values.copy())
    later[51:] += 5
    changed = replace(cube, fields=later)
    before, after = (_all(_run(checkpoint, one, truth=True), [50]) for one in (cube, changed))
    np.testing.assert_array_equal(before, after)


def test_a_forecast_depends_on_the_warm_up_and_nothing_before(checkpoint, cube):
    corrected = {
        name: torch.ones_like(checkpoint.encoder[name]) for name in ("correction.weight", "confidence")
    }
    checkpoint = replace(checkpoint, encoder={**checkpoint.encoder, **corrected})
    run = _run(checkpoint, cube)
    for step, changes in ((50 - run.warm_up, False), (50 - run.warm_up + 1, True)):
        fields = cube.fields.copy(data=cube.fields.values.copy())
        fields[step] += 5
        changed = _all(_run(checkpoint, replace(cube, fields=fields)), [50])
        assert np.array_equal(changed, _all(run, [50]), equal_nan=True) is not changes


def test_forecasts_are_the_same_in_batches_of_any_size(checkpoint, cube):
    starts = np.arange(40, 53)
    one, five = (_all(_run(checkpoint, cube, batch=batch), starts) for batch in (1, 5))
    np.testing.assert_allclose(one, five, rtol=1e-5, atol=1e-6)


def test_more_steps_go_on_from_fewer(checkpoint, cube):
    few, many = (_all(_run(checkpoint, cube, steps), [30]) for steps in (2, 6))
    np.testing.assert_allclose(many[:, :2], few, rtol=1e-5, atol=1e-6)


def test_starts_without_a_warm_up_are_left_out(checkpoint, cube):
    run = _run(checkpoint, cube)
    assert run.starts(0, 210).tolist() == [*range(run.warm_up - 1, 200), *range(200 + run.warm_up - 1, 210)]
    assert run.starts(10, 40, 10).tolist() == [10, 20, 30]
    with pytest.raises(InputError, match="5 steps before it without a gap"):
        run.starts(200, 204)


def test_what_came_true_ends_with_the_segment(checkpoint, cube):
    (part,) = _run(checkpoint, cube, truth=True, batch=8).run([100, 197])
    assert np.isfinite(part.truth[0]).any((1, 2, 3)).all()
    assert np.isfinite(part.truth[1]).any((1, 2, 3)).tolist() == [True, True, False, False]
    scaled = checkpoint.normalizer.apply(
        checkpoint.climatology.subtract(cube.read(101, 102), cube.time.slice(101, 102))
    )
    np.testing.assert_allclose(part.truth[0, 0], scaled[0], rtol=1e-5, atol=1e-6)


def test_a_start_with_too_little_input_is_not_forecast_from(checkpoint, cube):
    fields = cube.fields.copy(data=cube.fields.values.copy())
    fields[50, 0] = np.nan
    forecasts = _all(_run(checkpoint, replace(cube, fields=fields)), [49, 50, 51])
    assert np.isfinite(forecasts).any((1, 2, 3, 4)).tolist() == [True, False, True]


def test_a_forecast_that_is_not_finite_is_refused_with_its_start_and_lead(checkpoint, cube):
    wild = {**checkpoint.encoder, "propagators": checkpoint.encoder["propagators"] * 1e39}
    with pytest.raises(InputError, match=r"the forecast from \S+ is not finite from lead \d"):
        _all(_run(replace(checkpoint, encoder=wild), cube), [100])


def test_points_never_valid_in_training_are_missing(checkpoint, cube):
    forecasts = _all(_run(checkpoint, cube), [50])
    land = np.isnan(cube.fields.values).all((0, 1))
    assert land.any()
    np.testing.assert_array_equal(np.isnan(forecasts[0, 0, 0]), land)


def test_fields_come_back_in_physical_units_with_the_climatology_of_their_time(checkpoint, cube):
    run = _run(checkpoint, cube)
    zero = np.zeros((4, *cube.shape[1:]), np.float32)
    fields = run.physical(199, zero)  # the last step of a segment: times go on by the step
    times = cube.time.after(199, 4)
    assert times.labels == ["2001-07-20", "2001-07-21", "2001-07-22", "2001-07-23"]
    expected = checkpoint.climatology.expected(times) + checkpoint.normalizer.mean[:, None, None]
    np.testing.assert_allclose(fields, expected, rtol=1e-5)


def test_a_checkpoint_of_another_task_is_refused(checkpoint, cube, trained):
    with pytest.raises(CheckpointError, match="trained to forecast"):
        Embedder(checkpoint, cube, CPU, batch=1, attention=False)
    other = trained(cube, task="embed", teacher_forced=None, bottleneck=4, embedding=4, updates=0)
    with pytest.raises(CheckpointError, match="trained to embed"):
        _run(other, cube)
