"""The only room that prints: results on stdout; log, tables of progress and errors on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from faconv_cli.errors import OutputError

SECONDS_BETWEEN_LINES = 5.0
_FOR_PROGRAMMERS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    ResourceWarning,
)
WIDTH_OFF_A_TERMINAL = 120


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the application: whoever closed our output (| head) has seen enough."""
        raise BrokenPipeError


@dataclass
class Terminal:
    """Where and how to print, set once by the global options."""

    quiet: bool = False
    json_log: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def out(self) -> Console:
        """Console for results."""
        width = None if sys.stdout.isatty() else WIDTH_OFF_A_TERMINAL
        return _Console(file=sys.stdout, highlight=False, width=width)

    @property
    def err(self) -> Console:
        """Console for everything else."""
        return _Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


terminal = Terminal()


def nowhere() -> TextIO:
    """Open a stream whose text is lost."""
    return Path(os.devnull).open("w", encoding="utf-8")  # open as long as the process


@contextmanager
def _on_stdout() -> Iterator[None]:
    """Turn what stdout refuses (a full disk behind a redirection) into an error.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = nowhere()  # what is left must not be tried again
        raise OutputError(
            f"standard output: {error.strerror}",
            wanted="results are written there",
            do="make room for them, or redirect the output",
        ) from None


def result(text: str) -> None:
    """Print a line that is a result."""
    with _on_stdout():
        terminal.out.print(text, markup=False, soft_wrap=True)


def result_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    with _on_stdout():
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def note(text: str, **fields: Any) -> None:
    """Print a line of the log on stderr; as a JSON object where the log is JSON."""
    if terminal.quiet:
        return
    if terminal.json_log:
        sys.stderr.write(json.dumps({"message": text, **fields}, default=str) + "\n")
    else:
        terminal.err.print(text, markup=False)


@contextmanager
def library_warnings() -> Iterator[None]:
    """Turn what libraries say to their users into sentences of the log, each once; the only place that does.

    Warnings for programmers (of what a library will change or drop) are left out. Whoever knows a warning,
    and deals with what it is about, leaves it out where it arises.
    """
    told, show, handlers = set[str](), warnings.showwarning, logging.root.handlers

    def tell(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        told_before, text = len(told), f"{_library(filename)} warns: {_sentence(str(message))}"
        told.add(text)
        if len(told) > told_before and not issubclass(category, _FOR_PROGRAMMERS):
            note(text)

    warnings.showwarning, logging.root.handlers = tell, [_LogOfLibraries(logging.WARNING)]
    try:
        yield
    finally:
        warnings.showwarning, logging.root.handlers = show, handlers


class _LogOfLibraries(logging.Handler):
    """Notes what libraries log, in one line and without a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        note(f"{record.name.partition('.')[0]} warns: {_sentence(record.getMessage())}")


def _library(filename: str) -> str:
    """Name the package of a module by its file."""
    parts = Path(filename).parts
    after = next((n for n, part in enumerate(parts, 1) if part in ("site-packages", "dist-packages")), None)
    return "faconv" if after is None or after == len(parts) else parts[after].removesuffix(".py")


def _sentence(text: str) -> str:
    """Shorten a library's message to its first paragraph, in one line that ends as a sentence."""
    line = " ".join(text.strip().partition("\n\n")[0].split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def fail(text: str, exit_code: int) -> None:
    """Print an error on stderr, quiet or not."""
    if terminal.json_log:
        sys.stderr.write(json.dumps({"error": text, "exit_code": exit_code}) + "\n")
    else:
        terminal.err.print(f"[bold red]error:[/] {_escape(text)}", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table of results; columns of numbers are aligned right."""
    cells = [[str(cell) for cell in row] for row in rows]
    shown = Table(title=title or None, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        numeric = all(row[number][:1] in "0123456789-+." for row in cells)
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        shown.add_row(*map(_escape, row))
    with _on_stdout():
        terminal.out.print(shown)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[ProgressLine]:
    """Show how far a loop is: a bar on a terminal, else a line each few seconds."""
    line = ProgressLine(label, total)
    with line:
        yield line


class ProgressLine:
    """What `progress` yields; call `advance` once per piece of work."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total, self._done = label, total, 0
        self._started = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty() and not terminal.quiet and not terminal.json_log:
            columns: tuple[ProgressColumn, ...] = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} {task.fields[text]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=terminal.err)
            self._task = self._bar.add_task(label, total=total, text="")

    def __enter__(self) -> ProgressLine:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, text: str = "", *, count: int = 1, **fields: Any) -> None:
        """Count ``count`` pieces of work; ``text`` and ``fields`` say how it went."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, advance=count, text=f"{text} {self._rate():.2f}/s")
            return
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            per_second = self._rate()
            left = f", {(self._total - self._done) / per_second:.0f} s left" if self._total else ""
            note(
                f"{self._label} {self._done}/{self._total or '?'} {text} ({per_second:.2f}/s{left})",
                done=self._done,
                total=self._total,
                **fields,
            )

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._started, 1e-9)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
