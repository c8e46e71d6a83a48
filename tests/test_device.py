import pytest
import torch

from faconv_cli.device import choose_device, set_threads
from faconv_cli.errors import DeviceError, UsageError


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_a_device_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="no CUDA device visible"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="2 CUDA devices visible"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu0"])
def test_other_devices_are_refused(name):
    with pytest.raises(UsageError, match="--device"):
        choose_device(name)


def test_threads_are_those_asked_for_then_those_of_slurm_then_those_allowed(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
        assert set_threads(2) == torch.get_num_threads() == 2
        assert set_threads(None) == torch.get_num_threads() == 3
        monkeypatch.delenv("SLURM_CPUS_PER_TASK")
        assert set_threads(None) >= 1
    finally:
        torch.set_num_threads(before)
