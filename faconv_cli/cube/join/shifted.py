"""Files of one step, stamped at another place of it: some at the middle of days, some at their end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from faconv_cli.cube.join.alike import Sampling, other_steps
from faconv_cli.cube.time.rounding import Keys
from faconv_cli.cube.time.timestep import months_of
from faconv_cli.errors import InputError

_SHIFT = 0.1  # of a step, between the stamps of two files


def shifts_told(name: str, samplings: Sequence[Sampling]) -> list[str]:
    """Report files that follow each other but are stamped at different places within the step.

    Args:
        name: of their variable.
        samplings: how each file samples time, months and years apart, whose places are compared elsewhere.

    Raises:
        InputError: some are stamped at the end of intervals that their bounds tell, and others, without
            bounds, lie as far off as these did.
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
    """Pairs of files of which one begins when the one before has ended."""
    ordered = sorted(samplings, key=lambda x: int(x.keys[0]))
    return [(one, other) for one, other in pairwise(ordered) if one.keys[-1] < other.keys[0]]


def _apart(one: Keys, other: Keys, step: int) -> float:
    """Share of a step that lies between the places of two files in it, 0 to 0.5."""
    away = float((other[0] - one[-1]) % step) / step
    return min(away, 1 - away)


def _of_two_kinds(name: str, moved: Sampling, other: Sampling) -> InputError:
    return InputError(
        f"{name} is stamped at the end of its intervals in {moved.layer.field.path}, as the bounds say, and "
        f"in {other.layer.field.path}, without such bounds, at another place of them",
        wanted="the interval of each step must be known, or some dates would be late",
        do="give the other files bounds as well, or shift their stamps (cdo shifttime)",
    )


def _told(name: str, one: Sampling, other: Sampling) -> str:
    where = [f"in {x.layer.field.path} ({str(x.layer.stamps.values[0])[:19]}, ...)" for x in (other, one)]
    return (
        f"{name} is stamped at another place of its {one.step or other.step} {where[0]} than {where[1]}: "
        "each step is dated by its time stamp."
    )
