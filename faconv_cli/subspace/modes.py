"""The modes as CF NetCDF: maps in physical units, and the variance they explain."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.encode import FILL, define_coordinate, define_grid, define_variable
from faconv_cli.cube.grid import Grid
from faconv_cli.files import netcdf_lock, netcdf_output
from faconv_cli.provenance import checkpoint_attributes
from faconv_cli.subspace.fields import Explained, SubspaceFields
from faconv_cli.subspace.netcdf import channel_attributes, plain_name, put_fields, variable_names


def write_modes(
    path: Path, fields: SubspaceFields, modes: int, *, command: str, overwrite: bool = False
) -> Explained:
    """Write the first modes as maps in physical units, with the variance they explain.

    Returns:
        What all modes of the checkpoint explain.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    checkpoint, explained = fields.checkpoint, fields.explained()
    names = variable_names(checkpoint)
    with netcdf_output(path, overwrite=overwrite) as file, netcdf_lock():
        title = f"Modes of a subspace embedding of {', '.join(c.name for c in checkpoint.channels)}"
        file.setncatts(checkpoint_attributes(title, checkpoint, command))
        _define_modes(file, fields, modes)
        _write_explained(file, explained, names, checkpoint.channels, modes)
        dims, extra = define_grid(file, checkpoint.grid)
        for name, channel in zip(names, checkpoint.channels, strict=True):
            _define_maps(file, name, channel, dims, checkpoint.grid, extra)
        for part in range(len(fields.leads)):
            put_fields(file, names, "mean", part, checkpoint.grid, fields.mean(part))
            for mode in range(modes):
                put_fields(file, names, "mode", (mode, part), checkpoint.grid, fields.maps(mode, part))
        for number in range(len(checkpoint.targets)):
            _write_target(file, fields, number, explained, modes)
    return explained


def _write_target(
    file: netCDF4.Dataset, fields: SubspaceFields, number: int, explained: Explained, modes: int
) -> None:
    """Write what modes tell of a target: maps on its own grid, or numbers of a series."""
    checkpoint = fields.checkpoint
    target, lead = checkpoint.targets[number], checkpoint.config.target_leads[number]
    name = f"target_{plain_name(target.name)}"
    dims, extra = ((), {}) if target.is_series else define_grid(file, target.grid, f"_{name}")
    title = target.channel.long_name or target.channel.name
    title += f", {lead} steps of {checkpoint.time_step} later," if lead else ""
    about = {**channel_attributes(target.channel, anomaly=True), **extra}
    maps = np.stack([fields.target_maps(mode, number) for mode in range(modes)])
    mean = fields.target_mean(number)
    maps, mean = (target.grid.to_file_order(one) for one in (maps, mean))
    if target.is_series:
        maps, mean = maps[:, 0, 0], mean[0, 0]
    changes = f"change of {title} with one standard deviation of the mode"
    _write(file, f"{schema.MODE}_{name}", (schema.MODE, *dims), maps, changes, **about)
    _write(file, f"mean_{name}", dims, mean, f"anomaly of {title} where all modes are 0", **about)
    _write_shares(
        file, f"_{name}", (schema.MODE,), explained.of_targets[:modes, number], f"what is told of {title}"
    )
    told = f"share of the training variance of {title} that is told by the embedding's parts in full"
    _write(file, f"told_variance_{name}", (), explained.told[number], told)


def _define_modes(file: netCDF4.Dataset, fields: SubspaceFields, modes: int) -> None:
    define_coordinate(file, schema.MODE, np.arange(1, modes + 1, dtype=np.int32), "number of the mode")
    leads = np.array(fields.leads, np.int32)
    step = fields.checkpoint.time_step
    define_coordinate(file, schema.LEAD, leads, f"steps of {step} ahead; 0 is the field now")


def _define_maps(
    file: netCDF4.Dataset,
    name: str,
    channel: Channel,
    dims: tuple[str, str],
    grid: Grid,
    extra: dict[str, str],
) -> None:
    title, about = channel.long_name or channel.name, {**channel_attributes(channel, anomaly=True), **extra}
    define_variable(
        file,
        f"{schema.MODE}_{name}",
        (schema.MODE, schema.LEAD, *dims),
        (1, 1, *grid.shape),
        long_name=f"change of {title} with one standard deviation of the mode",
        comment="the anomaly is mean plus the sum over modes of map times embedding over standard_deviation",
        **about,
    )
    define_variable(
        file,
        f"mean_{name}",
        (schema.LEAD, *dims),
        (1, *grid.shape),
        long_name=f"anomaly of {title} where all modes are 0, their mean in training",
        **about,
    )


def _write_explained(
    file: netCDF4.Dataset,
    explained: Explained,
    names: list[str],
    channels: tuple[Channel, ...],
    modes: int,
) -> None:
    by_mode, by_lead = (schema.MODE,), (schema.MODE, schema.LEAD)
    _write(
        file,
        "standard_deviation",
        by_mode,
        explained.standard_deviation[:modes],
        "standard deviation of the embedding's number in training",
    )
    _write_shares(file, "", by_mode, explained.share[:modes], "all that the embedding tells")
    for number, (name, channel) in enumerate(zip(names, channels, strict=True)):
        what = f"the training variance of {channel.name}, now or as forecast in full"
        _write_shares(file, f"_{name}", by_lead, explained.by_part[:modes, :, number], what)
        _write(
            file,
            f"standard_deviation_{name}",
            (schema.LEAD,),
            explained.spread[:, number],
            f"root of the training variance of {channel.name}, mean over the area",
            **channel_attributes(channel, anomaly=True),
        )


def _write_shares(
    file: netCDF4.Dataset, suffix: str, dims: tuple[str, ...], shares: np.ndarray, what: str
) -> None:
    _write(file, f"explained_variance{suffix}", dims, shares, f"share of the mode in {what}")
    _write(
        file,
        f"cumulative_variance{suffix}",
        dims,
        shares.cumsum(axis=0),
        f"share of the mode and those before it in {what}",
    )


def _write(
    file: netCDF4.Dataset,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    long_name: str,
    **about: str,
) -> None:
    define_variable(file, name, dims, values.shape, **{"long_name": long_name, "units": "1", **about})
    file[name][...] = np.where(np.isfinite(values), values, FILL)
