"""The results as Markdown: methods by scores, mean ± standard deviation over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.regimes.methods import METHODS, SIZES
from tests.benchmarks.regimes.results import Result
from tests.benchmarks.regimes.scores import agreement
from tests.benchmarks.regimes.tasks import CHAINS, DJFM, KINDS, NOISES

BEGIN, END = "<!-- bench-regimes: begin -->", "<!-- bench-regimes: end -->"
AGREEMENT = "seeds agree"

# title: (task, score, heading)
GROUPS: dict[str, list[tuple[str, str, str]]] = {
    "Pressure, November to March, k-means (4) on all years": [
        ("slp", "NMI with NAO", "NMI NAO"),
        ("slp", "ARI with NAO", "ARI"),
        ("slp", "NAO variance explained", "share"),
        ("slp", "halves agree", "halves agree"),
    ],
    "Pressure, probes": [
        ("slp", "type today", "type today"),
        ("slp", "type tomorrow", "tomorrow"),
        *(("slp", f"NAO R2 +{lead} d", f"NAO +{lead}") for lead in (0, 1, 3, 5)),
    ],
    "Pressure, December to March, k-means and probes of training years in test years": [
        ("slp", f"{DJFM} NMI with NAO", "NMI NAO"),
        ("slp", f"{DJFM} NAO variance explained", "share"),
        *(("slp", f"{DJFM} NAO R2 +{lead} d", f"NAO +{lead}") for lead in (0, 1, 3, 5)),
    ],
    "Robustness: adjusted Rand index of the labels of test years": [
        ("slp", AGREEMENT, "pressure, seeds"),
        ("slp", "missing points", "10 % missing"),
        ("slp", "noise", "noise of 0.5 sd"),
        ("cobe2", AGREEMENT, "temperature, seeds"),
    ],
    "Temperature, ENSO": [
        ("cobe2", "ENSO NMI", "NMI"),
        ("cobe2", "ENSO NMI, test years", "NMI, test"),
        *(("cobe2", f"ENSO +{lead} months", f"+{lead} months") for lead in (0, 3, 6)),
        ("cobe2", "SOI R2", "SOI R²"),
    ],
    "Iberia, December to February, k-means (4) of training years, rain in test years": [
        ("iberia", "share", "share"),
        ("iberia", "Brier skill", "Brier skill, 95 %"),
        ("iberia", "persistence", "persistence"),
        ("iberia", "halves agree", "halves agree"),
        ("iberia", AGREEMENT, AGREEMENT),
    ],
    **{
        f"Planted regimes, noise {noise}": [
            (f"{kind}-{noise}", method, f"{kind}, {method}")
            for kind in KINDS
            for method in ("k-means", *CHAINS[kind])
        ]
        for noise in NOISES
    },
}


def markdown(results: Sequence[Result]) -> str:
    """Make all tables; of each column the best mean is bold."""
    parts = []
    for size in map(str, SIZES[::-1]):
        for title, columns in GROUPS.items():
            rows = _rows(results, size, columns)
            shown = [i for i in range(len(columns)) if any(row[i] for row in rows.values())]
            if shown:
                cut = {method: [row[i] for i in shown] for method, row in rows.items()}
                parts.append(_one(f"{title}, {size} numbers", [columns[i][2] for i in shown], cut))
    return "\n\n".join([*parts, _origin(results)])


def _rows(
    results: Sequence[Result], size: str, columns: list[tuple[str, str, str]]
) -> dict[str, list[list[float]]]:
    """Values of the seeds, by method and column; methods without any are left out."""
    found = {}
    for method in METHODS:
        own = [one for one in results if one.method == method]
        values = [_values(own, size, task, score) for task, score, _ in columns]
        if any(values):
            found[method] = values
    return found


def _values(results: Sequence[Result], size: str, task: str, score: str) -> list[float]:
    own = [one for one in results if one.task == task]
    if score == AGREEMENT:
        return agreement([np.array(list(one.labels[size])) for one in own if size in one.labels])
    found = [one.scores.get(size, one.scores.get("all", {})) for one in own]
    return [one[score] for one in found if score in one]


def _one(title: str, headings: list[str], rows: dict[str, list[list[float]]]) -> str:
    best = [max(np.mean(row[i]) for row in rows.values() if row[i]) for i in range(len(headings))]
    lines = [f"{title}:", "", f"| | {' | '.join(headings)} |", "|" + "---|" * (len(headings) + 1)]
    for method, row in rows.items():
        cells = [_cell(values, best[i]) for i, values in enumerate(row)]
        lines.append(f"| {METHODS[method].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], best: float) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.3f}"
    if mean == f"{best:.3f}":
        mean = f"**{mean}**"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _origin(results: Sequence[Result]) -> str:
    """List the seeds that each method has by task, and the commit of the package they were measured with."""
    lines = ["| | package at | seeds by task |", "|---|---|---|"]
    origins = {(one.method, one.commit) for one in results}
    for method, commit in sorted(origins, key=lambda origin: (list(METHODS).index(origin[0]), origin[1])):
        tasks = Counter(one.task for one in results if (one.method, one.commit) == (method, commit))
        seeds = ", ".join(f"{task} {count}" for task, count in tasks.items())
        lines.append(f"| {METHODS[method].title} | `{commit}` | {seeds} |")
    return "\n".join(lines)


def put_into(path: Path, text: str) -> None:
    """Replace what is between the markers of a document."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
