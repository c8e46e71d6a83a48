"""CPU seconds of ``faconv --help`` beside those of a bare Python; at most half a second more is wanted."""

import os
import subprocess
import sys

import pytest


def _cpu_seconds(*command):
    before = os.times()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize(
    "command", [("-c", "pass"), ("-m", "faconv_cli", "--help")], ids=["python", "faconv --help"]
)
def test_startup(benchmark, command):
    cpu = []
    benchmark.pedantic(lambda: cpu.append(_cpu_seconds(*command)), rounds=5)
    benchmark.extra_info["cpu_seconds"] = min(cpu)
