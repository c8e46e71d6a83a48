import pytest

from faconv_cli.config import RunConfig
from faconv_cli.errors import InputError
from faconv_cli.windows.adapt import Sizes, adapt


def _adapt(training=(200,), held_out=(), values=10_000, **options):
    return adapt(RunConfig.build(None, options), Sizes(training, held_out, values))


def test_a_long_record_keeps_all_defaults_and_nothing_is_said():
    config, notes = _adapt()
    assert config == RunConfig()
    assert notes == []


@pytest.mark.parametrize(
    ("training", "window", "burn_in", "every", "embedding"),
    [
        ((24,), 24, 8, 4, 12),
        ((19,), 19, 6, 4, 9),
        ((10,), 10, 3, 4, 5),
        ((8,), 8, 2, 4, 4),
        ((4,), 4, 1, 3, 2),
        ((3,), 3, 1, 2, 1),
        ((20, 20, 20), 20, 6, 4, 16),
        ((90, 90, 3), 24, 8, 4, 16),
        ((30, 5, 5, 5, 5, 5, 5, 5), 5, 1, 4, 16),
        ((1, 1, 1, 1), 1, 0, 1, 2),
    ],
)
def test_windows_and_embedding_have_room_in_the_record(training, window, burn_in, every, embedding):
    config, notes = _adapt(training)
    assert (config.tiling.window, config.tiling.burn_in) == (window, burn_in)
    assert (config.encoder.attention_every, config.encoder.embedding) == (every, embedding)
    assert bool(notes) == (config != RunConfig())
    if window < 24:
        assert f"--window {window}" in notes[0]


def test_what_was_asked_for_is_kept():
    config, _ = _adapt((10,), window=24, burn_in=4)
    assert (config.tiling.window, config.tiling.burn_in) == (24, 4)
    config, _ = _adapt((10,), burn_in=6)
    assert (config.tiling.window, config.tiling.burn_in, config.encoder.attention_every) == (10, 6, 4)
    config, _ = _adapt((10,), attention_every=2, embedding=4)
    assert (config.encoder.attention_every, config.encoder.embedding) == (2, 4)
    config, _ = _adapt((12,), stride=4)
    assert config.tiling.window - config.tiling.burn_in >= 4
    with pytest.raises(InputError, match="An embedding of 16 numbers needs at least 16 of each"):
        _adapt((10,), embedding=16)


def test_a_window_that_is_asked_for_shortens_the_default_burn_in():
    config, _ = _adapt(window=6)
    assert (config.tiling.window, config.tiling.burn_in) == (6, 2)
    config, _ = _adapt(window=12)
    assert (config.tiling.window, config.tiling.burn_in) == (12, 8)


def test_an_embedding_has_no_more_numbers_than_a_field():
    config, notes = _adapt(values=6)
    assert config.encoder.embedding == 6
    assert "--embedding 6" in notes[0]
    config, _ = _adapt(values=1)
    assert config.encoder.embedding == 1


def test_leads_beyond_the_longest_run_are_left_out():
    config, notes = _adapt((12, 12, 12), burn_in=8)
    assert config.fit.lead == (1, 2, 3)
    assert "--lead 1,2,3" in notes[0]
    assert _adapt((12,), burn_in=8, lead=(1, 5))[0].fit.lead == (1, 5)
    assert _adapt((12,), burn_in=8, lead_weight=(1.0,) * 4)[0].fit.lead == (1, 2, 3, 5)


def test_where_no_step_has_a_next_one_the_field_now_is_asked_for():
    config, notes = _adapt((1,) * 9)
    assert config.fit.objective == "reconstruct"
    assert "--objective reconstruct" in notes[0]
    assert _adapt((1,) * 9, objective="both")[0].fit.objective == "both"


def test_a_forecast_has_room_in_the_validation_period_and_something_to_forecast():
    config, _ = _adapt((48,), (12,), task="forecast")
    assert config.tiling.window == 12
    assert _adapt((2, 2, 2), task="forecast")[0].tiling.window == 3
    assert _adapt((8,), task="forecast", teacher_forced=6)[0].tiling.window == 8
    assert _adapt((8,), (6,), task="forecast", teacher_forced=6)[0].tiling.window == 7
    assert _adapt((48,), (12,), task="forecast")[0].encoder.embedding == 16


def test_eofs_keep_their_window_and_count_the_rows_they_have():
    config, notes = _adapt((10, 10), encoder="eof", window=8)
    assert (config.tiling.window, config.tiling.burn_in, config.encoder.embedding) == (8, 7, 3)
    assert "--embedding 3" in notes[0]


def test_too_few_steps_to_learn_from_are_refused():
    with pytest.raises(InputError, match="leaves 2 steps to train on"):
        _adapt((2,))
