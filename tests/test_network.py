import pytest
import torch

from faconv_cli.config import RunConfig
from faconv_cli.errors import UsageError
from faconv_cli.network import build_encoder, build_forecaster, changes_seen
from faconv_cli.windows.resolve import resolve

SHAPE = (8, 12)


def _resolved(**options):
    options = {"encoder": "minconvgru", "hidden": 4, "burn_in": 4, "window": 8} | options
    return resolve(RunConfig.build(None, options), 1, SHAPE, periodic=True)


def test_training_reads_the_targets_beyond_a_window():
    assert _resolved(lead=(1, 5)).steps_read == 13
    assert _resolved(objective="reconstruct").steps_read == 8
    assert _resolved(task="forecast").steps_read == 8


@pytest.mark.parametrize(
    ("padding", "wraps"), [(None, (False, True)), ("zeros", (False, False)), ("circular", (True, True))]
)
def test_kernels_wrap_around_the_edges_that_padding_names(padding, wraps):
    torch.manual_seed(0)
    options = {"task": "forecast", "closed_loop": True, "padding": padding}
    layer = build_forecaster(_resolved(**options), 1, SHAPE, periodic=True).encoder.layers[0]
    spike = torch.zeros(1, 1, 4, *SHAPE)
    spike[0, 0, 0, 0, 0] = 1
    seen, nothing = (layer.run(x, None, torch.ones(SHAPE)).y for x in (spike, 0 * spike))
    reached = (seen - nothing).abs().sum((0, 1, 2)) > 1e-6
    assert (bool(reached[-1, 0]), bool(reached[0, -1])) == wraps


def test_padding_that_wraps_is_refused_with_tiles():
    with pytest.raises(UsageError, match="--padding circular cannot be used with 2 tiles"):
        _resolved(padding="circular", tile=8, halo=2)


@pytest.mark.parametrize("task", ["embed", "forecast", "closed loop"])
def test_layers_stack_in_every_task(task):
    build = build_forecaster if task == "closed loop" else build_encoder
    more = {} if task == "closed loop" else {"sub_daily": False, "eofs": 4}
    options = {"task": "forecast", "closed_loop": True} if task == "closed loop" else {"task": task}
    one, three = (
        sum(
            p.numel()
            for p in build(_resolved(**options, layers=n), 1, SHAPE, periodic=True, **more).parameters()
        )
        for n in (1, 3)
    )
    per_layer = 9 * 4 * 8 + 8 + 2 * 4  # convolution, its bias, norm
    assert three - one == 2 * per_layer


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, 2),
        ({"burn_in": 1}, 1),
        ({"burn_in": 0}, 0),
        ({"without": ("changes",)}, 0),
        ({"objective": "reconstruct"}, 0),
        ({"task": "forecast"}, 2),
        ({"task": "forecast", "closed_loop": True}, 0),
    ],
    ids=str,
)
def test_forecasts_see_the_changes_within_the_burn_in(options, changes):
    assert changes_seen(_resolved(**options)) == changes


@pytest.mark.parametrize(("lead", "changes"), [({}, 0), ({"task": "forecast"}, 2)], ids=str)
def test_eofs_embed_linearly_and_forecast_by_changes(lead, changes):
    config = resolve(RunConfig.build(None, {"encoder": "eof", **lead}), 1, SHAPE, periodic=True)
    assert changes_seen(config) == changes
