"""MinFAConvLSTM against plain NumPy, against its steps, and what its attention does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.cells.minfaconvlstm import MinFAConvLSTM2d, MinFAConvLSTMState
from tests.reference import minfaconvlstm as plain
from tests.reference.axial import densities

OPTIONS = [
    {},
    {"squeeze_excitation": False},
    {"axial": False},
    {"padding": "circular", "kernel_size": 5},
    {"padding": "longitude", "dilations": (1, 3), "bottleneck": 6, "attention_heads": 3},
    {"attention_every": 1, "attention_heads": 1, "attention_pool": 3},
]


def trained(in_channels=3, hidden_channels=5, *, dtype=torch.float64, noise=0.5, **options):
    """A layer all of whose parameters have left their start."""
    torch.manual_seed(0)
    small = {"bottleneck": 4, "attention_every": 3}
    layer = MinFAConvLSTM2d(in_channels, hidden_channels, **(small | options)).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer


def sequence(b=2, t=7, c=3, h=6, w=8, *, seed=1, dtype=torch.float64):
    return torch.randn(b, t, c, h, w, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def holed_weights(*batch, seed=2):
    weights = torch.rand(*batch, 6, 8, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    weights[..., 0, :3] = 0
    weights[..., 2, 5] = 0
    return weights


def steps(layer, x, state, weights=None):
    """The plain loop."""
    hs = []
    for x_t in x.unbind(1):
        h, state = layer.step(x_t, state, weights)
        hs.append(h)
    return torch.stack(hs, 1), state


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_layer_is_the_plain_one(options):
    layer, x, weights = trained(**options), sequence(), holed_weights(2)
    h, queries = torch.randn(2, 5, 6, 8).double(), torch.tensor([[1, 2], [5, 7]])
    with torch.no_grad():
        y, (state,), maps = layer.run(
            x, (MinFAConvLSTMState(h, 5),), weights, attention=True, queries=queries
        )
    p = {name: value.numpy() for name, value in layer.layers[0].state_dict().items()}
    settings = {
        "dilations": options.get("dilations", (1, 2, 4)),
        "padding": options.get("padding", "zeros"),
        "attention_every": options.get("attention_every", 3),
        "heads": options.get("attention_heads", 2),
        "pool": options.get("attention_pool", 1),
    }
    assert state.steps == 12
    for n in range(2):
        hs, attended = plain.run(x[n].numpy(), h[n].numpy(), 5, weights[n].numpy(), p, **settings)
        np.testing.assert_allclose(y[n].numpy(), hs, rtol=1e-10, atol=1e-12)
        assert (0 if maps is None else maps.received.shape[1]) == len(attended)
        for k, composed in enumerate(attended):
            received, teleconnection = densities(
                composed, weights[n].numpy(), queries.tolist(), settings["pool"]
            )
            np.testing.assert_allclose(maps.received[n, k], received, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(maps.teleconnection[n, k], teleconnection, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@given(
    t=st.integers(1, 9),
    cut=st.integers(1, 8),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    options=st.sampled_from(OPTIONS),
    num_layers=st.integers(1, 2),
    weighted=st.sampled_from([(), (2,), None]),
)
def test_parallel_is_the_step_loop_for_any_split(
    dtype, tolerance, t, cut, size, options, num_layers, weighted
):
    layer = trained(dtype=dtype, noise=0.1, num_layers=num_layers, **options)
    x = sequence(t=t, h=size[0], w=size[1], dtype=dtype)
    weights = None if weighted is None else torch.rand(*weighted, *size, dtype=dtype)
    with torch.no_grad():
        expected, _ = steps(layer, x, layer.init_state(x), weights)
        state, ys = None, []
        for part in x.split(cut, 1):
            y, state = layer(part, state, weights)
            ys.append(y)
    torch.testing.assert_close(torch.cat(ys, 1), expected, rtol=tolerance, atol=tolerance)
    assert [one.steps for one in state] == [t] * num_layers


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_are_those_of_the_step_loop(options):
    layer, x, weights = trained(num_layers=2, **options), sequence().requires_grad_(), holed_weights()
    probe = torch.randn(2, 7, 5, 6, 8, dtype=torch.float64)

    def gradients(run):
        y, _ = run(x, layer.init_state(x), weights)
        return torch.autograd.grad((y * probe).sum(), [x, *layer.parameters()])

    for found, expected in zip(gradients(layer), gradients(lambda *args: steps(layer, *args)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_attention_starts_at_nothing():
    torch.manual_seed(0)
    layer, x = MinFAConvLSTM2d(3, 5), sequence(dtype=torch.float32)
    y, _ = layer(x)
    torch.nn.init.normal_(layer.layers[0].axial.up.weight, std=10.0)
    torch.testing.assert_close(layer(x)[0], y)


def test_what_attention_gathers_stays_in_memory_between_attended_steps():
    layer, x = trained(kernel_size=1, squeeze_excitation=False, attention_every=4), sequence(t=3)
    changed = x.clone()
    changed[:, 0, :, 0, 0] += 1.0
    with torch.no_grad():
        difference = (layer(changed)[0] - layer(x)[0]).abs()
    assert (difference[:, :, :, 5, 7] > 0).all()  # far away, at the attended step and after it


@pytest.mark.parametrize("axial", [True, False])
def test_without_attention_a_point_knows_only_its_neighbourhood(axial):
    layer = trained(kernel_size=1, squeeze_excitation=False, axial=axial)
    x = sequence(t=3)
    changed = x.clone()
    changed[..., 0, 0] += 1.0
    with torch.no_grad():
        reached = (layer(changed)[0] != layer(x)[0]).any(0).any(0).any(0)
    assert bool(reached[5, 7]) == axial


def test_masked_points_have_no_say_elsewhere():
    layer, x, weights = trained(kernel_size=1), sequence(), holed_weights()
    changed = x.clone()
    changed[..., weights == 0] += 5.0
    with torch.no_grad():
        y, other = layer(x, None, weights)[0], layer(changed, None, weights)[0]
    torch.testing.assert_close(other[..., weights > 0], y[..., weights > 0])


def test_batch_elements_do_not_touch():
    layer, x, weights = trained(), sequence(3), holed_weights(3)
    y, _ = layer(x, None, weights)
    for n in range(3):
        alone, _ = layer(x[n : n + 1], None, weights[n : n + 1])
        torch.testing.assert_close(alone[0], y[n])


@pytest.mark.parametrize(("padding", "axis"), [("longitude", -1), ("circular", -1), ("circular", -2)])
def test_a_rolled_globe_gives_a_rolled_answer(padding, axis):
    layer, x, weights = trained(padding=padding), sequence(), holed_weights()
    y, _ = layer(x, None, weights)
    rolled, _ = layer(x.roll(2, axis), None, weights.roll(2, axis))
    torch.testing.assert_close(rolled, y.roll(2, axis))


@pytest.mark.parametrize("options", [{"attention_every": 0}, {"kernel_size": 2}, {"attention_heads": 3}])
def test_arguments_without_meaning_are_refused(options):
    with pytest.raises(UsageError):
        MinFAConvLSTM2d(3, 5, **options)
