import pytest
import torch

from faconv_cli.compare.budget import count_parameters, spend_parameters, spend_time, with_hidden
from faconv_cli.config import RunConfig
from faconv_cli.fit.prepare import prepare
from faconv_cli.windows.resolve import resolve

ENCODERS = [
    "faconvlstm",
    "minfaconvlstm",
    "convlstm",
    "convgru",
    "minconvlstm",
    "minconvgru",
    "minconvexplstm",
]


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(20, channels=1, shape=(8, 12))


def _config(**options):
    options = {"layers": 4} | options
    return resolve(RunConfig.build(None, options), 1, (8, 12), periodic=False)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("options", [{"task": "forecast"}, {"task": "forecast", "closed_loop": True}])
def test_every_encoder_comes_within_a_few_percent_of_the_budget(encoder, options, cube):
    spent = spend_parameters(_config(encoder=encoder, **options), 175_000, cube)
    assert count_parameters(spent, cube) == pytest.approx(175_000, rel=0.04)


def test_the_networks_of_the_paper_have_the_parameters_it_says(cube):
    # Horuz et al. 2025: about 175 k with 49, 40, 40, 28 and 25 hidden channels in four layers
    for encoder, hidden in zip(
        ("minconvgru", "minconvlstm", "minconvexplstm", "convgru", "convlstm"),
        (49, 40, 40, 28, 25),
        strict=True,
    ):
        config = _config(encoder=encoder, hidden=hidden, task="forecast", closed_loop=True)
        assert count_parameters(config, cube) == pytest.approx(175_000, rel=0.04)


def test_the_bottleneck_grows_with_the_hidden_channels():
    changed = with_hidden(
        _config(encoder="faconvlstm", hidden=32, bottleneck=16, attention_heads=4), 70
    ).encoder
    assert (changed.hidden, changed.bottleneck) == (70, 36)


def test_an_embedding_spends_on_its_recurrent_layers_alone(cube):
    small, large = (count_parameters(_config(encoder="convgru", embedding=d), cube) for d in (4, 16))
    assert small == large > 0


def test_eofs_have_nothing_to_spend(cube):
    config = _config(encoder="eof")
    assert count_parameters(config, cube) == 0
    assert spend_parameters(config, 1000, cube) is config


def test_time_is_spent_on_epochs(make_cube):
    options = {
        "encoder": "minconvgru",
        "hidden": 4,
        "window": 12,
        "burn_in": 4,
        "embedding": 4,
        "anomaly": "none",
    }
    prepared = prepare(make_cube(60), RunConfig.build(None, options))
    little, much = (
        spend_time(prepared, seconds, torch.device("cpu")).config.fit.updates for seconds in (1e-6, 1e3)
    )
    assert little == 1
    assert much > 10
