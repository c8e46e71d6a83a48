"""Seconds on a device: events around the work, medians of repeats that take turns."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread once ``seconds`` are over; a limit around it goes on after it."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    started, before = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        left = max(outer - (time.monotonic() - started), 0.001) if outer else 0
        signal.setitimer(signal.ITIMER_REAL, left)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Give the seconds of one call, launches included."""
    synchronize(device)
    if device.type != "cuda":
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    work()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1000


def medians(
    works: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, limit: float
) -> dict[str, float]:
    """Let all ``works`` take turns for ``rounds`` rounds or until the limit; seconds of each."""
    found: dict[str, list[float]] = {name: [] for name in works}
    started = time.monotonic()
    for number in range(rounds):
        for name, work in works.items():
            found[name].append(seconds_of(work, device))
        if time.monotonic() - started > limit and number:
            break
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def in_one_graph(work: Callable[[], object], device: torch.device, pool: Any = None) -> Callable[[], object]:
    """Capture ``work`` in a CUDA graph and give its replay.

    Graphs of one ``pool`` use the same memory: the results of each are gone once another is replayed.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(2):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        work()
    graph.replay()
    synchronize(device)
    return graph.replay
