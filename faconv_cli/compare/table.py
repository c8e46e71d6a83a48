"""Results of all runs as one table: shown, and written as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faconv_cli.compare.run import Result
from faconv_cli.files import atomic_output

TABLES = ("compare.csv", "compare.json")
Row = dict[str, float | int | None]


def summarize(results: Sequence[Result]) -> dict[str, Row]:
    """Return mean and standard deviation over seeds (``NAME std``) of every number, by encoder."""
    rows: dict[str, Row] = {}
    for encoder in dict.fromkeys(result.encoder for result in results):
        own = [result.numbers for result in results if result.encoder == encoder]
        row: Row = {"seeds": len(own)}
        for name in own[0]:
            values = [value for numbers in own if (value := numbers.get(name)) is not None]
            row[name] = float(np.mean(values)) if values else None
            row[f"{name} std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        rows[encoder] = row
    return rows


def write_tables(folder: Path, results: Sequence[Result]) -> tuple[Path, Path]:
    """Write ``compare.csv``, a row for each encoder, and ``compare.json``, which also holds every run.

    Raises:
        OutputError: they cannot be written.
    """
    rows = summarize(results)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["encoder", *names])
    writer.writerows([encoder, *(row.get(name) for name in names)] for encoder, row in rows.items())
    runs = [{"encoder": result.encoder, "seed": result.seed, **result.numbers} for result in results]
    written = folder / TABLES[0], folder / TABLES[1]
    contents = text.getvalue(), json.dumps({"encoders": rows, "runs": runs}, indent=1)
    for path, content in zip(written, contents, strict=True):
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return written


def shown(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return columns and cells for display: a row for each number, a column for each encoder."""
    rows = summarize(results)
    names = [name for name in next(iter(rows.values())) if not name.endswith(" std")]
    cells = [[name, *(_cell(row, name) for row in rows.values())] for name in names]
    return ["", *rows], cells


def _cell(row: Row, name: str) -> str:
    mean, spread = row.get(name), row.get(f"{name} std")
    if mean is None:
        return "-"
    if not spread:
        return f"{mean:.0f}" if float(mean).is_integer() or abs(mean) >= 1000 else f"{mean:.3g}"
    digits = max(0, 1 - math.floor(math.log10(spread)))  # two of the spread count
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"
