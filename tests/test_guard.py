import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from faconv_cli import guard

PRELUDE = """
import os, signal, sys, time
from faconv_cli.errors import FaconvError
from faconv_cli.files import atomic_output
from faconv_cli.guard import guarded, reading, stopping_signals
from pathlib import Path
def main(work):
    try:
        guarded(work, stalled_s=0.3)
    except FaconvError as error:
        sys.exit(f"{error.exit_code} {error}")
def crash(number):
    os.kill(os.getpid(), number)
    time.sleep(10)
"""


def run(work, cwd, timeout=30, *, nohup=False):
    """Run statements as the guarded work of a process; its exit code (or -signal) and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}\ndef work():\n    {work}\nmain(work)"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if nohup else None,
    )
    return done.returncode, done.stdout, done.stderr.strip()


def test_what_ends_well_or_badly_by_itself_passes_through(tmp_path):
    assert run("print(7)", tmp_path) == (0, "7\n", "")
    assert run("sys.exit(5)", tmp_path) == (5, "", "")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_while_a_file_is_read_is_the_files(tmp_path, number):
    code, out, err = run(f"with reading('a é.nc'): crash({int(number)})", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"3 a é.nc cannot be read (the library crashes on it, {number.name})")


def test_a_crash_elsewhere_is_not_the_users(tmp_path):
    code, _, err = run("with reading('a.nc'): pass\n    crash(signal.SIGSEGV)", tmp_path)
    assert code == 1
    assert err.startswith("1 a library crashed (SIGSEGV)")


def test_a_killed_process_is_told_of_memory(tmp_path):
    assert "1 the process was killed (SIGKILL)" in run("crash(signal.SIGKILL)", tmp_path)[2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread has computed")
def test_a_library_that_comes_to_no_end_is_ended(tmp_path):
    code, _, err = run("with reading('a.nc'):\n        while True: pass", tmp_path)
    assert code == 1
    assert err.startswith("3 a.nc cannot be read (the library comes to no end on it)")


def test_waiting_for_a_slow_disk_is_no_standstill(tmp_path):
    assert run("with reading('a.nc'): time.sleep(1)", tmp_path) == (0, "", "")


def test_many_short_reads_are_no_standstill(tmp_path):
    loop = "for i in range(8):\n        with reading('a.nc'):\n            end = time.process_time() + 0.1\n"
    assert run(loop + "            while time.process_time() < end: pass", tmp_path) == (0, "", "")


def test_a_crash_leaves_no_half_written_output(tmp_path):
    work = (
        "with atomic_output(Path('out.nc'), overwrite=False) as path:\n        path.write_text('half'); "
        "crash(signal.SIGSEGV)"
    )
    assert "a library crashed" in run(work, tmp_path)[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [getattr(signal, name) for name in guard.STOPPING])
def test_signals_reach_the_work_and_its_exit_code_comes_back(tmp_path, number):
    script = tmp_path / "work.py"
    script.write_text(
        f"{PRELUDE}\ndef work():\n    signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "    print('ready', flush=True)\n    time.sleep(20)\nmain(work)"
    )
    started = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "ready\n"
    started.send_signal(number)
    assert started.wait(timeout=10) == 42
    started.stdout.close()


def test_nohup_is_heeded(tmp_path):
    work = "print(signal.SIGHUP in stopping_signals(), flush=True)\n    os.kill(os.getppid(), signal.SIGHUP)"
    assert run(f"{work}\n    time.sleep(0.3)", tmp_path, nohup=True) == (0, "False\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_work_does_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        f"{PRELUDE}\ndef work():\n    print(os.getpid(), flush=True)\n    time.sleep(20)\nmain(work)"
    )
    started = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    child = int(started.stdout.readline())
    started.kill()
    started.wait()
    started.stdout.close()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child):
        time.sleep(0.02)
    assert not _runs(child)


def _runs(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_notes_say_what_each_thread_is_at_and_go():
    page = guard._Page()
    with page.noted(guard._READING, "a" * 5000), page.noted(guard._WRITING, "b"):
        assert [len(note.path) for note in page.notes(guard._READING)] == [4352 - guard._HEAD.size]
        assert [note.path for note in page.notes(guard._WRITING)] == ["b"]
    assert page.notes(guard._READING) == page.notes(guard._WRITING) == []


def test_more_notes_than_fit_go_unnoted():
    page = guard._Page()
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(page.noted(guard._READING, "x"))
        assert len(page.notes(guard._READING)) == 16
    assert page.notes(guard._READING) == []
