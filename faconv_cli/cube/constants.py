"""What a pipeline takes from elsewhere than the record; a checkpoint keeps it and needs no file again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.time.timeaxis import TimeAxis

_EVEN = 0.1  # of a step


@dataclass(frozen=True)
class Cycle:
    """An accumulation that begins anew at fixed times of the day.

    Attributes:
        hours: after which it begins anew; infinite where it never does.
        first: hour of the day of the step that holds only what was added in it; also every ``hours`` later.
    """

    hours: float
    first: float

    def lengths(self, time: TimeAxis) -> npt.NDArray[np.float64]:
        """(t,) hours that each step reaches back."""
        step = time.step_days * 24
        if np.isinf(self.hours):
            return np.full(len(time), np.inf)
        return (time.day_fraction * 24 - self.first + _EVEN * step) % self.hours - _EVEN * step + step


NEVER = Cycle(np.inf, 0.0)  # of a total since the start of a run


@dataclass(frozen=True, eq=False)
class Constants:
    """Mask, static channels, and the units that formulas and names of levels count on.

    Attributes:
        mask: (h, w) where the record is used, on its grid cut to the region; ``None`` for all points.
        static_names: (s,) names of the static channels.
        statics: (s, h, w) float32 on the grid that is worked on, mean 0 and variance 1 over the area, 0 where
            missing.
        accumulated: channels of which differences were taken, as they were accumulated since the start of a
            forecast, with the cycle of that; ``None`` where it has none.
        input_units: units of the channels that formulas read, by name.
        level_units: units that levels are counted in.
        input_differences: which of the channels that formulas read hold differences; ``None`` where a
            checkpoint does not say.
    """

    mask: npt.NDArray[np.bool_] | None = None
    static_names: tuple[str, ...] = ()
    statics: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    input_units: Mapping[str, str] = field(default_factory=dict)
    level_units: tuple[str, ...] = ()
    input_differences: frozenset[str] | None = None
    accumulated: Mapping[str, Cycle | None] = field(default_factory=dict)
