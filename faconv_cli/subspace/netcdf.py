"""What the variables of channels are called and say in the files of this room, and fields put into them."""

from __future__ import annotations

import re
from dataclasses import replace

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.encode import FILL
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.units.units import units_metadata


def channel_attributes(channel: Channel, *, anomaly: bool) -> dict[str, str]:
    """Return the attributes of a channel, or of its anomaly, for which there is no standard name."""
    told = replace(channel, difference=True) if anomaly else channel
    standard_name = "" if anomaly else channel.standard_name
    return {
        "units": channel.units or "1",
        "units_metadata": units_metadata(told),
        "standard_name": standard_name,
    }


def plain_name(name: str) -> str:
    """Return a valid name of a variable."""
    return re.sub(r"\W", "_", name)


def variable_names(checkpoint: Checkpoint) -> list[str]:
    """Name the variables of the channels, apart from the names that our files use themselves."""
    own = {*schema.TAKEN, *checkpoint.grid.coordinates()}
    plain = [plain_name(channel.name) for channel in checkpoint.channels]
    return [f"{name}_" if name in own else name for name in plain]


def put_fields(
    file: netCDF4.Dataset,
    names: list[str],
    prefix: str,
    at: int | slice | tuple[int, int],
    grid: Grid,
    fields: np.ndarray,
) -> None:
    """Write fields (..., c, h, w), each channel to its variable."""
    ordered = grid.to_file_order(fields)
    for number, name in enumerate(names):
        field = ordered[..., number, :, :]
        file[f"{prefix}_{name}" if prefix else name][at] = np.where(np.isnan(field), FILL, field)
