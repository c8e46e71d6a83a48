"""The cost of a network: operations per time step, and memory."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from faconv_cli.compare.budget import build_network
from faconv_cli.config import EOF, RunConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.nn.layer import RecurrentLayer2d
from faconv_cli.windows.layout import padded

MEBIBYTE = 2**20
_RESET_PEAK = "5"  # proc(5): resets VmHWM


def flops_per_step(config: RunConfig, cube: Cube) -> float:
    """Count the floating-point operations of the recurrent layers for one time step of one field.

    Those of convolutions and matrix products (two per multiply-add), by torch's counter, over the equations
    as they are written; the attended steps are shared out over the others. EOFs have no recurrent layer.
    """
    if config.encoder.encoder == EOF:
        return 0.0
    patch = config.encoder.patch or 1
    hidden = [side // patch for side in padded(cube.grid.shape, patch)]
    steps = config.encoder.attention_every
    total = 0
    for layer in build_network(config, cube).modules():
        if not isinstance(layer, RecurrentLayer2d):
            continue
        x = torch.zeros(1, layer.in_channels, *hidden)
        state = layer.init_state(x)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            for _ in range(steps):
                _, state = layer.step(x, state)
        total += counter.get_total_flops()
    return total / steps


class PeakMemory:
    """The largest memory of this process, or of the GPU, since it was made.

    On the CPU it is resident memory as Linux counts it, with what the process held before; None elsewhere.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)

    @property
    def mebibytes(self) -> float | None:
        """Largest so far, in MiB."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / MEBIBYTE
        if sys.platform != "linux":
            return None
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
