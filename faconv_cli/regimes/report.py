"""Regimes as plain numbers, for JSON and tables."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from faconv_cli.regimes import selection
from faconv_cli.regimes.cluster import RegimeModel
from faconv_cli.regimes.result import Regimes
from faconv_cli.regimes.statistics import MISSING, Separation
from faconv_cli.regimes.target import TargetScores


def summary(regimes: Regimes) -> dict[str, Any]:
    """Everything but the fields, as JSON can hold it; NaN becomes None."""
    found = regimes.persistence
    columns = (found.steps, found.share, found.spells, found.mean_duration, found.persistence)
    names = ("steps", "share", "spells", "mean_duration", "persistence")
    return {
        "method": regimes.model.method,
        "clusters": regimes.k,
        "modes": regimes.model.centroids.shape[1],
        "season": regimes.season.name,
        "seed": regimes.seed,
        "assigned_from": regimes.assigned or None,
        "time_step": regimes.embedding.time.step,
        "labelled_steps": int((regimes.labels != MISSING).sum()),
        "regimes": [
            {"regime": number + 1, **dict(zip(names, map(_number, row), strict=True))}
            for number, row in enumerate(zip(*columns, strict=True))
        ],
        "transition": [[_number(value) for value in row] for row in found.transition],
        "model": _model(regimes.model),
        "separation": {
            "embedding": _scores(regimes.separation),
            "input": _scores(regimes.input_separation),
        },
        "criterion": _criterion(regimes),
        "targets": [_target(scores) for scores in regimes.targets],
        "notes": list(regimes.notes),
    }


def _model(model: RegimeModel) -> dict[str, Any] | None:
    """What a hidden Markov model says of spells; None for the other methods."""
    if model.transition is None or model.expected_duration is None:
        return None
    return {
        "transition": [[_number(value) for value in row] for row in model.transition],
        "expected_duration": [_number(value) for value in model.expected_duration],
    }


def _scores(scores: Separation | None) -> dict[str, Any] | None:
    return None if scores is None else {name: _number(value) for name, value in asdict(scores).items()}


def _target(scores: TargetScores) -> dict[str, Any]:
    plain = asdict(scores) | {"period": list(scores.period)}
    for name in ("persistence", "stability"):
        plain[name] = _number(plain[name])
    for name in ("share", "brier_skill"):
        value, *interval = map(_number, getattr(scores, name))
        plain |= {name: value, f"{name}_interval": interval}
    return plain


def _criterion(regimes: Regimes) -> dict[str, Any] | None:
    tried = regimes.criterion
    if tried is None:
        return None
    columns = (tried.clusters, tried.reproducibility, tried.red_noise, tried.skill)
    names = ("clusters", "reproducibility", "red_noise", "skill")
    return {
        "description": selection.DESCRIPTION,
        "chosen": tried.chosen,
        "p_value": tried.p_value,
        "significant": tried.significant,
        "scores": [dict(zip(names, map(_number, row), strict=True)) for row in zip(*columns, strict=True)],
    }


def _number(value: Any) -> int | float | None:
    plain = np.asarray(value).item()
    return None if isinstance(plain, float) and math.isnan(plain) else plain
