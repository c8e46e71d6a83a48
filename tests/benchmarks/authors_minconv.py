"""Our recurrent layers beside those of the authors of MinConv: CPU seconds of one thread.

Usage: python -m tests.benchmarks.authors_minconv CLONE [--sizes a c] [--rounds 3]

CLONE is a clone of https://github.com/AdaptiveAILab/minconvrnns, whose models need `pip install hydra-core`.
First each pair is given the same weights and must give the same hidden states; then all take turns.

Two tasks: *inner*, a layer within a stack, from F to F channels, with a gradient for its input; and *first*,
from the C channels of the data to F: theirs by their 1×1 encoder and their cell, which takes F channels only,
ours by one layer.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from faconv_cli.nn.cells.convgru import ConvGRU2d
from faconv_cli.nn.cells.convlstm import ConvLSTM2d, ConvLSTMState
from faconv_cli.nn.cells.minconvexplstm import MinConvExpLSTM2d
from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
from faconv_cli.nn.cells.minconvlstm import MinConvLSTM2d
from tests.benchmarks.plain_convlstm import PlainConvLSTM
from tests.benchmarks.test_cells_speed import SIZES

OURS = {
    "MinConvLSTM": MinConvLSTM2d,
    "MinConvGRU": MinConvGRU2d,
    "MinConvExpLSTM": MinConvExpLSTM2d,
    "ConvLSTM": ConvLSTM2d,
    "ConvGRU": ConvGRU2d,
}


class Theirs(nn.Module):
    """A cell of the authors over (b, t, c, h, w), behind their encoder where c is not f; gives (y, None)."""

    def __init__(
        self, cell: type[nn.Module], in_channels: int, hidden: int, batch: int, h: int, w: int
    ) -> None:
        super().__init__()
        self.encoder = nn.Identity() if in_channels == hidden else nn.Conv2d(in_channels, hidden, 1)
        self.cell = cell(
            batch_size=batch,
            input_size=hidden,
            hidden_size=hidden,
            height=h,
            width=w,
            device=torch.device("cpu"),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        b, t, _, h, w = x.shape
        self.cell.reset_states(b, h, w)
        encoded = self.encoder(x.flatten(0, 1))
        if hasattr(self.cell, "parallel_scan_log"):
            return self.cell(encoded).view(b, t, -1, h, w), None
        outputs = [self.cell(x_t) for x_t in encoded.view(b, t, -1, h, w).unbind(1)]
        hidden = [output[0] if isinstance(output, tuple) else output for output in outputs]
        return torch.stack(hidden, 1), None


def authors_cells(clone: Path) -> dict[str, type[nn.Module]]:
    """The authors' cells by our names."""
    sys.path.insert(0, str(clone / "src" / "mcrnn"))
    from models.convgru.convgru import ConvGRUCell
    from models.convlstm.convlstm import ConvLSTMCell
    from models.minconvexplstm.minconvexplstm import MinConvExpLSTMCell
    from models.minconvgru.minconvgru import MinConvGRUCell
    from models.minconvlstm.minconvlstm import MinConvLSTMCell

    cells = (MinConvLSTMCell, MinConvGRUCell, MinConvExpLSTMCell, ConvLSTMCell, ConvGRUCell)
    return dict(zip(OURS, cells, strict=True))


def copy_weights(name: str, cell: nn.Module, layer: nn.Module) -> None:
    """Give our layer the weights of the authors' cell."""
    if name == "ConvGRU":
        weight = torch.cat([cell.conv_a[0].weight, cell.conv_b[0].weight])
        bias = torch.cat([cell.conv_a[0].bias, cell.conv_b[0].bias])
    else:
        weight, bias = cell.conv[0].weight, cell.conv[0].bias
    if name == "ConvLSTM":  # theirs in the order g, i, f, o
        (g, *weights), (g_bias, *biases) = weight.chunk(4), bias.chunk(4)
        weight = torch.cat([weights[0], weights[1], g, weights[2]])
        bias = torch.cat([biases[0], biases[1], g_bias, biases[2]])
    if name.startswith("Min"):
        state = {"convolution.weight": weight, "convolution.bias": bias}
    else:
        inputs, recurrent = weight.chunk(2, 1)
        state = {"input_weight": inputs, "recurrent_weight": recurrent, "bias": bias}
    layer.layers[0].load_state_dict(state)


@torch.no_grad()
def check_pair(name: str, cell: type[nn.Module]) -> None:
    """Assert that both give the same hidden states of the same weights."""
    torch.manual_seed(0)
    theirs, ours, x = Theirs(cell, 6, 6, 2, 9, 10), OURS[name](6, 6), torch.randn(2, 12, 6, 9, 10)
    copy_weights(name, theirs.cell, ours)
    # their scan enters its zero state as log g(0): it starts from a half
    start = torch.full((2, 6, 9, 10), 0.5 if name.startswith("Min") else 0.0)
    state = ConvLSTMState(start, start) if name == "ConvLSTM" else start
    torch.testing.assert_close(theirs(x)[0], ours(x, (state,))[0], rtol=0, atol=2e-5)


def seconds(layer: nn.Module, x: Tensor, *, train: bool) -> float:
    """CPU seconds of one pass, forward or forward and backward."""
    layer.zero_grad()
    x.grad = None
    start = time.process_time()
    if train:
        layer(x)[0].square().mean().backward()
    else:
        with torch.inference_mode():
            layer(x)
    return time.process_time() - start


def measure(cells: dict[str, type[nn.Module]], size: str, task: str, rounds: int) -> None:
    """Print a table of medians for one size and task."""
    b, t, c, h, w, hidden = SIZES[size]
    c = hidden if task == "inner" else c
    x = torch.randn(b, t, c, h, w, requires_grad=task == "inner")
    contenders = {"plain ConvLSTM": PlainConvLSTM(c, hidden)}
    for name, cell in cells.items():
        contenders[f"{name}, authors"] = Theirs(cell, c, hidden, b, h, w)
        contenders[f"{name}, ours"] = OURS[name](c, hidden)
    taken = {(name, train): [] for train in (False, True) for name in contenders}
    for _ in range(rounds):
        for (name, train), times in taken.items():
            times.append(seconds(contenders[name], x, train=train))
    print(f"\n{size} {task}, {rounds} rounds: CPU seconds, inference / training step (largest over smallest)")
    for name in contenders:
        median, spread = zip(
            *(
                (statistics.median(s), max(s) / min(s))
                for s in (taken[name, train] for train in (False, True))
            ),
            strict=True,
        )
        print(
            f"{name:26}{median[0]:8.3f} /{median[1]:8.3f}   ({spread[0]:.2f} / {spread[1]:.2f})", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["a", "c"], choices=SIZES)
    parser.add_argument("--tasks", nargs="+", default=["first", "inner"], choices=["first", "inner"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = authors_cells(options.clone)
    for name, cell in cells.items():
        check_pair(name, cell)
    print("the same weights give the same hidden states, to 2e-5, in all five pairs")
    for size in options.sizes:
        for task in options.tasks:
            measure(cells, size, task, options.rounds)


if __name__ == "__main__":
    main()
