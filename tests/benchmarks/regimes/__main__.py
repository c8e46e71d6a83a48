"""The bench of regimes: methods by tasks, over seeds; stopped and started again, it goes on.

Usage: python -m tests.benchmarks.regimes [--methods A,B] [--tasks A,B] [--seeds 5] [--redo METHOD]
       python -m tests.benchmarks.regimes --table docs/benchmarks.md

The data come from the folder that FACONV_DATA names; checkpoints and generated records lie in
build/bench-regimes until they are scored.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.benchmarks.regimes.methods import METHODS
from tests.benchmarks.regimes.results import Result, append, forget, package_commit, read
from tests.benchmarks.regimes.table import markdown, put_into
from tests.benchmarks.regimes.tasks import TASKS

HOME = Path(__file__).parent
RESULTS = HOME.parent / "results" / "regimes.jsonl"
WORK = HOME.parents[2] / "build" / "bench-regimes"


def main() -> None:
    """Run what is missing, then print the table or put it into a document."""
    given = _options().parse_args()
    if given.redo:
        forget(given.results, given.redo)
    if not given.table:
        for method, task, seed in _missing(given):
            append(given.results, run(method, task, seed))
    text = markdown(read(given.results))
    if given.table:
        put_into(given.table, text)
    else:
        print(text)


def run(method: str, task: str, seed: int) -> Result:
    """Fit one method with one seed for one task, and score it."""
    print(f"{time.strftime('%H:%M:%S')} {method} {task} seed {seed}", file=sys.stderr, flush=True)
    started, asked, commit = time.monotonic(), TASKS[task], package_commit()
    folder = WORK / commit
    folder.mkdir(parents=True, exist_ok=True)
    record, name = asked.record(seed, WORK), folder / f"{method}-{task}-{seed}"
    encode = METHODS[method].fit(record, seed, name)
    found = asked.score(record, seed, encode, METHODS[method].sizes, WORK)
    for left in folder.glob(f"{name.name}.*"):
        left.unlink()
    return Result(
        method,
        task,
        seed,
        commit,
        round(time.monotonic() - started, 1),
        {
            size: {score: round(value, 5) for score, value in one.scores.items()}
            for size, one in found.items()
        },
        {size: "".join(map(str, one.labels)) for size, one in found.items() if one.labels is not None},
    )


def _missing(given: argparse.Namespace) -> list[tuple[str, str, int]]:
    """List what is asked for and not there: task by task, so that a row of all methods is there soon."""
    there = {one.key for one in read(given.results)}
    wanted = [
        (method, task, seed)
        for task in given.tasks
        for method in given.methods
        if TASKS[task].target or not METHODS[method].targeted
        for seed in range(given.seeds if METHODS[method].random or TASKS[task].random else 1)
    ]
    return [key for key in wanted if key not in there]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", type=_listed(METHODS), default=list(METHODS))
    parser.add_argument("--tasks", type=_listed(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--redo", type=_listed(METHODS), help="methods whose lines are thrown away first")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, help="put the table of what is there into this document")
    return parser


def _listed(known):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
