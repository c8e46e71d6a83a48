"""The results file: one line of JSON for each method, seed and task, written as soon as it is there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PACKAGE = "faconv_cli"


@dataclass(frozen=True)
class Result:
    """One line.

    Attributes:
        method: a key of `METHODS`.
        task: a key of `TASKS`.
        seed: of the fit, and of the record where it is generated.
        commit: the last one that changed the package; with a + where it was changed since.
        seconds: of this process and those it started, on the clock.
        scores: by size (numbers per step, or "all"), then by name.
        labels: by size, the regimes of the test steps, a digit each; empty where there are none.
    """

    method: str
    task: str
    seed: int
    commit: str
    seconds: float
    scores: dict[str, dict[str, float]]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        """What there is one line of."""
        return self.method, self.task, self.seed


def read(path: Path) -> list[Result]:
    """Read all lines; of several with one key the last counts. None where there is no such file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return list({one.key: one for one in (Result(**json.loads(line)) for line in lines)}.values())


def append(path: Path, result: Result) -> None:
    """Add one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def forget(path: Path, methods: Iterable[str]) -> None:
    """Take the lines of methods out, so that they are done again."""
    kept = [one for one in read(path) if one.method not in set(methods)]
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in kept))


def package_commit() -> str:
    """Name the code that is measured."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", f":/{PACKAGE}")
    return git("log", "-1", "--format=%h", "--abbrev=8", "--", f":/{PACKAGE}") + "+" * bool(changed)
