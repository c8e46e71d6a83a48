from dataclasses import replace

import numpy as np
import pytest

from faconv_cli.config import DataConfig, FitConfig, RunConfig, TilingConfig
from faconv_cli.errors import InputError, UsageError
from faconv_cli.fit.prepare import prepare, split_time


def _config(validation="0.25", **tiling):
    sizes = {"window": 12, "burn_in": 4, **tiling}
    return RunConfig(
        data=DataConfig(validation=validation), tiling=TilingConfig(**sizes), fit=FitConfig(batch=2)
    )


def test_a_share_is_held_out_at_the_end(make_cube):
    split = split_time(make_cube(80).time, "0.25")
    assert split.training == ((0, 60),)
    assert split.validation == ((60, 80),)


def test_a_range_is_held_out_wherever_it_lies(make_cube):
    split = split_time(make_cube(80).time, "2001-02:2001-02")
    assert split.training == ((0, 31), (59, 80))
    assert split.validation == ((31, 59),)
    np.testing.assert_array_equal(split.training_steps, [*range(31), *range(59, 80)])


def test_nothing_is_held_out_when_asked(make_cube):
    split = split_time(make_cube(80).time, "0")
    assert split.training == ((0, 80),)
    assert split.validation == ((80, 80),)


@pytest.mark.parametrize("text", ["1", "-0.1", "half", "nan"])
def test_other_shares_are_refused(make_cube, text):
    with pytest.raises(UsageError, match=f"--validation {text}"):
        split_time(make_cube(80).time, text)


def test_holding_out_everything_is_refused(make_cube):
    with pytest.raises(UsageError, match="holds out the whole record"):
        split_time(make_cube(80).time, "2001:2001")


def test_members_hold_out_the_same_period(make_cube):
    time = make_cube(40).time.repeated(3)
    split = split_time(time, "0.25")
    assert split.validation == ((30, 40), (70, 80), (110, 120))
    assert split.training == ((0, 30), (40, 70), (80, 110))
    assert split.validation_count == 30
    middle = split_time(time, f"{time.labels[10]}:{time.labels[19]}")
    assert middle.validation == ((10, 20), (50, 60), (90, 100))
    assert middle.training == ((0, 10), (20, 40), (40, 50), (60, 80), (80, 90), (100, 120))


def test_statistics_do_not_see_the_validation_period(make_cube):
    cube = make_cube(80)
    spoilt = cube.fields.values.copy()
    spoilt[60:] += 1000
    changed = make_cube(80)
    object.__setattr__(changed, "fields", cube.fields.copy(data=spoilt))
    one, two = prepare(cube, _config()), prepare(changed, _config())
    np.testing.assert_array_equal(one.normalizer.mean, two.normalizer.mean)
    np.testing.assert_array_equal(one.climatology.coefficients, two.climatology.coefficients)


def test_training_windows_and_their_targets_stay_out_of_the_validation_period(make_cube):
    prepared = prepare(make_cube(80), _config("2001-02:2001-02"))
    for seed in range(5):
        for window in prepared.training_windows(np.random.default_rng(seed), 8):
            assert window.segment_stop <= 31 or window.start >= 59
            assert window.start % 4 == (59 % 4 if window.start >= 59 else 0)


def test_validation_rows_are_the_validation_steps_each_once(make_cube):
    prepared = prepare(make_cube(80), _config("2001-02:2001-02"))
    rows = [row for w in prepared.validation_windows() for row in range(w.first_row, w.stop)]
    assert rows == list(range(31, 59))


def test_a_short_record_is_passed_over_from_every_offset(make_cube):
    prepared = prepare(make_cube(80), _config(stride=8))
    few = prepared.training_windows(np.random.default_rng(0), 1)
    many = prepared.training_windows(np.random.default_rng(0), 1000)
    assert len(few) < len(many)
    assert {w.start % 8 for w in many} == {0, 4}


def test_a_record_shorter_than_a_window_is_refused_before_it_is_read(make_cube, monkeypatch):
    cube = make_cube(20)
    monkeypatch.setattr(type(cube), "read", lambda *_: pytest.fail("read"))
    with pytest.raises(InputError, match="A window has 24 steps"):
        prepare(cube, RunConfig(tiling=TilingConfig(window=24)))


def test_the_resolved_configuration_says_what_the_defaults_stood_for(make_cube):
    config = prepare(make_cube(80), _config()).config
    assert (config.tiling.stride, config.encoder.patch, config.encoder.attention_pool) == (8, 1, 1)
    assert config.data.anomaly == "none"
    assert prepare(make_cube(1000), _config()).config.data.anomaly == "daily"


def test_a_patch_that_does_not_divide_a_closed_circle_is_refused(make_cube):
    config = RunConfig.build(None, {"patch": 4})
    with pytest.raises(UsageError, match="--patch 4 does not divide the 6 longitudes"):
        prepare(make_cube(80, shape=(4, 6), periodic=True), config)


def test_a_lead_beyond_every_run_of_training_steps_is_refused(make_cube):
    cube = make_cube(80)
    for lead, objective, fits in ((55, "both", True), (56, "both", False), (56, "reconstruct", True)):
        config = _config().model_copy(update={"fit": FitConfig(batch=2, lead=(1, lead), objective=objective)})
        if fits:
            prepare(cube, config)
        else:
            with pytest.raises(InputError, match="--lead 56 after --burn-in 4 needs more"):
                prepare(cube, config)


def _with_channel(cube, number, values):
    fields = cube.fields.values.copy()
    fields[:, number] = values
    object.__setattr__(cube, "fields", cube.fields.copy(data=fields))
    return cube


