"""The bench of the GPU: one table of times, and of what they are of the device's ceilings.

Usage: python -m tests.benchmarks.gpu [--device cuda] [--quick] [--sizes a,b,c] [--sections A,B] [--out FILE]

Sections: ceilings, kernels, agreement, cells, scan, job. Each has a time limit; one that fails is told and
spoils no other. The exit code is 1 where a network does not give what it gives on the CPU. The whole takes
less than eight minutes on a GPU; --quick is a run of tiny sizes without compiling, to try the bench.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import torch

from tests.benchmarks.gpu.agreement import check_agreement
from tests.benchmarks.gpu.ceilings import measure_ceilings
from tests.benchmarks.gpu.sections import section
from tests.benchmarks.gpu.table import print_table

SECTIONS = ("ceilings", "kernels", "agreement", "cells", "scan", "job")
PREPARE, MEASURE = 150, 90  # seconds: of the cells' processes together


def main() -> None:
    """Run the sections that are asked for."""
    given = _options().parse_args()
    device, found = torch.device(given.device), dict[str, Any]()
    folder = Path(given.folder or tempfile.mkdtemp(prefix="faconv-gpu-"))
    folder.mkdir(parents=True, exist_ok=True)
    found["machine"] = _machine(device)
    print(found["machine"])
    wanted = given.sections.split(",")
    agree = True
    if "ceilings" in wanted:
        found["ceilings"] = section("ceilings", lambda: _ceilings(device, given.quick), 30)
    workers = _start_workers(given, folder) if "cells" in wanted else {}
    started = time.monotonic()
    record = None
    if "job" in wanted:
        from tests.benchmarks.gpu.job import write_record

        record = section("record", lambda: write_record(folder, quick=given.quick), 60)
    if "kernels" in wanted and not given.quick:
        agree &= section("kernels", _test_kernels, 75) is True
    if "agreement" in wanted:
        agree &= section("agreement", lambda: check_agreement(device, quick=given.quick), 60) is True
    if workers:
        ready_by = started + given.prepare + 5
        lines = section("cells", lambda: _measure(workers, ready_by), given.prepare + MEASURE) or []
        found["cells"] = lines
        print_table(lines, found.get("ceilings") or {})
    if "scan" in wanted:
        from tests.benchmarks.gpu.scans import time_scans

        copy = (found.get("ceilings") or {}).get("copy", float("nan"))
        section("scan", lambda: time_scans(device, copy, quick=given.quick, limit=10), 25)
    if record is not None:
        from tests.benchmarks.gpu.job import run_job

        section("job", lambda: run_job(record, given.device, quick=given.quick), 75)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))
    sys.exit(0 if agree else 1)


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": torch.get_num_threads(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _ceilings(device: torch.device, quick: bool) -> dict[str, float]:
    found = measure_ceilings(device, quick=quick)
    print(f"copy {found['copy'] / 1e9:.0f} GB/s (read + written)")
    for name in ("bfloat16", "tf32", "float32"):
        print(f"{name} product {found[name] / 1e12:.3g} TFLOP/s")
    return found


def _test_kernels() -> bool:
    """Run the tests of each kernel against its plain path, many at a time as each is compiled first."""
    line = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-W", "ignore", "-n", "8"]
    done = subprocess.run([*line, "tests/nn/test_kernels.py"], capture_output=True, text=True)
    print(done.stdout[-3000:], flush=True)
    sys.stderr.write(done.stdout + done.stderr)
    return done.returncode == 0


def _start_workers(given: argparse.Namespace, folder: Path) -> dict[str, subprocess.Popen[str]]:
    """Start a process for each size and precision; all prepare at once."""
    sizes = ["tiny"] if given.quick else given.sizes.split(",")
    workers = {}
    for size in sizes:
        for precision in ("float32", "bfloat16"):
            line = [sys.executable, "-m", "tests.benchmarks.gpu.cells", "--device", given.device]
            line += ["--size", size, "--precision", precision, "--prepare", str(given.prepare)]
            line += ["--no-compile", "--rounds", "2"] if given.quick else ["--rounds", "10"]
            name = f"{size}-{precision}"
            workers[name] = subprocess.Popen(
                line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(folder / f"cells-{name}.log").open("w"),
                text=True,
            )
    return workers


def _measure(workers: dict[str, subprocess.Popen[str]], ready_by: float) -> list[dict[str, Any]]:
    """Wait until all are ready or the time is over, then let one after another measure."""
    lines: list[dict[str, Any]] = []
    try:
        for name, worker in workers.items():
            section(f"prepare {name}", lambda w=worker: _until_ready(w, lines), ready_by - time.monotonic())
        for name, worker in workers.items():
            section(f"measure {name}", lambda w=worker: _let_measure(w, lines), 20)
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    return lines


def _until_ready(worker: subprocess.Popen[str], lines: list[dict[str, Any]]) -> None:
    for line in _stream(worker.stdout):
        if line.startswith("ready"):
            return
        lines.append(json.loads(line))
    raise RuntimeError(f"ended with {worker.wait()}")


def _let_measure(worker: subprocess.Popen[str], lines: list[dict[str, Any]]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    lines += [json.loads(line) for line in _stream(worker.stdout) if line.startswith("{")]


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--device", default="cuda")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--sizes", default="a,b,c")
    options.add_argument("--sections", default=",".join(SECTIONS))
    options.add_argument("--prepare", type=float, default=PREPARE, help="Seconds to compile in, at most.")
    options.add_argument("--folder", help="For the record and what the commands say. Default: a new one.")
    options.add_argument("--out", type=Path, help="JSON of all that was measured.")
    return options


if __name__ == "__main__":
    main()
