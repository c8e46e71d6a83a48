"""Each kernel against its plain path: on a GPU, or on the CPU by TRITON_INTERPRET=1 where Triton is there."""

import copy
import sys
from types import SimpleNamespace

import pytest
import torch

import faconv_cli.nn as networks
from faconv_cli.nn import kernels
from faconv_cli.nn.kernels import plain_path, usable
from faconv_cli.nn.mechanisms.mixing import DilatedMix, Stencil, area_shares
from faconv_cli.nn.scans.scan import linear_scan

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_kernels = pytest.mark.skipif(
    not usable(torch.empty(0, device=DEVICE)), reason="no GPU with Triton, and no TRITON_INTERPRET=1"
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
LAYERS = [
    "FAConvLSTM2d",
    "MinFAConvLSTM2d",
    "MinConvLSTM2d",
    "MinConvGRU2d",
    "MinConvExpLSTM2d",
    "ConvLSTM2d",
]


@pytest.fixture(autouse=True)
def full_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)


def random(*shape):
    return torch.randn(*shape, device=DEVICE)


def test_without_a_gpu_the_plain_path_runs(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not usable(torch.empty(3))


@pytest.fixture
def another_scan(monkeypatch):
    """Put something else in the place of the kernel that is tried first."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    kernels._compiles.cache_clear()
    yield lambda module: monkeypatch.setitem(sys.modules, "faconv_cli.nn.kernels.scan", module)
    kernels._compiles.cache_clear()


def test_without_triton_the_plain_path_runs(another_scan, caplog):
    another_scan(None)  # Python's own way of saying that it cannot be imported
    assert not usable(torch.empty(3))
    assert not caplog.records


def test_where_a_kernel_does_not_compile_the_plain_path_runs_and_it_is_said_once(another_scan, caplog):
    def fail(*_):
        raise RuntimeError("Failed to find C compiler.\nPlease specify CC")

    another_scan(SimpleNamespace(linear_scan_forward=fail))
    assert [usable(torch.empty(3)) for _ in range(2)] == [False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "no kernels on cpu, which is slower: Failed to find C compiler."
    ]


def test_where_a_kernel_compiles_float32_is_done_in_kernels_and_float64_is_not(another_scan):
    another_scan(SimpleNamespace(linear_scan_forward=lambda *_: None))
    assert usable(torch.empty(3))
    assert not usable(torch.empty(3).double())
    with plain_path():
        assert not usable(torch.empty(3))


@needs_kernels
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_linear_scan_and_its_gradient(steps):
    a, b, h0 = random(steps, 3, 50).sigmoid(), random(steps, 3, 50), random(3, 50)
    for one in (a, b, h0):
        one.requires_grad_()
    upstream = random(steps, 3, 50)
    with plain_path():
        expected = linear_scan(a, b, h0)
        gradients = torch.autograd.grad(expected, (a, b, h0), upstream)
    found = linear_scan(a, b, h0)
    torch.testing.assert_close(found, expected, **CLOSE)
    for one, other in zip(torch.autograd.grad(found, (a, b, h0), upstream), gradients, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@needs_kernels
@pytest.mark.parametrize("padding", ["zeros", "longitude", "circular"])
@pytest.mark.parametrize(("channels", "dilations"), [(16, (1, 2, 4)), (5, (3,)), (18, (1, 7))])
def test_the_depthwise_mix_its_sums_and_its_gradients(padding, channels, dilations):
    from faconv_cli.nn.kernels.mixing import blocks, kernel_gradient, mix_

    stencil = Stencil(DilatedMix(channels, 3, dilations=dilations, padding=padding).to(DEVICE))
    u, added, dm = random(3, 2, 6, 7, channels)
    shares, sums = area_shares(None, u[..., 0]), u.new_empty(2, blocks((6, 7)), channels)
    expected = stencil(u) + added
    found = mix_(u, stencil.kernel, dilations, padding, added.clone(), add=True, shares=shares, sums=sums)
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(sums.sum(1), expected.mean((1, 2)), **CLOSE)
    flipped = stencil.kernel.flip(-2, -1).contiguous()
    adjoint = mix_(dm, flipped, dilations, padding, torch.empty_like(dm))
    torch.testing.assert_close(adjoint, stencil.adjoint(dm), **CLOSE)
    torch.testing.assert_close(
        kernel_gradient(u, dm, 3, dilations, padding), stencil.kernel_gradient(u, dm), **CLOSE
    )


def evaluate(layer, x, weights):
    """Two calls, the second from the state of the first, and all gradients."""
    x = x.clone().requires_grad_()
    first, state = layer(x[:, :3], None, weights)
    second, _ = layer(x[:, 3:], state, weights)
    y = torch.cat([first, second], 1)
    (y * torch.linspace(-1, 1, y.numel(), device=y.device).view_as(y).sin()).sum().backward()
    return {"y": y.detach(), "x": x.grad} | {name: one.grad for name, one in layer.named_parameters()}


@needs_kernels
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{"padding": "longitude", "num_layers": 2}, {"padding": "zeros"}])
def test_a_layer_its_state_and_its_gradients(name, options):
    layer = getattr(networks, name)(3, 6, **options).to(DEVICE)
    for parameter in layer.parameters():  # also those that start at zero
        parameter.data += 0.2 * torch.randn_like(parameter)
    x, weights = random(2, 5, 3, 5, 9), random(5, 9).relu()
    with plain_path():
        expected = evaluate(copy.deepcopy(layer), x, weights)
    found = evaluate(copy.deepcopy(layer), x, weights)
    for part, one in expected.items():
        error = (found[part] - one).norm() / one.norm()
        assert error < 1e-5, part
    with torch.no_grad():
        torch.testing.assert_close(layer(x, None, weights)[0][:, :3], expected["y"][:, :3], **CLOSE)


@needs_kernels
@pytest.mark.parametrize("options", [{"peephole": False}, {"squeeze_excitation": False}, {"axial": False}])
def test_faconvlstm_without_one_of_its_mechanisms(options):
    test_a_layer_its_state_and_its_gradients("FAConvLSTM2d", {"bottleneck": 6, **options})


@needs_kernels
@pytest.mark.parametrize("name", ["FAConvLSTM2d", "MinConvGRU2d", "MinFAConvLSTM2d"])
def test_under_autocast_states_stay_float32_and_close_to_full_precision(name):
    layer, x = getattr(networks, name)(3, 6).to(DEVICE), random(2, 5, 3, 5, 9)
    expected, _ = layer(x)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        found, _ = layer(x)
    assert found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 0.02
    found.square().mean().backward()
    assert all(torch.isfinite(one.grad).all() for one in layer.parameters() if one.grad is not None)