@pytest.mark.parametrize(("values", "why"), [(0.0, "is constant"), (np.nan, "holds no valid value")])
@pytest.mark.parametrize("anomaly", ["none", "monthly"])
def test_a_channel_without_variation_is_left_out_and_told(make_cube, values, why, anomaly):
    cube = _with_channel(make_cube(800, channels=3), 1, values)
    config = RunConfig.build(None, {"window": 12, "burn_in": 4, "anomaly": anomaly})
    prepared = prepare(cube, config)
    assert [channel.name for channel in prepared.cube.channels] == ["v0", "v2"]
    assert why in prepared.cube.notes[-1]
    assert prepared.cube.notes[-1].endswith("it is left out.")
    other = prepare(cube.pick([0, 2]), config)
    np.testing.assert_allclose(prepared.normalizer.std, other.normalizer.std, rtol=1e-12)
    np.testing.assert_array_equal(prepared.normalizer.valid, other.normalizer.valid)
    np.testing.assert_allclose(prepared.climatology.coefficients, other.climatology.coefficients)


def test_a_channel_without_variation_that_was_asked_for_is_refused(make_cube):
    cube = _with_channel(make_cube(80), 1, 0.0)
    config = RunConfig.build(None, {"window": 12, "burn_in": 4, "variables": ("v0", "v1")})
    with pytest.raises(InputError, match="v1 is constant in the training period"):
        prepare(cube, config)
    nothing_left = _with_channel(cube, 0, 3.0)
    with pytest.raises(InputError, match="v0 is constant in the training period"):
        prepare(nothing_left, RunConfig.build(None, {"window": 12, "burn_in": 4}))


@pytest.mark.parametrize("validation", ["0", "0.25"])
def test_without_a_cycle_the_scale_is_of_what_varies(make_cube, validation):
    """Two channels alike but for the map of their time means count alike."""
    cube = make_cube(80, channels=2, noise=1.0)
    cube.fields.values[:, 1] = cube.fields.values[:, 0] + 100 * np.arange(48).reshape(6, 8)
    prepared = prepare(
        cube, RunConfig.build(None, {"anomaly": "none", "validation": validation, "window": 12})
    )
    assert prepared.climatology.kind == "mean"
    assert prepared.config.data.anomaly == "none"
    assert prepared.normalizer.std[1] == pytest.approx(prepared.normalizer.std[0], rel=1e-4)
    training = cube.take(prepared.split.training_steps)
    fields = training.read(0, len(training.time)).astype(float)
    departures = fields - fields.mean(axis=0)
    area = cube.grid.area
    expected = np.sqrt((area * (departures**2).mean(axis=0)).sum(axis=(1, 2)))
    np.testing.assert_allclose(prepared.normalizer.std, expected, rtol=1e-4)
    scaled = prepared.normalizer.apply(
        prepared.climatology.subtract(fields.astype(np.float32), training.time)
    )
    np.testing.assert_allclose((area * scaled**2).mean(axis=0).sum(axis=(1, 2)), 1, rtol=1e-4)  # climatology


def test_nothing_is_taken_off_what_is_anomalies_already(make_cube):
    cube = make_cube(80)
    cube = replace(cube, channels=tuple(replace(one, anomaly="daily cycle") for one in cube.channels))
    assert prepare(cube, _config()).climatology.kind == "none"


@pytest.mark.parametrize(
    ("anomaly", "left"), [("auto", False), ("diurnal", False), ("none", True), ("monthly", True)]
)
def test_a_diurnal_cycle_that_is_left_in_is_told(make_cube, anomaly, left):
    cube = make_cube(200, freq="6h")
    prepared = prepare(cube, RunConfig.build(None, {"anomaly": anomaly, "window": 12}))
    assert any("diurnal cycle is not removed" in note for note in prepared.cube.notes) == left
    assert prepared.climatology.kind == {"auto": "diurnal", "none": "mean"}.get(anomaly, anomaly)


@pytest.mark.parametrize(
    ("steps", "anomaly", "kind", "left"),
    [
        (1460, "auto", "seasonal-diurnal", False),
        (1460, "diurnal", "diurnal", True),
        (400, "auto", "diurnal", True),
        (200, "auto", "diurnal", False),
    ],
)
def test_a_seasonal_change_of_the_diurnal_cycle_that_is_left_in_is_told(
    make_cube, steps, anomaly, kind, left
):
    cube = make_cube(steps, channels=1, shape=(2, 3), freq="6h")
    prepared = prepare(cube, RunConfig.build(None, {"anomaly": anomaly, "window": 12}))
    assert prepared.climatology.kind == prepared.config.data.anomaly == kind
    assert (
        any("seasonal change of the diurnal cycle is not removed" in x for x in prepared.cube.notes) == left
    )


def test_days_are_not_told_of_a_diurnal_cycle(make_cube):
    prepared = prepare(make_cube(80), RunConfig.build(None, {"anomaly": "none", "window": 12}))
    assert not any("diurnal" in note for note in prepared.cube.notes)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "mean"),
        ({"task": "forecast"}, "mean"),
        ({"task": "forecast", "closed_loop": True}, "constant"),
    ],
)
def test_a_closed_loop_sees_the_field_about_the_mean_of_all_points(make_cube, options, kind):
    prepared = prepare(make_cube(80), RunConfig.build(None, {"anomaly": "none", **options}))
    assert prepared.climatology.kind == kind


def test_windows_of_frames_begin_at_all_offsets(make_cube):
    options = {"window": 12, "burn_in": 4, "batch": 2}
    found = {}
    for task in ("embed", "forecast"):
        prepared = prepare(make_cube(200), RunConfig.build(None, {"task": task, **options}))
        windows = prepared.training_windows(np.random.default_rng(0), 4)
        found[task] = {window.start % 8 for window in windows}
    assert (len(found["embed"]), found["forecast"]) == (1, {0, 4})
