"""The time axis: stamps of any CF calendar, the step between them, and the gaps no window may cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class TimeAxis:
    """Time stamps of a cube, strictly increasing.

    Attributes:
        values: (t,) datetime64[ns], or cftime objects for other calendars and far years.
        calendar: CF name of the calendar (``standard``, ``noleap``, ``360_day``, ...).
        step: the usual step, as text: ``1 day``, ``6 hours``, ``1 month``, ``1 year``.
        segments: runs [start, stop) of indices without a gap, in order, covering the axis.
    """

    values: np.ndarray
    calendar: str
    step: str
    segments: tuple[tuple[int, int], ...]
