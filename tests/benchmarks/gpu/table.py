"""The table of the networks: times, against plain ConvLSTM, and shares of the ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.gpu.counts import SIZES, flop, least_bytes

PLAIN = "plain ConvLSTM"


def print_table(lines: Sequence[Mapping[str, Any]], ceilings: Mapping[str, float]) -> None:
    """Print Markdown: a row for each network and way, groups by size, precision and mode."""
    times = {_key(line): line["seconds"] for line in lines if "seconds" in line}
    print(
        "\n| size | precision | mode | network | way | ms | plain eager / it | plain compiled / it "
        "| GB/s | of copy | TFLOP/s | of product | it / floor |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for key, seconds in times.items():
        print(_row(key, seconds, times, ceilings))
    for line in lines:
        if "error" in line:
            print(f"not measured: {' '.join(_key(line))}: {line['error']}")


def _key(line: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(line[part] for part in ("size", "precision", "mode", "name", "way"))


def _row(
    key: tuple[str, ...],
    seconds: float,
    times: Mapping[tuple[str, ...], float],
    ceilings: Mapping[str, float],
) -> str:
    size, precision, mode, name, way = key
    group, training = key[:3], mode == "training"
    plain = times.get((*group, PLAIN, "eager"))
    compiled = [
        one
        for other, one in times.items()
        if other[:4] == (*group, PLAIN) and other[4] not in ("eager", "graph")
    ]
    kind = name.removeprefix("plain ").removeprefix("Keras-style ")
    moved, done = (count(kind, SIZES[size], training=training) for count in (least_bytes, flop))
    copy = ceilings.get("copy", float("nan"))
    # torch lets convolutions use TF32 and products not
    product = ceilings.get("tf32" if precision == "float32" else precision, float("nan"))
    floor = max(moved / copy, done / product)
    ratios = [f"{other / seconds:.1f}" if other else "" for other in (plain, min(compiled, default=None))]
    return (
        f"| {size} | {precision} | {mode} | {name} | {way} | {seconds * 1e3:.3f} | {ratios[0]} | {ratios[1]} "
        f"| {moved / seconds / 1e9:.0f} | {moved / seconds / copy:.0%} | {done / seconds / 1e12:.2f} "
        f"| {done / seconds / product:.1%} | {seconds / floor:.1f} |"
    )
