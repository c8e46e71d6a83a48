"""Give many damaged files to a command: ``python -m tests.fuzz.run COMMAND FOLDER FIRST:LAST FILE...``.

One process works through many cases, as the command line would but for the guard. Where it dies, or computes
for too long, the case is given to the guarded command line, which has to end it with an error. What is wrong
is printed, one JSON object a line, and at the end how the cases went.
"""

import contextlib
import functools
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import typer

from faconv_cli import app, guard
from tests.fuzz.corrupt import corrupt

LONGEST_S = 2.0  # of computing
MOST_MEMORY = 4 * 2**30
INPUT_ERROR, CHECKPOINT_ERROR = 3, 4
TINY = (
    *("--window", "4", "--burn-in", "1", "--hidden", "4", "--bottleneck", "4", "--embedding", "4"),
    *("--updates", "2", "--batch", "2", "--threads", "1", "--anomaly", "none"),
    *("--attention-every", "1"),
)


def arguments_of(command: str, case: Path, work: Path) -> list[str]:
    """The command line of one case; all it writes lies in ``work``."""
    if command == "inspect":
        return ["inspect", str(case), "--json"]
    if command == "train":
        return ["train", str(case), "-o", str(work / "out.pt"), *TINY]
    if command == "cluster":
        return ["cluster", str(case), "-o", str(work / "regimes.nc"), "-k", "2"]
    return ["embed", "-c", os.environ["FUZZ_CHECKPOINT"], str(case), str(work / "out.nc")]


def judge(command: str, code: int, out: str, err: str, work: Path) -> str | None:
    """What is wrong with how a command ended, if anything is."""
    written = sorted(path.name for path in work.iterdir())
    said = err.strip().splitlines()
    if "Traceback" in err:
        return "a traceback"
    if any(name.endswith(".part") for name in written):
        return f"half-written {written}"
    if code == 0:
        return None if out.strip() else "no result"
    # damage to a name, a unit or a coordinate makes other data of it, which a checkpoint refuses
    if code != INPUT_ERROR and (command, code) != ("embed", CHECKPOINT_ERROR):
        return f"exit code {code}"
    if (
        out
        or [line.startswith("error: ") for line in said].count(True) != 1
        or not said[-1].startswith("error: ")
    ):
        return "not one line of error"
    return f"written {written}" if written else None


def run_here(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command in this process; its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app.main(arguments)
            code = 0
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        except BaseException:
            traceback.print_exc(file=err)
            code = 1
    return code, out.getvalue(), err.getvalue()


def run_guarded(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command as a user does, in a process of its own."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            sys.argv = ["faconv", *arguments]
            app.guarded = functools.partial(guard.guarded, stalled_s=LONGEST_S)
            try:
                app.main()
            except SystemExit as stopped:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(int(stopped.code or 0))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), out.read(), err.read()


def warm_up(arguments: list[str]) -> None:
    """Import what a command needs, so that no case pays for it."""
    code, _, err = run_here(arguments)
    assert code == 0, err


def batch(command: str, good: Path, seeds: range, work: Path, report: io.TextIOBase) -> None:
    """Work through cases in this process and tell each outcome as a line of JSON."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # what the C libraries have to say
    os.dup2(silent, 2)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for seed in seeds:
        case = make_case(good, seed, work)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        code, out, err = run_here(arguments_of(command, case, work / "out"))
        signal.setitimer(signal.ITIMER_PROF, 0)
        wrong = judge(command, code, out, err, work / "out")
        report.write(json.dumps({"seed": seed, "code": code, "wrong": wrong, "said": err[-1500:]}) + "\n")
        report.flush()


def make_case(good: Path, seed: int, work: Path) -> Path:
    """Write a damaged file, and clear the folder of outputs."""
    fresh(work)
    case = work / f"case{good.suffix}"
    case.write_bytes(corrupt(good.read_bytes(), seed))
    return case


def fresh(work: Path) -> Path:
    """Make an empty folder of outputs."""
    shutil.rmtree(work / "out", ignore_errors=True)
    (work / "out").mkdir(parents=True)
    return work / "out"


def fuzz(command: str, good: Path, seeds: range, work: Path) -> Counter[str]:
    """Give the damaged versions of one file to a command; how many ended how."""
    counts: Counter[str] = Counter()
    while seeds:
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receive)
            with os.fdopen(send, "w") as report:
                batch(command, good, seeds, work, report)
            os._exit(0)
        os.close(send)
        done = 0
        with os.fdopen(receive) as reports:
            for line in reports:
                outcome = json.loads(line)
                done += 1
                counts["result" if outcome["code"] == 0 else "error"] += 1
                tell(counts, good, outcome)
        os.waitpid(child, 0)
        if done < len(seeds):
            seed = seeds[done]
            case = make_case(good, seed, work)
            code, out, err = run_guarded(arguments_of(command, case, work / "out"))
            counts["guarded"] += 1
            wrong = judge(command, code, out, err, work / "out")
            tell(counts, good, {"seed": seed, "code": code, "wrong": wrong, "said": err[-1500:]})
            done += 1
        seeds = seeds[done:]
    return counts


def tell(counts: Counter[str], good: Path, outcome: dict) -> None:
    if outcome["wrong"]:
        counts["wrong"] += 1
        print(json.dumps({"file": good.name, **outcome}), flush=True)


def main(command: str, folder: str, seeds: str, *files: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    app.app = typer.main.get_command(app.app)  # built once, not for each case
    warm_up(arguments_of(command, Path(files[0]), fresh(Path(folder))))
    first, last = map(int, seeds.split(":"))
    total: Counter[str] = Counter()
    for good in map(Path, files):
        total += fuzz(command, good, range(first, last), Path(folder))
    print(json.dumps(total))


if __name__ == "__main__":
    main(*sys.argv[1:])
