"""From files and settings to the cube that is worked on: everything of `DataConfig`, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faconv_cli.config import DataConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.source import open_cube


def open_record(paths: Sequence[str | Path], data: DataConfig) -> Cube:
    """Open files and choose from them what the settings say; nothing but coordinates is read.

    Anomalies, trend and the hold-out are not the files' business: they belong to the training period.

    Raises:
        InputError: a file that cannot be read, or that does not have what was asked for.
        UsageError: settings that contradict each other.
    """
    cube = open_cube(
        paths, variables=data.variables, levels=data.levels, time_dim=data.time_dim, engine=data.engine
    )
    return cube.slice(*cube.time.indices_of(data.time_range)) if data.time_range else cube
