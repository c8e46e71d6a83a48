import json
import subprocess
import sys

import pytest
import torch

from tests.benchmarks.gpu import agreement
from tests.benchmarks.gpu.counts import SIZES, flop, least_bytes
from tests.benchmarks.gpu.sections import section
from tests.benchmarks.gpu.table import print_table
from tests.benchmarks.gpu.timing import time_limit
from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_the_bench_runs_without_a_gpu(tmp_path):
    line = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu", "--quick"]
    out = tmp_path / "found.json"
    done = subprocess.run(
        [*line, "--folder", tmp_path, "--out", out], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert "WRONG" not in done.stdout
    assert "embed:" in done.stdout
    found = json.loads(out.read_text())
    assert {line["mode"] for line in found["cells"]} == {"inference", "training"}
    assert all(line["seconds"] > 0 for line in found["cells"])


def test_convlstm_operations_are_those_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    from tests.benchmarks.plain_convlstm import PlainConvLSTM

    size = SIZES["tiny"]
    with FlopCounterMode(display=False) as counter:
        PlainConvLSTM(size.c, size.f)(torch.randn(size.b, size.t, size.c, size.h, size.w))
    assert flop("ConvLSTM", size, training=False) == counter.get_total_flops()


def test_faconvlstm_does_a_small_part_of_the_operations_and_moves_as_much():
    size = SIZES["a"]
    full, small = (flop(name, size, training=True) for name in ("ConvLSTM", "FAConvLSTM"))
    assert 15 < full / small < 30
    moved = [least_bytes(name, size, training=True) for name in ("ConvLSTM", "FAConvLSTM", "MinConvGRU")]
    assert moved[0] == moved[1] > moved[2]


def test_a_failing_section_is_told_and_spoils_nothing(capsys):
    def fail():
        raise ValueError("what went wrong")

    assert section("bad", fail, 5) is None
    assert "FAILED: ValueError: what went wrong" in capsys.readouterr().out


def test_a_time_limit_within_another_leaves_the_outer_one_running():
    with pytest.raises(TimeoutError, match=r"0\.|not done after 0 s"), time_limit(0.2):
        with time_limit(10):
            pass
        while True:
            pass


def test_the_table_has_ratios_to_plain_convlstm(capsys):
    key = {"size": "tiny", "precision": "float32", "mode": "inference"}
    lines = [
        key | {"name": "plain ConvLSTM", "way": "eager", "seconds": 0.2},
        key | {"name": "plain ConvLSTM", "way": "compiled", "seconds": 0.1},
        key | {"name": "FAConvLSTM", "way": "graph", "seconds": 0.01},
        key | {"name": "MinConvGRU", "way": "graph", "error": "out of order"},
    ]
    print_table(lines, {"copy": 1e9, "tf32": 1e12})
    shown = capsys.readouterr().out
    assert "| FAConvLSTM | graph | 10.000 | 20.0 | 10.0 |" in shown
    assert "not measured: tiny float32 inference MinConvGRU graph: out of order" in shown


def test_a_kink_that_one_draw_meets_is_no_fault_but_one_that_all_meet_is(monkeypatch):
    met = iter([2e-3, 1e-6])
    monkeypatch.setattr(agreement, "_errors", lambda *_: {"y": 1e-7, "gamma": next(met)})
    assert agreement._least_of_draws(None, None, None) == ({"y": 1e-7, "gamma": 1e-6}, "gamma", 2)
    monkeypatch.setattr(agreement, "_errors", lambda *_: {"y": 1e-7, "gamma": 2e-3})
    assert agreement._least_of_draws(None, None, None)[1:] == ("gamma", agreement.DRAWS)
    monkeypatch.setattr(agreement, "_errors", lambda *_: {"y": float("nan"), "gamma": 1e-6})
    assert agreement._least_of_draws(None, None, None)[1:] == ("y", agreement.DRAWS)
