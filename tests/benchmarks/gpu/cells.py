"""Times of every recurrent network at one size and precision, in a process of its own.

Run by the bench as ``python -m tests.benchmarks.gpu.cells``: it compiles and warms up, says "ready", waits
for a line, and only then measures, so that many can compile at once and none is measured beside another.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from faconv_cli.nn.cells.convlstm import ConvLSTM2d
from faconv_cli.nn.cells.faconvlstm import FAConvLSTM2d
from faconv_cli.nn.cells.minconvgru import MinConvGRU2d
from faconv_cli.nn.cells.minfaconvlstm import MinFAConvLSTM2d
from faconv_cli.nn.kernels import plain_path
from tests.benchmarks.gpu.counts import SIZES
from tests.benchmarks.gpu.timing import in_one_graph, medians, synchronize, time_limit
from tests.benchmarks.plain_convlstm import KerasStyleConvLSTM, PlainConvLSTM

NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "plain ConvLSTM": PlainConvLSTM,
    "Keras-style ConvLSTM": KerasStyleConvLSTM,
    "ConvLSTM": ConvLSTM2d,
    "FAConvLSTM": FAConvLSTM2d,
    "MinConvGRU": MinConvGRU2d,
    "MinFAConvLSTM": MinFAConvLSTM2d,
}
MODES = ("inference", "training")
Work = Callable[[], Any]


def main() -> None:
    """Prepare, wait for a line, measure, and print one line of JSON for each figure or failure."""
    given = _options().parse_args()
    device, ready_by = torch.device(given.device), time.monotonic() + given.prepare
    works: dict[tuple[str, str, str], Work] = {}
    for key, make in _variants(given.size, given.precision, device, compiled=not given.no_compile):
        began = time.monotonic()
        try:
            if began > ready_by:
                raise TimeoutError("no time was left to prepare it")
            with time_limit(ready_by - began):
                work = make()
                work()
                synchronize(device)
            works[key] = work
            print(f"{key} prepared in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            _tell(given, key, error=f"{type(error).__name__}: {error}"[:300])
    print("ready", flush=True)
    sys.stdin.readline()
    for mode in MODES:
        part = {key: work for key, work in works.items() if key[0] == mode}
        found = medians(
            {"|".join(key): work for key, work in part.items()}, device, given.rounds, given.limit
        )
        for key, seconds in found.items():
            _tell(given, tuple(key.split("|")), seconds=seconds)


def _tell(given: argparse.Namespace, key: tuple[str, ...], **found: Any) -> None:
    mode, name, way = key
    line = {"size": given.size, "precision": given.precision, "mode": mode, "name": name, "way": way}
    print(json.dumps(line | found), flush=True)


def _variants(
    size: str, precision: str, device: torch.device, *, compiled: bool
) -> Iterator[tuple[tuple[str, str, str], Callable[[], Work]]]:
    """Yield (mode, network, way of running) and what makes it; what takes long to compile comes last."""
    b, t, c, h, w, f = SIZES[size]
    x = torch.randn(b, t, c, h, w, device=device)
    graphs = device.type == "cuda"
    pool = torch.cuda.graph_pool_handle() if graphs else None
    plain: nn.Module = PlainConvLSTM(c, f)
    for name, network in NETWORKS.items():
        torch.manual_seed(0)
        layer = network(c, f).to(device)
        plain = layer if name == "plain ConvLSTM" else plain
        for mode in MODES:
            work = _work(mode, layer, x, precision)
            yield (mode, name, "eager"), lambda work=work: work
            if graphs:
                yield (mode, name, "graph"), lambda work=work: in_one_graph(work, device, pool)
            if graphs and "-style" not in name and not name.startswith("plain"):
                work = _without_kernels(work)
                yield (mode, name, "no kernels"), lambda work=work: work
                yield (mode, name, "no kernels, graph"), lambda work=work: in_one_graph(work, device, pool)
    if not compiled:
        return
    for way, options in (
        ("compiled step", {}),
        ("compiled", {}),
        ("reduce-overhead", {"mode": "reduce-overhead"}),
    ):
        for mode in MODES:
            work = _work(mode, _Compiled(plain, options, step=way == "compiled step"), x, precision)
            yield (mode, "plain ConvLSTM", way), lambda work=work: work
            if graphs and way != "reduce-overhead":
                yield (
                    (mode, "plain ConvLSTM", f"{way}, graph"),
                    lambda work=work: in_one_graph(work, device, pool),
                )


class _Compiled(nn.Module):
    """The plain ConvLSTM compiled: its step and a loop in Python, or all steps at once."""

    def __init__(self, plain: nn.Module, options: dict[str, Any], *, step: bool) -> None:
        super().__init__()
        self.plain = plain
        self.run = torch.compile(plain.step if step else plain, **options)
        self.by_steps = step

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.plain.loop(x, self.run) if self.by_steps else self.run(x)


def _without_kernels(work: Work) -> Work:
    def plain() -> None:
        with plain_path():
            work()

    return plain


def _work(mode: str, layer: nn.Module, x: Tensor, precision: str) -> Work:
    """Make a call without gradients, or one with a mean square as loss and its backward pass."""
    device = x.device.type

    def autocast() -> Any:
        # a graph must not use casts that were made before it
        return (
            torch.autocast(device, torch.bfloat16, cache_enabled=False)
            if precision == "bfloat16"
            else nullcontext()
        )

    def infer() -> None:
        with torch.no_grad(), autocast():
            layer(x)

    def train() -> None:
        layer.zero_grad(set_to_none=True)
        with autocast():
            loss = layer(x)[0].float().square().mean()
        loss.backward()

    return infer if mode == "inference" else train


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser()
    options.add_argument("--device", default="cuda")
    options.add_argument("--size", choices=SIZES, required=True)
    options.add_argument("--precision", choices=("float32", "bfloat16"), required=True)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--prepare", type=float, default=90, help="Seconds until all must be ready.")
    options.add_argument("--limit", type=float, default=8, help="Seconds of measuring for each mode.")
    options.add_argument("--no-compile", action="store_true")
    return options


if __name__ == "__main__":
    main()
