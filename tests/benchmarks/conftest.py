"""Benchmarks use every core the process may use; the other tests one."""

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def all_cores():
    """Give torch the cores of the affinity mask."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(before)
