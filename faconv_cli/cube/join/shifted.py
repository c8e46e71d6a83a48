"""Find files stamped at different places in their step: some at the middle of days, some at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from faconv_cli.cube.join.alike import Sampling, other_steps
from faconv_cli.cube.time.rounding import Keys
from faconv_cli.cube.time.timestep import months_of
from faconv_cli.errors import InputError

_SHIFT = 0.1  # of a step; larger shifts between the stamps of two files are reported


def shifts_told(name: str, samplings: Sequence[Sampling]) -> list[str]:
    """Report consecutive files that are stamped at different places in the step.

    Args:
        name: name of the variable.
        samplings: how each file samples time; monthly and yearly files are skipped here (see `alike`).

    Raises:
        InputError: if some files are stamped at the end of intervals given by bounds, and others, without
            bounds, are stamped elsewhere.
    """
    own = [one for one in samplings if len(one.keys) and not (one.step and months_of(one.step))]
    if len(own) < 2:
        return []
    steps = np.diff(np.unique(np.concatenate([one.keys for one in own])))
    step = int(np.median(steps)) if len(steps) else 0
    if not step:
        return []
    inside = [(one, other) for one, other in _in_a_row(own) if _apart(one.keys, other.keys, step) > _SHIFT]
    for one, other in inside:
        if one.layer.stamps.moved != other.layer.stamps.moved:
            raise _of_two_kinds(name, *sorted((one, other), key=lambda x: not x.layer.stamps.moved))
    told = [(one, other) for one, other in inside if one.step or other.step]
    return [_told(name, one, other) for one, other in told if not other_steps(one, other)][:1]


def _in_a_row(samplings: Sequence[Sampling]) -> list[tuple[Sampling, Sampling]]:
    """Return pairs of files in which the second begins after the first ends."""
    ordered = sorted(samplings, key=lambda x: int(x.keys[0]))
    return [(one, other) for one, other in pairwise(ordered) if one.keys[-1] < other.keys[0]]


def _apart(one: Keys, other: Keys, step: int) -> float:
    """Return the shift between the places of two files in the step, as a share of it from 0 to 0.5."""
    away = float((other[0] - one[-1]) % step) / step
    return min(away, 1 - away)


def _of_two_kinds(name: str, moved: Sampling, other: Sampling) -> InputError:
    return InputError(
        f"{name} is stamped at the end of its intervals in {moved.layer.field.path} (by its bounds), but "
        f"at another place in {other.layer.field.path}, which has no such bounds",
        wanted="the interval of each step must be known, or some dates would be late",
        do="add time bounds to the other files, or shift their stamps (cdo shifttime)",
    )


def _told(name: str, one: Sampling, other: Sampling) -> str:
    where = [f"in {x.layer.field.path} ({str(x.layer.stamps.values[0])[:19]}, ...)" for x in (other, one)]
    return (
        f"{name} is stamped at another place in its {one.step or other.step} {where[0]} than {where[1]}; "
        "the stamps are used as they are."
    )
