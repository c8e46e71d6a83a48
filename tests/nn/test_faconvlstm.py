"""FAConvLSTM against plain NumPy, its fast path against its steps, and what it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.cells import faconvlstm_run
from faconv_cli.nn.cells.faconvlstm import FAConvLSTM2d, FAConvLSTMState
from tests.reference import faconvlstm as plain

SMALL = {"bottleneck": 4, "attention_every": 3}


def trained(in_channels=3, hidden_channels=5, *, seed=0, dtype=torch.float64, noise=0.5, **options):
    """A layer all of whose parameters have left their start."""
    torch.manual_seed(seed)
    layer = FAConvLSTM2d(in_channels, hidden_channels, **(SMALL | options)).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer


def sequence(b=2, t=7, c=3, h=6, w=8, *, seed=1, dtype=torch.float64):
    return torch.randn(b, t, c, h, w, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def holed_weights(h=6, w=8, seed=2, dtype=torch.float64):
    weights = torch.rand(h, w, dtype=dtype, generator=torch.Generator().manual_seed(seed)) + 0.1
    weights[0, :3] = 0
    weights[2, 5] = 0
    return weights


def steps(layer, x, state, weights=None):
    """The plain loop."""
    hs = []
    for x_t in x.unbind(1):
        h, state = layer.step(x_t, state, weights)
        hs.append(h)
    return torch.stack(hs, 1), state


OPTIONS = [
    {},
    {"squeeze_excitation": False},
    {"peephole": False},
    {"axial": False},
    {"squeeze_excitation": False, "peephole": False, "axial": False},
    {"padding": "circular", "kernel_size": 5},
    {"padding": "longitude", "dilations": (1, 3), "bottleneck": 6, "attention_heads": 3},
    {"attention_every": 1, "attention_heads": 1, "attention_pool": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_layer_is_the_plain_one(options):
    layer, x, weights = trained(**options), sequence(), holed_weights()
    start = layer.init_state(x)[0]
    h, c = (0.5 * torch.randn_like(start.h) for _ in range(2))
    with torch.no_grad():
        y, (state,), maps = layer.run(x, (FAConvLSTMState(h, c, 5),), weights, attention=True)
    p = {name: value.numpy() for name, value in layer.layers[0].state_dict().items()}
    settings = {
        "dilations": options.get("dilations", (1, 2, 4)),
        "padding": options.get("padding", "zeros"),
        "attention_every": options.get("attention_every", 3),
        "heads": options.get("attention_heads", 2),
        "pool": options.get("attention_pool", 1),
    }
    attended = 0
    for sample in range(2):
        args = (tensor[sample].numpy() for tensor in (x, h, c))
        hs, last_c, composed = plain.run(*args, 5, weights.numpy(), p, **settings)
        attended = len(composed)
        np.testing.assert_allclose(y[sample].numpy(), hs, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(state.h[sample].numpy(), hs[-1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(state.c[sample].numpy(), last_c, rtol=1e-10, atol=1e-12)
    assert state.steps == 12
    assert (maps.received.shape[1] if maps else 0) == attended


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("grad", [True, False])
@given(
    t=st.integers(1, 9),
    cut=st.integers(0, 9),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    options=st.sampled_from(OPTIONS),
    num_layers=st.integers(1, 2),
    weighted=st.booleans(),
)
def test_fast_path_is_the_step_loop_for_any_split(
    dtype, tolerance, grad, t, cut, size, options, num_layers, weighted
):
    layer = trained(num_layers=num_layers, dtype=dtype, noise=0.2, **options)
    x = sequence(t=t, h=size[0], w=size[1], dtype=dtype)
    weights = torch.rand(*size, dtype=dtype) if weighted else None
    with torch.set_grad_enabled(grad):
        expected, last = steps(layer, x, layer.init_state(x), weights)
        found, states, pieces = None, None, []
        for piece in (x[:, :cut], x[:, cut:]):
            if piece.shape[1]:
                found, states = layer(piece, states, weights)
                pieces.append(found)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, rtol=tolerance, atol=tolerance)
    for state, other in zip(states, last, strict=True):
        torch.testing.assert_close(state.h, other.h, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(state.c, other.c, rtol=tolerance, atol=tolerance)
        assert state.steps == other.steps == t


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_of_the_fast_path_are_those_of_the_step_loop(options):
    layer, x, weights = trained(**options), sequence(t=5).requires_grad_(), holed_weights()
    h, c = (0.5 * torch.randn(2, 5, 6, 8, dtype=torch.float64).requires_grad_() for _ in range(2))
    state = (FAConvLSTMState(h, c, 2),)
    probe = torch.randn(2, 5, 5, 6, 8, dtype=torch.float64)
    wanted = (x, h, c, *layer.parameters())

    def gradients(run):
        y, (last,) = run(x, state, weights)
        loss = (y * probe).sum() + (last.c * probe[:, 0]).sum() + (last.h * probe[:, 1]).sum()
        return torch.autograd.grad(loss, wanted)

    fast, slow = gradients(layer), gradients(lambda *args: steps(layer, *args))
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_frozen_parameters_get_no_gradient():
    layer, x = trained(), sequence()
    cell = layer.layers[0]
    for frozen in (cell.axial.gamma, cell.recalibrate.squeeze.weight, cell.Ph.weight):
        frozen.requires_grad_(False)
    layer(x)[0].sum().backward()
    for parameter in layer.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


def test_blocks_of_points_do_not_change_the_answer(monkeypatch):
    layer, x = trained(), sequence().requires_grad_()
    wanted = (x, *layer.parameters())
    whole = layer(x)[0]
    of_whole = torch.autograd.grad(whole.square().sum(), wanted)
    monkeypatch.setattr(faconvlstm_run, "CPU_BLOCK_NUMBERS", 7 * 5)
    cut = layer(x)[0]
    of_cut = torch.autograd.grad(cut.square().sum(), wanted)
    torch.testing.assert_close(cut, whole)
    torch.testing.assert_close(of_cut, of_whole)


@pytest.mark.parametrize("options", OPTIONS[:5], ids=str)
def test_gradients_are_right(options):
    layer = trained(1, 2, bottleneck=2, dilations=(1, 2), attention_every=2, **options)
    x = sequence(1, 3, 1, 2, 3).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def loss(x, *parameters):
        call = dict(zip(names, parameters, strict=True))
        y, (state,) = torch.func.functional_call(layer, call, (x,))
        return y, state.c

    assert torch.autograd.gradcheck(loss, (x, *(p for _, p in layer.named_parameters())))


@pytest.mark.parametrize("grad", [True, False])
def test_samples_of_a_batch_do_not_meet(grad):
    layer, x = trained(), sequence(b=3)
    weights = torch.stack([holed_weights(seed=seed) for seed in range(3)])
    with torch.set_grad_enabled(grad):
        together, _ = layer(x, None, weights)
        alone = [layer(x[n : n + 1], None, weights[n])[0] for n in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("grad", [True, False])
def test_hidden_state_does_not_see_the_future(grad):
    layer, x = trained(num_layers=2), sequence()
    with torch.set_grad_enabled(grad):
        before, _ = layer(x)
        x[:, 4:] = torch.nan
        after, _ = layer(x)
    assert torch.equal(after[:, :4], before[:, :4])


@pytest.mark.parametrize(("padding", "axes"), [("circular", (-2, -1)), ("longitude", (-1,))])
@pytest.mark.parametrize(("pool", "shift"), [(1, 3), (2, 4)])
def test_rolling_the_globe_rolls_the_answer(padding, axes, pool, shift):
    layer, x, weights = trained(padding=padding, attention_pool=pool), sequence(), holed_weights()
    for axis in axes:
        with torch.no_grad():
            y, _ = layer(x, None, weights)
            rolled, _ = layer(x.roll(shift, axis), None, weights.roll(shift, axis))
        torch.testing.assert_close(rolled, y.roll(shift, axis))


@pytest.mark.parametrize("pool", [1, 2])
def test_masked_points_reach_others_through_the_kernels_alone(pool):
    layer, x, weights = trained(kernel_size=1, attention_pool=pool), sequence(), holed_weights()
    before, _ = layer(x, None, weights)
    x[..., weights == 0] = 10
    after, _ = layer(x, None, weights)
    torch.testing.assert_close(after[..., weights > 0], before[..., weights > 0])


def test_maps_are_those_of_the_attended_steps():
    layer, x, weights = trained(attention_every=3), sequence(t=7), holed_weights()
    queries = torch.tensor([[1, 1], [4, 6]])
    with torch.no_grad():
        maps = layer.run(x, None, weights, attention=True, queries=queries).maps
        first = layer.run(x[:, :2], None, weights, attention=True, queries=queries)
        rest = layer.run(x[:, 2:], first.state, weights, attention=True, queries=queries)
    assert maps.received.shape == (2, 3, 6, 8)
    assert maps.teleconnection.shape == (2, 3, 2, 6, 8)
    for name in ("received", "teleconnection"):
        split = torch.cat([getattr(first.maps, name), getattr(rest.maps, name)], 1)
        torch.testing.assert_close(split, getattr(maps, name))


def test_no_maps_without_being_asked_or_without_attention():
    x = sequence()
    assert trained().run(x).maps is None
    assert trained(axial=False).run(x, attention=True).maps is None


def test_state_dict_round_trip():
    layer, other, x = trained(seed=0, num_layers=2), trained(seed=1, num_layers=2), sequence()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x)[0], other(x)[0])


def test_return_sequences_and_return_state_choose_what_comes_back():
    x = sequence()
    y, (state,) = trained()(x)
    last = trained(return_sequences=False, return_state=False)(x)
    assert y.shape == (2, 7, 5, 6, 8)
    assert torch.equal(last, y[:, -1])
    assert torch.equal(state.h, last)


def test_bfloat16_autocast_runs():
    layer, x = trained(dtype=torch.float32), sequence(dtype=torch.float32).requires_grad_()
    expected, _ = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = layer(x, None, holed_weights(dtype=torch.float32).fill_(1))
        found.float().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.1)


def test_fresh_layer_remembers():
    layer = FAConvLSTM2d(3, 5)
    assert torch.equal(layer.layers[0].Pg.bias.chunk(4)[1], torch.ones(5))
    y, _ = layer(sequence(dtype=torch.float32))
    assert 0.01 < float(y.detach().std()) < 0.7


@pytest.mark.parametrize("options", [{"attention_every": 0}, {"kernel_size": 4}, {"attention_heads": 3}])
def test_layer_refuses_what_has_no_meaning(options):
    with pytest.raises(UsageError):
        FAConvLSTM2d(3, 5, **options)
