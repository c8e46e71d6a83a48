"""Defaults that suit a small record: what was not asked for gives way, and is told; pure integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from faconv_cli.config import EOF, RunConfig
from faconv_cli.errors import InputError

LEAST_STEPS = 3  # two make a line, the third says whether it goes on
LEAST_WINDOW_AHEAD = 3  # two frames are given, one is forecast
_STEPS_PER_NUMBER = 2  # of an embedding: as many EOFs as steps would hold the record itself


@dataclass(frozen=True)
class Sizes:
    """What there is to learn from.

    Attributes:
        training: lengths of the runs of training steps without a gap.
        held_out: those of the validation steps.
        values: most numbers that a field holds, channels times valid points.
    """

    training: Sequence[int]
    held_out: Sequence[int]
    values: int


def adapt(config: RunConfig, sizes: Sizes) -> tuple[RunConfig, list[str]]:
    """Shorten windows, burn-in and embedding that a record has no room for, unless they were asked for.

    Returns:
        The settings, and a sentence if some were changed.

    Raises:
        InputError: there is nothing to learn from, or too little for the embedding asked for.
    """
    steps = sum(sizes.training)
    if steps < LEAST_STEPS:
        raise InputError(
            f"the record leaves {steps} steps to train on",
            wanted=f"training needs at least {LEAST_STEPS} steps",
            do="give a longer record, or hold out less (--validation)",
        )
    changed = config
    if config.encoder.encoder != EOF or config.fit.task == "forecast":
        changed = _shorter_windows(changed, sizes)
    if config.encoder.encoder == EOF or config.fit.task == "embed":
        changed = _smaller_embedding(changed, sizes)
    return changed, _told(config, changed, steps)


def _shorter_windows(config: RunConfig, sizes: Sizes) -> RunConfig:
    """Fit window, burn-in, attended steps and what z must give back to the runs without a gap."""
    tiling, encoder, fit = config.tiling, config.encoder, config.fit
    window, burn_in, every = tiling.window, tiling.burn_in, encoder.attention_every
    if not _asked(tiling, "window"):
        window = _common_window(config, sizes)
    if not _asked(tiling, "burn_in") and (window < tiling.window or window - burn_in < every):
        burn_in = min(burn_in, window // 3)
    if not _asked(encoder, "attention_every") and tiling.stride is None:
        every = max(1, min(every, window - burn_in))
    lead, objective = fit.lead, fit.objective
    if fit.task == "embed" and not any(_asked(fit, name) for name in ("objective", "lead", "lead_weight")):
        ahead = max(sizes.training) - burn_in
        lead = tuple(one for one in lead if one < ahead) or lead[:1]
        objective = "both" if lead[0] < ahead else "reconstruct"
    return config.model_copy(
        update={
            "tiling": _with(tiling, window=window, burn_in=burn_in),
            "encoder": _with(encoder, attention_every=every),
            "fit": _with(fit, objective=objective, lead=lead),
        }
    )


def _common_window(config: RunConfig, sizes: Sizes) -> int:
    """Return the longest window, at most the default, that half of the training steps have room for."""
    tiling, fit = config.tiling, config.fit
    longest = max(sizes.training)
    if fit.task == "forecast" and sizes.held_out:
        longest = min(longest, max(sizes.held_out))
    window = min(tiling.window, longest, _half_lies_in_runs_of(sizes.training))
    if fit.task == "forecast":
        least = max(LEAST_WINDOW_AHEAD, (fit.teacher_forced or 0) + 1)
    else:
        # the burn-in takes a third of the window, where it was not asked for
        stride = tiling.stride or 1
        least = stride + (tiling.burn_in if _asked(tiling, "burn_in") else stride // 2)
    return min(tiling.window, max(window, least))


def _half_lies_in_runs_of(runs: Sequence[int]) -> int:
    """Return the length that runs which make up half of all steps have at least."""
    done = 0
    for length in sorted(runs, reverse=True):
        done += length
        if 2 * done >= sum(runs):
            return length
    raise AssertionError("runs add up to their sum")


def _smaller_embedding(config: RunConfig, sizes: Sizes) -> RunConfig:
    """Take fewer numbers per step where there are fewer to be made of."""
    encoder = config.encoder
    lags = config.lags if encoder.encoder == EOF else 1
    rows = sum(max(run - lags + 1, 0) for run in sizes.training)
    if _asked(encoder, "embedding"):
        need_room(encoder.embedding, rows, sizes.values * lags)
        return config
    most = max(1, min(encoder.embedding, rows // _STEPS_PER_NUMBER, sizes.values * lags))
    return config.model_copy(update={"encoder": _with(encoder, embedding=most)})


def need_room(count: int, rows: int, values: int) -> None:
    """Refuse an embedding of more numbers than there are EOFs.

    Raises:
        InputError: fewer steps, or valid numbers in each, than the embedding has.
    """
    if count > min(rows, values):
        raise InputError(
            f"the record has {rows} training steps of {values} valid numbers each",
            wanted=f"an embedding of {count} numbers needs at least {count} of each",
            do="pass a smaller --embedding",
        )


def _told(before: RunConfig, after: RunConfig, steps: int) -> list[str]:
    """Name what was changed, by its option."""
    changes = [
        f"--{name.replace('_', '-')} {_listed(getattr(getattr(after, section), name))}"
        for section, name in _ADAPTED
        if getattr(getattr(before, section), name) != getattr(getattr(after, section), name)
    ]
    if not changes:
        return []
    return [f"Defaults were changed to suit the record ({steps} training steps): {', '.join(changes)}."]


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


_ADAPTED = (
    ("tiling", "window"),
    ("tiling", "burn_in"),
    ("encoder", "attention_every"),
    ("encoder", "embedding"),
    ("fit", "objective"),
    ("fit", "lead"),
)


def _asked(section: BaseModel, name: str) -> bool:
    return name in section.model_fields_set


def _with(section: Any, **changes: object) -> Any:
    """Copy a section with what has changed; the rest stays a default."""
    new = {name: value for name, value in changes.items() if getattr(section, name) != value}
    return section.model_copy(update=new)
