"""ConvLSTM against plain NumPy and against Keras."""

import doctest
import warnings

import numpy as np
import pytest
import torch

from faconv_cli.nn.cells import convlstm
from faconv_cli.nn.cells.convlstm import ConvLSTM2d, ConvLSTMCell, ConvLSTMState
from tests.reference import convlstm as plain


def trained(in_channels=3, hidden_channels=4, kernel_size=3, **options):
    torch.manual_seed(0)
    layer = ConvLSTM2d(in_channels, hidden_channels, kernel_size, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("peephole", [True, False])
def test_layer_is_the_plain_one(padding, kernel_size, peephole):
    layer = trained(kernel_size=kernel_size, padding=padding, peephole=peephole)
    p = {name: value.numpy() for name, value in layer.layers[0].state_dict().items()}
    x, h, c = (torch.randn(2, *shape).double() for shape in [(4, 3, 3, 4), (4, 3, 4), (4, 3, 4)])
    with torch.no_grad():
        y, (state,) = layer(x, (ConvLSTMState(h, c),))
    for n in range(2):
        hs, last_c = plain.run(x[n].numpy(), h[n].numpy(), c[n].numpy(), p, padding)
        np.testing.assert_allclose(y[n].numpy(), hs, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(state.c[n].numpy(), last_c, rtol=1e-10, atol=1e-14)


def test_peepholes_start_at_nothing():
    torch.manual_seed(0)
    without = ConvLSTM2d(2, 3)
    torch.manual_seed(0)
    layer = ConvLSTM2d(2, 3, peephole=True)
    x = torch.randn(1, 4, 2, 5, 6)
    torch.testing.assert_close(layer(x)[0], without(x)[0])


def test_fresh_cell_starts_as_keras_does():
    cell = ConvLSTMCell(7, 16, 3)
    i, f, c, o = cell.bias.detach().chunk(4)
    assert torch.equal(f, torch.ones(16))
    assert not torch.cat([i, c, o]).any()
    bound = (6 / (9 * (7 + 64))) ** 0.5
    assert 0.9 * bound < float(cell.input_weight.detach().abs().max()) <= bound
    recurrent = cell.recurrent_weight.detach().flatten(1)
    torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(64), rtol=0, atol=1e-5)


@pytest.fixture(scope="session")
def keras(tmp_path_factory):
    """Keras on torch, which it must be told before it is imported."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        return pytest.importorskip("keras", reason="keras is not installed (extra: peers)")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own, on NumPy 2
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_keras_weights_give_the_answer_of_keras(keras, kernel_size):
    keras.utils.set_random_seed(0)
    theirs = keras.layers.ConvLSTM2D(
        8, kernel_size, padding="same", return_sequences=True, data_format="channels_last"
    )
    x = torch.randn(2, 32, 10, 12, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs.build(x.shape)
        kernel, recurrent_kernel, bias = (torch.from_numpy(w) for w in theirs.get_weights())
        bias += 0.1 * torch.randn_like(bias)
        theirs.set_weights([kernel.numpy(), recurrent_kernel.numpy(), bias.numpy()])
        expected = theirs(x).movedim(-1, 2)
        y, _ = ConvLSTM2d.from_keras_weights(kernel, recurrent_kernel, bias)(x.movedim(-1, 2))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


def test_example_of_the_docstring_runs():
    found = doctest.testmod(convlstm, extraglobs={"torch": torch})
    assert found.attempted > 0
    assert found.failed == 0
