"""What regimes are worth on other data: composites of the fields, and scores of targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.time.sametime import match_steps
from faconv_cli.regimes.composites import (
    MAX_INPUT_NUMBERS,
    Composites,
    Origin,
    composites,
    input_separation,
    match_labels,
)
from faconv_cli.regimes.embedding import season_rows
from faconv_cli.regimes.rednoise import steps_apart
from faconv_cli.regimes.result import Regimes
from faconv_cli.regimes.significance import T_TEST, red_noise_regimes
from faconv_cli.regimes.statistics import MISSING
from faconv_cli.regimes.target import FEWEST_YEARS, score_target, stability_of

DOUBT = 0.3  # of the embedding's variance told from a field, above which it may be part of what was embedded


def add_data(regimes: Regimes, cube: Cube, advance: Callable[[], None] = lambda: None) -> Regimes:
    """Add composites of the data, and the separation on them where they are small enough.

    Raises:
        InputError: the data have none of the labelled steps.
    """
    sources = ", ".join(cube.sources)
    step = regimes.embedding.data_step or regimes.embedding.time.step
    labels = match_labels(cube.time, regimes.embedding.time, regimes.labels, sources, step)
    notes, score = list(regimes.notes), input_separation(cube, labels)
    absent = int((regimes.labels != MISSING).sum() - (labels != MISSING).sum())
    if absent:
        notes.append(f"{absent} labelled steps are not in the data and not in the composites")
    if cube.time.step != step:
        count = int((labels != MISSING).sum())
        notes.append(
            f"the data have a step of {cube.time.step}, the labels of {step}: composites are of the {count} "
            "steps with a label"
        )
    if score is None and regimes.separation is not None:
        notes.append(
            "separation on the input is not computed: it needs points with a value at each labelled "
            f"step, and at most {MAX_INPUT_NUMBERS:,} numbers"
        )
    fields = composites(cube, labels, regimes.k, _origin(regimes, cube), advance)
    notes.extend(_significance_notes(fields, regimes))
    return replace(
        regimes,
        composites=fields,
        input_separation=score,
        notes=tuple(notes),
        data_sources=cube.sources,
        data_notes=(*cube.notes, *cube.masked),
    )


def add_targets(regimes: Regimes, targets: Sequence[tuple[str, Cube, int]]) -> Regimes:
    """Add how well the regimes predict targets outside the training period of the embedding's checkpoint.

    Args:
        regimes: found or assigned.
        targets: FILE[:VARIABLE] as given, opened, and the lead time in steps.

    Raises:
        InputError: see `score_target`.
    """
    embedding, method = regimes.embedding, regimes.model.method
    rows = season_rows(embedding, regimes.season)
    stability = stability_of(embedding, regimes.labels, method, regimes.k, rows, seed=regimes.seed or 0)
    scores = [
        score_target(
            embedding, regimes.labels, regimes.k, cube, source=source, lead=lead, stability=stability
        )
        for source, cube, lead in targets
    ]
    notes = list(regimes.notes)
    if not regimes.assigned:
        notes.append(
            "the regimes were found on all steps, including those on which targets are scored (but not on "
            "the targets); for regimes of the training period alone, cluster its embedding and --assign them"
        )
    if any(score.validation for score in scores):
        notes.append(
            f"less than {FEWEST_YEARS} years lie beyond the validation period, which chose the "
            "network: targets are scored on it as well"
        )
    return replace(regimes, targets=tuple(scores), notes=tuple(notes))


def _origin(regimes: Regimes, cube: Cube) -> Origin:
    """Report what the regimes come from."""
    embedding, method, null = regimes.embedding, regimes.model.method, None
    if regimes.seed is not None and method != "hdbscan":
        rows = np.flatnonzero((regimes.labels > 0) & embedding.warm)
        apart = steps_apart(embedding.time, rows)
        null = partial(red_noise_regimes, method, embedding.values[rows], apart, regimes.k, seed=regimes.seed)
    matched = match_steps(cube.time, embedding.time)
    modes = np.where(matched[:, None] >= 0, embedding.values[matched], np.nan)
    return Origin(frozenset(embedding.channels), modes, null)


def _significance_notes(found: Composites, regimes: Regimes) -> list[str]:
    by_test: dict[str, list[str]] = {}
    for channel, test in zip(found.channels, found.tests, strict=True):
        by_test.setdefault(test, []).append(channel.name)
    notes = [f"p-values of {', '.join(names)}: {test}" for test, names in by_test.items()]
    for channel, test, embedded, told in zip(
        found.channels, found.tests, found.embedded, found.told, strict=True
    ):
        if test == T_TEST and (doubt := _doubt(channel.name, embedded, told, regimes)):
            notes.append(doubt)
    return notes


def _doubt(name: str, embedded: bool, told: float, regimes: Regimes) -> str:
    """Report where a t test finds too much significant; empty if there is no sign of that."""
    if regimes.assigned and not regimes.refound:
        return ""
    if embedded and regimes.assigned:
        return (
            f"{name} was embedded, and {regimes.refound} of the steps have a regime in {regimes.assigned} "
            "too: on steps that the regimes were found on, the t test calls too much significant"
        )
    if embedded:
        return (
            f"{name} was embedded, and {regimes.model.method} finds no regimes in red noise to compare with: "
            "the t test calls too much significant"
        )
    if told > DOUBT:
        return (
            f"{told:.0%} of the embedding's variance can be told from {name}: were it embedded under another "
            "name, the t test would call too much significant"
        )
    return ""
