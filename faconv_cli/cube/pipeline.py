"""From files and settings to the cube that is worked on: everything of `DataConfig`, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faconv_cli.config import DataConfig
from faconv_cli.cube.coarsen import coarsen
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.region import cut_region
from faconv_cli.cube.season import keep_season
from faconv_cli.cube.smooth import smooth
from faconv_cli.cube.source import open_cube


def open_record(paths: Sequence[str | Path], data: DataConfig) -> Cube:
    """Open files and make of them what the settings say; nothing but coordinates is read.

    In this order: region, coarsening, running means, season and time range, so that a mean reaches back to
    steps that are then left out. Anomalies, trend and the hold-out belong to the training period.

    Raises:
        InputError: a file that cannot be read, or that does not have what was asked for.
        UsageError: settings that contradict each other or the data.
    """
    cube = open_cube(
        paths,
        variables=data.variables,
        levels=data.levels,
        time_dim=data.time_dim,
        time_index=data.time_index,
        member=data.member,
        step=data.step,
        engine=data.engine,
    )
    if data.region is not None:
        cube = cut_region(cube, data.region)
    if data.coarsen is not None:
        cube = coarsen(cube, data.coarsen)
    if data.smooth is not None:
        cube = smooth(cube, data.smooth)
    if data.season is not None:
        cube = keep_season(cube, data.season)
    return cube.slice(*cube.time.indices_of(data.time_range)) if data.time_range else cube
