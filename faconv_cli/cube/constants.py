"""What a pipeline takes from elsewhere than the record; a checkpoint keeps it and needs no file again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Constants:
    """Mask, static channels, and the units that formulas and names of levels count on.

    Attributes:
        mask: (h, w) where the record is used, on its grid cut to the region; ``None`` for all points.
        static_names: (s,) names of the static channels.
        statics: (s, h, w) float32 on the grid that is worked on, mean 0 and variance 1 over the area, 0 where
            missing.
        input_units: units of the channels that formulas read, by name.
        level_units: units that levels are counted in.
    """

    mask: npt.NDArray[np.bool_] | None = None
    static_names: tuple[str, ...] = ()
    statics: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    input_units: Mapping[str, str] = field(default_factory=dict)
    level_units: tuple[str, ...] = ()
