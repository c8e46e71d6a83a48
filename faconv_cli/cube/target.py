"""A target: a field or a series that stands beside a record in time, from files of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.config import DataConfig
from faconv_cli.cube.axes.conventions import joined
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.fixed import file_and_names
from faconv_cli.cube.time.sametime import match_periods
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError, UsageError

LEAST_VALID_SHARE = 0.5  # of the area that has values in training; else a step of a target is unknown


def open_target(text: str, data: DataConfig) -> Cube:
    """Open ``FILE[:VARIABLE]`` as a cube of one channel, on a grid of its own.

    A series, of a file without latitude and longitude or of a table (CSV), is a field of one point. Nothing
    but coordinates is read.

    Args:
        text: the file, and which variable (or column, or channel such as ``z500``) is meant.
        data: what was done to the record; steps are numbered, unstructured grids brought to a regular one
            and further values taken as missing alike.

    Raises:
        InputError: no such file or variable, several to choose from, or no time axis.
    """
    path, names = file_and_names(text)
    cube = open_cube(
        [path],
        variables=names or None,
        time_index=data.time_index,
        regrid=data.regrid,
        missing_value=data.missing_value,
        series=True,
    )
    if len(cube.channels) > 1:
        raise InputError(
            f"{text} has several variables: {joined(channel.name for channel in cube.channels)}",
            wanted="--target takes a single variable",
            do="name it, as in --target FILE:VARIABLE",
        )
    cube.time.need_one_pass()
    return cube


def steps_of_target(time: TimeAxis, target: Cube, lead: int) -> npt.NDArray[np.int64]:
    """Find for each step of a record the target's step ``lead`` steps later, in the same run; -1 where none.

    Args:
        time: of the record.
        target: as opened.
        lead: in steps of the record.

    Raises:
        UsageError: the record is of several members of an ensemble.
        InputError: another calendar or another step.
    """
    if len(time.passes) > 1:
        raise UsageError(
            f"--target cannot be used with {len(time.passes)} ensemble members (--member all)",
            wanted="each member would need its own target",
            do="select one with --member",
        )
    now = match_periods(time, target.time, joined(target.sources))
    return steps_later(time, now, lead, -1)


def steps_later(time: TimeAxis, values: npt.NDArray[np.generic], lead: int, missing: int) -> npt.NDArray[Any]:
    """Value for each step of a record (t,) of the step ``lead`` later in its run, or ``missing``."""
    later = np.full_like(values, missing)
    for start, stop in time.segments:
        later[start : max(stop - lead, start)] = values[min(start + lead, stop) : stop]
    return later


def target_cycle(kind: Kind, target: Cube) -> Kind:
    """Seasonal cycle to subtract from a target: that of the record, or the mean if that is done already."""
    return "mean" if kind == "none" or target.channels[0].anomaly else kind


def known_steps(target: Cube, valid: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """(s,) steps of a target with values in enough of the area that has some in the training period.

    Args:
        target: of s steps.
        valid: (h, w) share of the training steps at which a point holds a value.
    """
    area = target.grid.area
    least = LEAST_VALID_SHARE * float((valid * area).sum())
    shares = [
        (np.isfinite(target.read(start, stop)[:, 0]) * area).sum((-2, -1)) for start, stop in target.blocks()
    ]
    return np.asarray(np.concatenate(shares) >= least)
