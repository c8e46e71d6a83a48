"""Fields from canonical coordinates as CF NetCDF, written a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.encode import (
    define_coordinate,
    define_grid,
    define_time,
    define_variable,
    encode_time,
    time_attributes,
)
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import UsageError
from faconv_cli.files import netcdf_lock, netcdf_output
from faconv_cli.provenance import checkpoint_attributes
from faconv_cli.subspace.fields import SubspaceFields, blocks
from faconv_cli.subspace.netcdf import channel_attributes, put_fields, variable_names
from faconv_cli.subspace.read import Coordinates, told


def write_reconstruction(
    path: Path,
    fields: SubspaceFields,
    rows: Coordinates,
    *,
    lead: int = 0,
    full: bool = False,
    command: str = "",
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the fields that rows of coordinates stand for, a block of rows at a time.

    Args:
        path: the file.
        fields: of the checkpoint.
        rows: coordinates; a row that is missing becomes fill.
        lead: steps after the row that the fields are of.
        full: add climatology and trend to the anomalies.
        command: command line for ``history``.
        overwrite: replace a file that exists.
        advance: takes the number of rows that have been written since the last time.

    Raises:
        OutputError: the file exists or cannot be written.
        UsageError: the embedding does not hold ``lead``, or the climatology is not known.
    """
    checkpoint, part = fields.checkpoint, fields.part(lead)
    if full:
        _check_climatology(checkpoint, rows)
    names, valid_time = variable_names(checkpoint), _after(rows.time, lead)
    with netcdf_output(path, overwrite=overwrite) as file:
        with netcdf_lock():
            _define_fields(file, checkpoint, rows, valid_time, lead, full=full, command=command)
        for start, stop in blocks(len(rows.z), checkpoint.normalizer.valid.size):
            made = fields.anomalies(rows.z[start:stop], part).astype(np.float32)
            if full and valid_time is not None:
                made = checkpoint.climatology.add(made, valid_time.slice(start, stop))
            with netcdf_lock():
                put_fields(file, names, "", slice(start, stop), checkpoint.grid, made)
            advance(stop - start)


def _check_climatology(checkpoint: Checkpoint, rows: Coordinates) -> None:
    if rows.time is None:
        raise UsageError(
            "--full was given with regimes",
            wanted="centroids have no date, so no climatology can be added",
            do="leave out --full to write the anomalies of each regime",
        )
    if done := [channel for channel in checkpoint.channels if channel.anomaly]:
        raise UsageError(
            f"--full was given, but {done[0].name} was prepared as anomalies ({done[0].anomaly})",
            wanted="the checkpoint does not hold the climatology that was subtracted",
            do="leave out --full",
        )


def _after(time: TimeAxis | None, lead: int) -> TimeAxis | None:
    """Return the times that are ``lead`` steps after each row."""
    if time is None or not lead:
        return time
    alone = (replace(time, values=time.values[n : n + 1], segments=((0, 1),)) for n in range(len(time)))
    return replace(time, values=np.concatenate([one.after(0, lead).values[-1:] for one in alone]))


def _define_fields(
    file: netCDF4.Dataset,
    checkpoint: Checkpoint,
    rows: Coordinates,
    valid_time: TimeAxis | None,
    lead: int,
    *,
    full: bool,
    command: str,
) -> None:
    title = f"{', '.join(c.name for c in checkpoint.channels)} from {Path(rows.source).name}"
    file.setncatts(checkpoint_attributes(title, checkpoint, command))
    file.history = f"{file.history}\n{rows.history}".strip()
    file.setncattr("faconv_embedding", rows.source)
    first, places = _define_rows(file, rows, valid_time, lead, checkpoint.time_step)
    dims, extra = define_grid(file, checkpoint.grid)
    coordinates = " ".join((*places, *extra.get("coordinates", "").split()))
    for name, channel in zip(variable_names(checkpoint), checkpoint.channels, strict=True):
        define_variable(
            file,
            name,
            (first, *dims),
            (1, *checkpoint.grid.shape),
            long_name=_long_name(channel, lead, checkpoint.time_step, full=full),
            comment=f"from {told(rows.modes)} of {checkpoint.config.encoder.embedding}",
            **{**extra, **channel_attributes(channel, anomaly=not full), "coordinates": coordinates},
        )


def _define_rows(
    file: netCDF4.Dataset, rows: Coordinates, valid_time: TimeAxis | None, lead: int, step: str
) -> tuple[str, tuple[str, ...]]:
    """Write the coordinates of the rows; return their dimension and further coordinates."""
    if rows.time is None or valid_time is None:
        assert rows.clusters is not None, "rows have times or numbers"
        define_coordinate(file, schema.CLUSTER, rows.clusters, "number of the regime")
    else:
        file.createDimension(schema.TIME, None)
        define_time(file, rows.time, schema.TIME, "time of the embedding" if lead else "time")
        _fill_time(file, schema.TIME, rows.time)
    first = schema.CLUSTER if rows.time is None else schema.TIME
    if not lead:
        return first, ()
    scalar = file.createVariable(schema.LEAD, "i4", ())
    scalar.setncatts({"long_name": f"steps of {step} ahead", "units": "1"})
    scalar[...] = lead
    if valid_time is None:
        return first, (schema.LEAD,)
    about = {key: value for key, value in time_attributes(valid_time).items() if key != "axis"}
    later = file.createVariable(schema.VALID_TIME, "f8", (schema.TIME,))
    later.setncatts({**about, "long_name": "time the field is expected at"})
    _fill_time(file, schema.VALID_TIME, valid_time)
    return first, (schema.VALID_TIME, schema.LEAD)


def _fill_time(file: netCDF4.Dataset, name: str, time: TimeAxis) -> None:
    file[name][:] = encode_time(time, str(file[name].units))


def _long_name(channel: Channel, lead: int, step: str, *, full: bool) -> str:
    title = channel.long_name or channel.name
    named = title if full else f"anomaly of {title}"
    return f"{named}, as expected {lead} steps of {step} later" if lead else named
