"""ConvGRU against plain NumPy."""

import numpy as np
import pytest
import torch

from faconv_cli.nn.cells.convgru import ConvGRU2d
from tests.reference import convgru as plain


@pytest.mark.parametrize("padding", ["zeros", "circular", "longitude"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_layer_is_the_plain_one(padding, kernel_size):
    torch.manual_seed(0)
    layer = ConvGRU2d(3, 4, kernel_size, padding=padding).double()
    torch.nn.init.normal_(layer.layers[0].bias)
    p = {name: value.numpy() for name, value in layer.layers[0].state_dict().items()}
    x, h = torch.randn(2, 4, 3, 3, 4).double(), torch.randn(2, 4, 3, 4).double()
    with torch.no_grad():
        y, _ = layer(x, (h,))
    for n in range(2):
        expected = plain.run(x[n].numpy(), h[n].numpy(), p, padding)
        np.testing.assert_allclose(y[n].numpy(), expected, rtol=1e-10, atol=1e-14)


def test_fresh_cell_starts_as_keras_does():
    cell = ConvGRU2d(7, 16).layers[0]
    recurrent = cell.recurrent_weight.detach().flatten(1)
    torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(48), rtol=0, atol=1e-5)
    assert not cell.bias.any()
