"""Data that a checkpoint is to be run on: opened as in training, and checked to be of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import diurnal_left
from faconv_cli.cube.pipeline import open_record
from faconv_cli.cube.shape.derive import parse_all
from faconv_cli.cube.shape.trainedunits import in_units, same_kind
from faconv_cli.cube.size import eased
from faconv_cli.errors import CheckpointError

_DAYS_OF_A_MONTH = 30.4
_LARGEST_SHIFT = 0.25  # of a month
GRID_TOLERANCE_DEG = 1e-3  # GRIB keeps microdegrees, NetCDF often float32


def open_matching(checkpoint: Checkpoint, paths: Sequence[str | Path], **asked: Any) -> Cube:
    """Open files with the pipeline of a training, and give the channels its network reads.

    Args:
        checkpoint: whose settings, mask and units are replayed.
        paths: files of one record.
        asked: settings of `DataConfig` that take the place of those of the training; None for no such one.

    Raises:
        InputError: a file that cannot be read, or that does not have what is needed.
        CheckpointError: the data are of another kind; names the difference.
    """
    settings = checkpoint.config.data.replayed(**asked)
    return eased(match_cube(checkpoint, open_record(paths, settings, checkpoint.constants)))


def match_cube(checkpoint: Checkpoint, cube: Cube) -> Cube:
    """Pick the checkpoint's channels out of a cube, in its units, and check that it is of the same kind.

    Raises:
        CheckpointError: channels, quantities, time step or grid differ; names the difference.
        UsageError: several members of an ensemble, one after another.
    """
    cube.time.need_one_pass()
    names = [channel.name for channel in cube.channels]
    missing = [channel.name for channel in checkpoint.channels if channel.name not in names]
    if missing:
        raise CheckpointError(
            f"the data have no {', '.join(missing)} (they have {', '.join(names)})",
            wanted=f"the checkpoint reads {', '.join(c.name for c in checkpoint.channels)}",
            do="add the file that holds it, or map it with --variables CHANNEL=NAME",
        )
    cube = cube.pick([names.index(channel.name) for channel in checkpoint.channels])
    for ours, theirs in zip(cube.channels, checkpoint.channels, strict=True):
        if ours.anomaly != theirs.anomaly:
            raise CheckpointError(
                f"{ours.name} is {_as_it_is(ours)}",
                wanted=f"the checkpoint was trained on {_as_it_is(theirs)}",
                do="embed data that were prepared in the same run as the training data",
            )
    derived = {expression.name for expression in parse_all(checkpoint.config.data.derive)}
    differences = {channel.name for channel in checkpoint.channels if channel.difference}
    same_kind(cube, differences, among={*names} - derived)  # derived channels are as the formula makes them
    units = {channel.name: channel.units for channel in checkpoint.channels}
    cube = in_units(cube, units, _usual_values(checkpoint))
    if cube.time.step != checkpoint.time_step:
        raise CheckpointError(
            f"the data have a time step of {cube.time.step}",
            wanted=f"the checkpoint was trained on steps of {checkpoint.time_step}",
            do="aggregate the data to that step, or train on these",
        )
    _check_grid(checkpoint, cube)
    cube = _weighted_as_in_training(checkpoint, cube).noted(*_stamped_elsewhere(checkpoint, cube))
    return cube.noted(*diurnal_left(checkpoint.climatology.kind, cube))


def _usual_values(checkpoint: Checkpoint) -> dict[str, float]:
    """What values of each channel were about in training."""
    usual = checkpoint.climatology.usual() + checkpoint.normalizer.mean
    return {channel.name: float(value) for channel, value in zip(checkpoint.channels, usual, strict=True)}


def _stamped_elsewhere(checkpoint: Checkpoint, cube: Cube) -> list[str]:
    """Report months that are stamped at another place than in training: they may be other months."""
    if cube.time.step_months is None:
        return []
    first = checkpoint.climatology.period[0]
    theirs = (int(first[:10].rpartition("-")[2]) - 1) / _DAYS_OF_A_MONTH
    if abs(float(cube.time.month_fraction.mean()) - theirs) <= _LARGEST_SHIFT:
        return []
    return [
        f"Steps are stamped at another time of the month ({cube.time.labels[0]}) than in training ({first}): "
        "if one of them stamps the end of its months, the climatology is that of other months."
    ]


def _weighted_as_in_training(checkpoint: Checkpoint, cube: Cube) -> Cube:
    """Take the cell areas of the training, where these files have none or others."""
    ours, theirs = cube.grid.cell_area, checkpoint.cell_area
    if ours is theirs or (ours is not None and theirs is not None and np.array_equal(ours, theirs)):
        return cube
    alike = ours is not None and theirs is not None and np.allclose(ours, theirs, rtol=1e-6, atol=0)
    cube = replace(cube, grid=replace(cube.grid, cell_area=theirs))
    if alike:  # but for the rounding of coordinates
        return cube
    return cube.noted(
        "Points are weighted as in training, by "
        + ("areas from their coordinates." if theirs is None else "the cell areas of its files.")
    )


def _as_it_is(channel: Channel) -> str:
    return f"prepared, less its {channel.anomaly}" if channel.anomaly else "a field as it is, not prepared"


def _check_grid(checkpoint: Checkpoint, cube: Cube) -> None:
    if cube.grid.shape != checkpoint.grid_shape:
        raise CheckpointError(
            f"the data have a grid of {cube.grid.shape[0]} x {cube.grid.shape[1]} points",
            wanted=f"the checkpoint was trained on {checkpoint.grid_shape[0]} x {checkpoint.grid_shape[1]}",
            do="regrid the data, or train on these",
        )
    if cube.grid.lat.ndim != checkpoint.lat.ndim:
        kinds = {1: "two axes", 2: "2-D coordinates"}
        raise CheckpointError(
            f"the grid of the data has {kinds[cube.grid.lat.ndim]}",
            wanted=f"the checkpoint was trained on one of {kinds[checkpoint.lat.ndim]}; this version "
            "of faconv reads a mesh of two axes as one",
            do="train on these data",
        )
    for name, ours, theirs in (
        ("latitudes", cube.grid.lat, checkpoint.lat),
        ("longitudes", cube.grid.lon, checkpoint.lon),
    ):
        difference = _apart(ours, theirs)
        if name == "longitudes":
            difference = np.minimum(difference, np.abs(difference - 360))
        if difference.max() > GRID_TOLERANCE_DEG:
            if _apart(np.sort(ours, axis=None), np.sort(theirs, axis=None)).max() <= GRID_TOLERANCE_DEG:
                raise CheckpointError(
                    f"the data's {name} are those of the checkpoint in another order",
                    wanted="a grid of 2-D coordinates must have its points in the order of the training",
                    do="put the data into that order, or train on these",
                )
            raise CheckpointError(
                f"the data's {name} run from {np.nanmin(ours):g} to {np.nanmax(ours):g}",
                wanted=f"those of the checkpoint run from {np.nanmin(theirs):g} to {np.nanmax(theirs):g}",
                do="regrid the data, or train on these",
            )


def _apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far coordinates are apart; infinitely where only one of them is missing."""
    if ours.shape != theirs.shape:
        return np.array([np.inf])
    missing = np.isnan(ours), np.isnan(theirs)
    difference = np.where(missing[0] & missing[1], 0, np.abs(ours - theirs))
    return np.where(missing[0] == missing[1], difference, np.inf)
