"""What every recurrent layer promises, whatever its equations."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import UsageError
from faconv_cli.nn.cells.convgru import ConvGRU2d
from faconv_cli.nn.cells.convlstm import ConvLSTM2d
from faconv_cli.nn.cells.minconvexplstm import MinConvExpLSTM2d
from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
from faconv_cli.nn.cells.minconvlstm import MinConvLSTM2d
from faconv_cli.nn.cells.minfaconvlstm import MinFAConvLSTM2d

WITHOUT_ATTENTION = [ConvLSTM2d, ConvGRU2d, MinConvLSTM2d, MinConvGRU2d, MinConvExpLSTM2d]
LAYERS = [*WITHOUT_ATTENTION, MinFAConvLSTM2d]
SMALL = {"bottleneck": 2, "attention_heads": 1, "attention_every": 2, "dilations": (1, 2)}
VARIANTS = [(Layer, {}) for Layer in WITHOUT_ATTENTION]
VARIANTS += [(ConvLSTM2d, {"peephole": True}), (MinFAConvLSTM2d, SMALL)]
every_layer = pytest.mark.parametrize("Layer", LAYERS)
every_variant = pytest.mark.parametrize(("Layer", "options"), VARIANTS, ids=str)
training_or_not = pytest.mark.parametrize("grad", [True, False])
TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-10}


def trained(Layer, in_channels=3, hidden_channels=4, *, dtype=torch.float64, noise=0.3, **options):
    """A layer all of whose parameters have left their start."""
    torch.manual_seed(0)
    layer = Layer(in_channels, hidden_channels, **options).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer


def sequence(b=2, t=6, c=3, h=5, w=6, *, seed=1, dtype=torch.float64):
    return torch.randn(b, t, c, h, w, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def warm_state(layer, x, scale=0.5):
    """A state that is not zero, of leaves that want gradients."""
    torch.manual_seed(2)

    def warm(value):
        if isinstance(value, torch.Tensor):
            return (scale * torch.randn_like(value)).requires_grad_()
        if isinstance(value, int):  # steps done
            return value
        return type(value)(*map(warm, value)) if hasattr(value, "_fields") else tuple(map(warm, value))

    return warm(layer.init_state(x))


def tensors(state):
    """The tensors of a state, in a row."""
    if isinstance(state, int):
        return []
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in tensors(part)]


def steps(layer, x, state):
    """The plain loop."""
    ys = []
    for x_t in x.unbind(1):
        y, state = layer.step(x_t, state)
        ys.append(y)
    return torch.stack(ys, 1), state


@every_variant
@training_or_not
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    t=st.integers(1, 9),
    cut=st.integers(1, 8),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel_size=st.sampled_from([1, 3, 5]),
    padding=st.sampled_from(["zeros", "circular", "longitude"]),
    num_layers=st.integers(1, 2),
)
def test_fast_path_is_the_step_loop_for_any_split(
    Layer, options, dtype, grad, t, cut, size, kernel_size, padding, num_layers
):
    layer = trained(
        Layer, dtype=dtype, kernel_size=kernel_size, padding=padding, num_layers=num_layers, **options
    )
    x = sequence(t=t, h=size[0], w=size[1], dtype=dtype)
    with torch.set_grad_enabled(grad):
        state = warm_state(layer, x)
        expected, expected_last = steps(layer, x, state)
        ys = []
        for part in x.split(cut, 1):
            y, state = layer(part, state)
            ys.append(y)
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(torch.cat(ys, 1), expected, **near)
    for found, wanted in zip(tensors(state), tensors(expected_last), strict=True):
        torch.testing.assert_close(found, wanted, **near)


@every_variant
@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
def test_gradients_of_the_fast_path_are_those_of_the_step_loop(Layer, options, padding):
    layer = trained(Layer, num_layers=2, padding=padding, **options)
    x = sequence().requires_grad_()
    state = warm_state(layer, x)
    probe = torch.randn(2, 6, 4, 5, 6, dtype=torch.float64)
    wanted = [x, *tensors(state), *layer.parameters()]

    def gradients(run):
        y, last = run(x, state)
        loss = (y * probe).sum() + sum(value.square().sum() for value in tensors(last))
        return torch.autograd.grad(loss, wanted)

    fast, slow = gradients(layer), gradients(lambda *args: steps(layer, *args))
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@every_variant
def test_gradients_are_right(Layer, options):
    layer = trained(Layer, 1, 2, **options)
    x = sequence(1, 3, 1, 2, 3).requires_grad_()
    state = warm_state(layer, x)[0]
    names = [name for name, _ in layer.named_parameters()]

    def run(x, h, *parameters):
        start = (h,) if isinstance(state, torch.Tensor) else (type(state)(h, *state[1:]),)
        call = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, call, (x, start))[0]

    assert torch.autograd.gradcheck(run, (x, tensors(state)[0], *layer.parameters()))


@every_variant
def test_weights_alone_want_gradients_and_get_them(Layer, options):
    layer, x = trained(Layer, **options), sequence()
    with_x = torch.autograd.grad(layer(x.clone().requires_grad_())[0].square().sum(), layer.parameters())
    without = torch.autograd.grad(layer(x)[0].square().sum(), layer.parameters())
    torch.testing.assert_close(without, with_x)


@pytest.mark.slow
@every_layer
def test_no_drift_over_forty_years_of_days(Layer):
    layer = trained(Layer, 1, 1, dtype=torch.float32, noise=0.0)
    x = sequence(1, 15_000, 1, 2, 2, dtype=torch.float32)
    with torch.no_grad():
        whole, _ = layer(x)
        head, state = layer(x[:, :9_999])
        tail, _ = layer(x[:, 9_999:], state)
        torch.testing.assert_close(torch.cat([head, tail], 1), whole, rtol=1e-5, atol=1e-5)
        late, _ = layer(x[:, 14_000:])
    torch.testing.assert_close(late[:, -500:], whole[:, -500:], rtol=1e-5, atol=1e-5)


@every_layer
def test_batch_elements_do_not_touch(Layer):
    layer, x = trained(Layer), sequence(3)
    y, _ = layer(x)
    for number in range(3):
        alone, _ = layer(x[number : number + 1])
        torch.testing.assert_close(alone[0], y[number])


@every_layer
@training_or_not
def test_hidden_state_does_not_see_the_future(Layer, grad):
    layer, x = trained(Layer, num_layers=2), sequence()
    with torch.set_grad_enabled(grad):
        before, _ = layer(x)
        x[:, 4:] = torch.nan
        after, _ = layer(x)
    assert torch.equal(after[:, :4], before[:, :4])


@every_layer
@pytest.mark.parametrize(("padding", "axis"), [("longitude", -1), ("circular", -1), ("circular", -2)])
def test_a_rolled_globe_gives_a_rolled_answer(Layer, padding, axis):
    layer, x = trained(Layer, padding=padding, kernel_size=5), sequence()
    y, _ = layer(x)
    rolled, _ = layer(x.roll(2, axis))
    torch.testing.assert_close(rolled, y.roll(2, axis))


@every_layer
def test_edges_of_zeros_are_no_circle(Layer):
    layer, x = trained(Layer), sequence()
    assert not torch.allclose(layer(x.roll(2, -1))[0], layer(x)[0].roll(2, -1))


@every_layer
def test_one_layer_serves_every_grid_and_batch(Layer):
    layer = trained(Layer)
    for b, h, w in [(1, 1, 1), (3, 2, 9), (2, 7, 3)]:
        assert layer(sequence(b, 3, 3, h, w))[0].shape == (b, 3, 4, h, w)


@every_layer
def test_what_comes_back_is_what_was_asked_for(Layer):
    x = sequence(dtype=torch.float32)
    y, state = trained(Layer, dtype=torch.float32)(x)
    last, _ = trained(Layer, dtype=torch.float32, return_sequences=False)(x)
    alone = trained(Layer, dtype=torch.float32, return_state=False)(x)
    assert torch.equal(last, y[:, -1])
    assert torch.equal(alone, y)
    assert torch.equal(tensors(state)[0], y[:, -1])


@pytest.mark.parametrize("Layer", WITHOUT_ATTENTION)
def test_layers_without_attention_take_its_arguments_and_give_no_maps(Layer):
    layer, x = trained(Layer, num_layers=2), sequence()
    weights, queries = torch.rand(5, 6, dtype=torch.float64), torch.tensor([[1, 2]])
    output = layer.run(x, None, weights, attention=True, queries=queries)
    assert output.maps is None
    assert torch.equal(output.y, layer(x)[0])


@every_layer
@pytest.mark.parametrize("kernel_size", [0, 2, 4])
def test_even_kernels_are_refused(Layer, kernel_size):
    with pytest.raises(UsageError, match=f"the kernel size is {kernel_size}"):
        Layer(2, 3, kernel_size)


@every_layer
def test_all_layers_have_one_signature(Layer):
    names = list(inspect.signature(Layer).parameters)
    common = ["in_channels", "hidden_channels", "kernel_size", "num_layers", "padding"]
    assert names[:7] == [*common, "return_sequences", "return_state"]


@every_variant
def test_weights_survive_saving(Layer, options, tmp_path):
    layer, x = trained(Layer, num_layers=2, **options), sequence()
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    other = Layer(3, 4, num_layers=2, **options).double()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other(x)[0], layer(x)[0])


# torch's own tracer looks at .grad of what it resumes with
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@every_layer
@pytest.mark.slow
def test_compiled_layers_answer_the_same_and_keep_their_names(Layer):
    layer, x = trained(Layer), sequence()
    y, names = layer(x)[0], list(layer.state_dict())
    gradients = torch.autograd.grad(y.square().sum(), layer.parameters())
    layer.compile(backend="eager")
    compiled = layer(x)[0]
    torch.testing.assert_close(compiled, y)
    torch.testing.assert_close(torch.autograd.grad(compiled.square().sum(), layer.parameters()), gradients)
    assert list(layer.state_dict()) == names


@every_layer
def test_half_precision_convolutions_keep_full_states(Layer):
    layer = trained(Layer, dtype=torch.float32, num_layers=2, noise=0.1)
    x = sequence(dtype=torch.float32)
    exact, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(x)
        step, _ = steps(layer, x, layer.init_state(x))
    y.square().mean().backward()
    assert y.dtype == torch.float32
    assert {value.dtype for value in tensors(state)} == {torch.float32}
    torch.testing.assert_close(y, exact, rtol=0.1, atol=0.1)
    torch.testing.assert_close(y, step, rtol=0.1, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@every_layer
def test_a_second_backward_finds_everything_kept(Layer):
    layer, x = trained(Layer), sequence()
    loss = layer(x)[0].square().sum()
    first = torch.autograd.grad(loss, layer.parameters(), retain_graph=True)
    second = torch.autograd.grad(loss, layer.parameters())
    torch.testing.assert_close(first, second, rtol=0, atol=0)
