"""Where to compute, and with how many threads."""

from __future__ import annotations

import os

import torch

from faconv_cli.errors import DeviceError, UsageError


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:n`` into a device; auto is a GPU where there is one.

    Raises:
        UsageError: another name.
        DeviceError: a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UsageError(
            f"--device {name} is not a device",
            wanted="devices are auto, cpu, cuda and cuda:n",
            do="choose one of them",
        )
    if kind == "cuda" and int(number or 0) >= (count := torch.cuda.device_count()):
        raise DeviceError(
            f"--device {name} is not there: {count or 'no'} CUDA device{'s' if count > 1 else ''} visible",
            wanted="torch must see that GPU",
            do="pass --device cpu, or check the driver, the torch build and CUDA_VISIBLE_DEVICES",
        )
    return torch.device(name)


def set_threads(count: int | None) -> int:
    """Set the threads of torch: as asked, else what Slurm or the affinity mask of the process allow."""
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    allowed = int(slurm) if slurm.isdigit() else len(os.sched_getaffinity(0))
    threads = count or max(1, allowed)
    torch.set_num_threads(threads)
    return threads
