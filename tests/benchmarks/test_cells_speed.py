"""Seconds of every recurrent layer, with the ConvLSTM most people copy as the unit.

``pytest tests/benchmarks/test_cells_speed.py --benchmark-only --benchmark-group-by=group``; compare within
a group only, and only ratios: `docs/benchmarks.md` says on what machine.
"""

import pytest
import torch

from faconv_cli.nn.cells.convgru import ConvGRU2d
from faconv_cli.nn.cells.convlstm import ConvLSTM2d
from faconv_cli.nn.cells.faconvlstm import FAConvLSTM2d
from faconv_cli.nn.cells.minconvexplstm import MinConvExpLSTM2d
from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
from faconv_cli.nn.cells.minconvlstm import MinConvLSTM2d
from faconv_cli.nn.cells.minfaconvlstm import MinFAConvLSTM2d
from faconv_cli.nn.scans.scan import linear_scan, log_scan
from tests.benchmarks.plain_convlstm import PlainConvLSTM

SIZES = {  # b, t, c, h, w, hidden
    "a": (4, 24, 7, 41, 41, 64),
    "b": (1, 32, 4, 181, 360, 32),
    "c": (8, 32, 1, 32, 64, 64),
}
OURS = [
    ConvLSTM2d,
    ConvGRU2d,
    MinConvLSTM2d,
    MinConvGRU2d,
    MinConvExpLSTM2d,
    FAConvLSTM2d,
    MinFAConvLSTM2d,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("Layer", [PlainConvLSTM, *OURS])
def test_layer(benchmark, Layer, mode, size):
    b, t, c, h, w, hidden = SIZES[size]
    benchmark.group = f"{size} {mode}"
    layer, x = Layer(c, hidden), torch.randn(b, t, c, h, w)

    def infer():
        with torch.inference_mode():
            layer(x)

    def train():
        layer(x)[0].square().mean().backward()

    benchmark.pedantic(infer if mode == "inference" else train, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("steps", [32, 256, 1024])
@pytest.mark.parametrize("scan", [linear_scan, log_scan])
def test_scan(benchmark, scan, steps):
    benchmark.group = f"scan of 67 MB, {steps} steps"
    a = torch.rand(steps, 2**24 // steps)
    b, h0 = torch.rand_like(a), torch.rand_like(a[0])
    if scan is log_scan:
        a, b = a.log(), b.log()
    benchmark.pedantic(scan, (a, b, h0), rounds=3, warmup_rounds=1)
