"""Settings from a TOML file and from options, before they are checked as a whole."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from faconv_cli.errors import UsageError

_OF_ONE_TASK = {
    "embed": (
        *("objective", "lead", "lead_weight", "eof_share", "causal"),
        *("target", "target_weight", "target_lead"),
    ),
    "forecast": ("teacher_forced", "skip", "closed_loop"),
}


def eof_tiling(given: Mapping[str, Any], task: object) -> dict[str, Any]:
    """Give the tiling of EOFs: one step, unless a window (to forecast, a burn-in) asks for extended ones."""
    if task == "forecast":
        return {"burn_in": 0, **given}
    window = given.get("window", 1)
    return {"window": window, "burn_in": window - 1 if isinstance(window, int) else 0, **given}


def check_used(merged: Mapping[str, Mapping[str, Any]], origin: str) -> None:
    """Refuse settings that the task would not read.

    Raises:
        UsageError: there is one.
    """
    task = merged["fit"].get("task", "embed")
    given = {key for section in merged.values() for key in section}
    for other, names in _OF_ONE_TASK.items():
        unused = [name for name in names if name in given and other != task]
        if unused:
            raise UsageError(
                f"{origin}: {unused[0]} with task {task}",
                wanted=f"it is for the task {other}",
                do="drop it, or choose that --task",
            )
    closed_loop = merged["fit"].get("closed_loop") or merged["encoder"].get("skip") is False
    if closed_loop and "dropout" in given:
        raise UsageError(
            f"{origin}: dropout in closed loop",
            wanted="it is for forecasts of all leads at once",
            do="drop it, or leave --closed-loop and --no-skip out",
        )
    leads = [name for name in ("lead", "lead_weight") if name in given]
    if leads and merged["fit"].get("objective") == "reconstruct":
        raise UsageError(
            f"{origin}: {leads[0]} with objective reconstruct",
            wanted="the field now has no leads",
            do="drop it, or choose another --objective",
        )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        UsageError: it is none that can be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path}: {error}", wanted="the configuration must be a TOML file", do="correct it"
        ) from None


def first_complaint(error: ValidationError) -> str:
    """Tell the first thing that is wrong, and with which setting."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def check_leads(leads: Sequence[int], origin: str) -> None:
    """Refuse leads that are not in rising order: those of a file are a coordinate.

    Raises:
        UsageError: one comes twice, or after a longer one.
    """
    rising = sorted(set(leads))
    if list(leads) != rising:
        raise UsageError(
            f"{origin}: lead {','.join(map(str, leads))}",
            wanted="each lead is given once, the shortest first",
            do=f"give {','.join(map(str, rising))}, and weights in that order",
        )
