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
    """Return the tiling of EOFs: one step, unless a window (to forecast, a burn-in) asks for more."""
    if task == "forecast":
        return {"burn_in": 0, **given}
    window = given.get("window", 1)
    return {"window": window, "burn_in": window - 1 if isinstance(window, int) else 0, **given}


def option(key: str) -> str:
    """The option of a setting, as a user types it."""
    return f"--{key.replace('_', '-')}"


def check_used(merged: Mapping[str, Mapping[str, Any]], named: Mapping[str, str]) -> None:
    """Refuse settings that the task would not read.

    Args:
        merged: the given settings, by section.
        named: how a user gave each: its option, or its key in a file.

    Raises:
        UsageError: there is one.
    """
    task = merged["fit"].get("task", "embed")
    for other, names in _OF_ONE_TASK.items():
        unused = [name for name in names if name in named and other != task]
        if unused:
            raise UsageError(
                f"{named[unused[0]]} was given with --task {task}",
                wanted=f"this setting is for --task {other}",
                do="drop it, or choose that task",
            )
    closed_loop = merged["fit"].get("closed_loop") or merged["encoder"].get("skip") is False
    if closed_loop and "dropout" in named:
        raise UsageError(
            f"{named['dropout']} was given in closed loop",
            wanted="dropout is for forecasts of all lead times at once",
            do="drop it, or leave out --closed-loop and --no-skip",
        )
    leads = [name for name in ("lead", "lead_weight") if name in named]
    if leads and merged["fit"].get("objective") == "reconstruct":
        raise UsageError(
            f"{named[leads[0]]} was given with --objective reconstruct",
            wanted="the field now has no lead times",
            do="drop it, or choose another --objective",
        )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path}: {error}", wanted="the configuration must be a TOML file", do="correct the file"
        ) from None


def first_complaint(error: ValidationError, named: Mapping[str, str]) -> str:
    """Return the first complaint, with the setting that it is about."""
    first = error.errors()[0]
    keys = first["loc"][1:2]  # after the section
    message = first["msg"].removeprefix("Value error, ")
    return f"{named.get(str(keys[0]), option(str(keys[0])))}: {message}" if keys else message


def check_leads(leads: Sequence[int], named: Mapping[str, str]) -> None:
    """Refuse lead times that do not increase: in files they are a coordinate.

    Raises:
        UsageError: one comes twice, or after a longer one.
    """
    rising = sorted(set(leads))
    if list(leads) != rising:
        raise UsageError(
            f"{named.get('lead', '--lead')} is {','.join(map(str, leads))}",
            wanted="each lead time is given once, the shortest first",
            do=f"give {','.join(map(str, rising))}, and weights in that order",
        )
