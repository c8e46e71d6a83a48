"""The checkpoint: one file with all that `embed` needs, readable without running anything in it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from pydantic import ValidationError
from torch import Tensor

from faconv_cli.config import RunConfig
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.climatology import Climatology
from faconv_cli.cube.constants import Constants, Cycle
from faconv_cli.cube.cycles import told
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.units.differences import is_difference
from faconv_cli.errors import CheckpointError
from faconv_cli.files import atomic_output
from faconv_cli.windows.normalize import Normalizer

FORMAT = "faconv checkpoint"
VERSION = 2  # 1: an embedding was the state of a head, its distances those of a decoder

_OF_A_GRID = ("periodic", "y_flip", "x_flip", "x_roll", "y_name", "x_name")
_ALONG = "along "  # before the name of an array

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class TargetGrid:
    """A target that an embedding was made to tell, but for its EOFs, which are the decoder's.

    Attributes:
        name: of its channel; numbered where another target has the same.
        channel: what it holds.
        grid: where; one point for a series.
        normalizer: scaling of its anomalies.
    """

    name: str
    channel: Channel
    grid: Grid
    normalizer: Normalizer

    @property
    def is_series(self) -> bool:
        """It has no place."""
        return self.grid.shape == (1, 1)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained encoder with everything that was done to its data.

    Attributes:
        config: the settings of the run, every default resolved.
        channels: what the network reads, in order, with units.
        grid: of the training data, with the order of points of its file.
        time_step: usual step of the training data, as in `TimeAxis`.
        sub_daily: that step is less than a day.
        climatology: seasonal cycle and trend that are taken off.
        normalizer: scaling of the anomalies.
        encoder: weights (the moving average, where one was kept).
        decoder: weights of the decoder the encoder was trained with; of an embedding, EOFs of its targets.
        record: what it was trained on and how it went: strings and numbers.
        resume: state of an unfinished training, or nothing.
        constants: mask, static channels and units that the data are prepared with.
        targets: what the embedding was made to tell beside the fields.
        sha256: of the file it was read from.
    """

    config: RunConfig
    channels: tuple[Channel, ...]
    grid: Grid
    time_step: str
    sub_daily: bool
    climatology: Climatology
    normalizer: Normalizer
    encoder: Weights
    decoder: Weights
    record: Mapping[str, Any]
    resume: Mapping[str, Any] = field(default_factory=dict)
    constants: Constants = field(default_factory=Constants)
    targets: tuple[TargetGrid, ...] = ()
    sha256: str = ""

    @property
    def lat(self) -> np.ndarray:
        """Latitudes, as in `Grid`."""
        return self.grid.lat

    @property
    def lon(self) -> np.ndarray:
        """Longitudes, as in `Grid`."""
        return self.grid.lon

    @property
    def periodic(self) -> bool:
        """The grid closes the circle."""
        return self.grid.periodic

    @property
    def cell_area(self) -> np.ndarray | None:
        """Areas of the grid's cells, as in `Grid`."""
        return self.grid.cell_area

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.grid.shape


def write_checkpoint(path: Path, checkpoint: Checkpoint, *, overwrite: bool) -> None:
    """Write a checkpoint whole or not at all; the same contents give the same bytes.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    climatology, normalizer, constants = checkpoint.climatology, checkpoint.normalizer, checkpoint.constants
    about = {
        "config": checkpoint.config.model_dump(mode="json"),
        "channels": [asdict(channel) for channel in checkpoint.channels],
        "grid": _grid_about(checkpoint.grid),
        "time_step": checkpoint.time_step,
        "sub_daily": checkpoint.sub_daily,
        "climatology": {
            "kind": climatology.kind,
            "detrend": climatology.detrend,
            "centre_years": climatology.centre_years,
            "period": list(climatology.period),
        },
        "record": dict(checkpoint.record),
        "static_names": list(constants.static_names),
        "input_units": dict(constants.input_units),
        "level_units": list(constants.level_units),
        "input_differences": None
        if constants.input_differences is None
        else sorted(constants.input_differences),
        "accumulated": {name: cycle and asdict(cycle) for name, cycle in constants.accumulated.items()},
        "targets": [
            {"name": one.name, "channel": asdict(one.channel), "grid": _grid_about(one.grid)}
            for one in checkpoint.targets
        ],
    }
    arrays = {
        **_grid_arrays(checkpoint.grid),
        "climatology": climatology.coefficients,
        "mean": normalizer.mean,
        "std": normalizer.std,
        "valid": normalizer.valid,
        "statics": constants.statics,
    }
    if constants.mask is not None:
        arrays["mask"] = constants.mask
    for number, target in enumerate(checkpoint.targets):
        scaling = {name: getattr(target.normalizer, name) for name in ("mean", "std", "valid")}
        own = {**_grid_arrays(target.grid), **scaling}
        arrays |= {_of_target(number) + name: array for name, array in own.items()}
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "about": json.dumps(about, sort_keys=True, default=lambda value: value.tolist()),
        "arrays": {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()},
        "encoder": checkpoint.encoder,
        "decoder": checkpoint.decoder,
        "resume": dict(checkpoint.resume),
    }
    # a buffer, because torch writes the name of a file it opens itself into the archive
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    with atomic_output(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Raises:
        CheckpointError: no such file, or it is foreign, damaged or from a newer faconv.
    """
    contents, sha256 = _load(path)
    try:
        about, arrays = json.loads(contents["about"]), contents["arrays"]
        array = {name: tensor.numpy() for name, tensor in arrays.items()}
        cycle = about["climatology"]
        return Checkpoint(
            config=RunConfig.model_validate(about["config"]),
            channels=tuple(map(_channel, about["channels"])),
            grid=_grid(about["grid"], array),
            time_step=about["time_step"],
            sub_daily=about["sub_daily"],
            climatology=Climatology(
                kind=cycle["kind"],
                detrend=cycle["detrend"],
                coefficients=array["climatology"],
                centre_years=cycle["centre_years"],
                period=tuple(cycle["period"]),
            ),
            normalizer=Normalizer(array["mean"], array["std"], array["valid"]),
            encoder=contents["encoder"],
            decoder=contents["decoder"],
            record=about["record"],
            resume=contents["resume"],
            constants=Constants(
                mask=array.get("mask"),
                static_names=tuple(about["static_names"]),
                statics=array["statics"],
                input_units=about["input_units"],
                level_units=_level_units(about),
                input_differences=_set_or_none(about.get("input_differences")),
                accumulated={
                    name: cycle and Cycle(**cycle) for name, cycle in about.get("accumulated", {}).items()
                },
            ),
            targets=tuple(_targets(about.get("targets", []), array)),
            sha256=sha256,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise _damaged(path, f"a part is missing or wrong ({error})") from None


def _grid_about(grid: Grid) -> dict[str, Any]:
    """Return what describes a grid besides its arrays."""
    along = {
        name: {"dims": list(map(str, variable.dims)), "attributes": dict(variable.attrs)}
        for name, variable in grid.along.items()
    }
    return {**{name: getattr(grid, name) for name in _OF_A_GRID}, "along": along}


def _grid_arrays(grid: Grid) -> dict[str, np.ndarray]:
    """Return the arrays of a grid; a grid mapping is its attributes alone."""
    own = {
        **{name: getattr(grid, name) for name in ("lat", "lon", "file_lat", "file_lon")},
        **{_ALONG + name: variable.values for name, variable in grid.along.items() if variable.ndim},
        **({} if grid.cell_area is None else {"cell_area": grid.cell_area}),
    }
    # copies, because an index of xarray is read-only and torch warns of that
    return {name: np.array(array, array.dtype.newbyteorder("=")) for name, array in own.items()}


def _grid(about: Mapping[str, Any], array: Mapping[str, np.ndarray]) -> Grid:
    along = {
        name: xr.Variable(saved["dims"], array.get(_ALONG + name, np.int32(0)), saved["attributes"])
        for name, saved in about["along"].items()
    }
    return Grid(
        lat=array["lat"],
        lon=array["lon"],
        file_lat=array["file_lat"],
        file_lon=array["file_lon"],
        **{name: about[name] for name in _OF_A_GRID},
        cell_area=array.get("cell_area"),
        along=along,
    )


def _targets(saved: list[Mapping[str, Any]], array: Mapping[str, np.ndarray]) -> Iterator[TargetGrid]:
    for number, about in enumerate(saved):
        prefix = _of_target(number)
        own = {name.removeprefix(prefix): one for name, one in array.items() if name.startswith(prefix)}
        normalizer = Normalizer(own["mean"], own["std"], own["valid"])
        yield TargetGrid(about["name"], _channel(about["channel"]), _grid(about["grid"], own), normalizer)


def _of_target(number: int) -> str:
    """Begin the name of an array of a target."""
    return f"target {number}: "


def _channel(saved: Mapping[str, Any]) -> Channel:
    """Read a channel; whether it holds differences was not said before it mattered."""
    channel = Channel(**saved)
    if "difference" in saved:
        return channel
    told = is_difference(channel.name, channel.long_name, channel.standard_name)
    return replace(channel, difference=bool(channel.anomaly) or told)


def _level_units(about: Mapping[str, Any]) -> tuple[str, ...]:
    own = [channel["level_units"] for channel in about["channels"] if channel["level_units"]]
    return tuple(about.get("level_units", dict.fromkeys(own)))


def _set_or_none(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _load(path: Path) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}",
            wanted="the checkpoint must be a file that can be read",
            do="give one that faconv train has written",
        ) from None
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):  # which may also raise
            raise _damaged(path, "not a checkpoint, or a truncated one")
        _check_sums(data)
        contents = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _damaged(path, "it holds other things than tensors, texts and numbers") from None
    except (RuntimeError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
        raise _damaged(path, f"a damaged checkpoint, or another archive ({_first_line(error)})") from None
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise _damaged(path, "a torch file that faconv did not write")
    if contents.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has the checkpoint format {contents.get('version')}",
            wanted=f"this version of faconv reads format {VERSION}",
            do="use the version that wrote it, or train again",
        )
    return contents, hashlib.sha256(data).hexdigest()


def _check_sums(data: bytes) -> None:
    """Compare the parts of the archive with their check sums, which torch does not look at.

    Raises:
        BadZipFile: they differ.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if flawed := archive.testzip():
            raise zipfile.BadZipFile(f"bad check sum of {flawed}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {found}",
        wanted="a checkpoint must have been written by faconv train",
        do="check the file's name",
    )


def describe(checkpoint: Checkpoint) -> dict[str, object]:
    """Describe a checkpoint, label by label, for display and JSON."""
    encoder = checkpoint.config.encoder
    count = sum(tensor.numel() for tensor in checkpoint.encoder.values())
    normalizer = checkpoint.normalizer
    return {
        "task": checkpoint.config.fit.task,
        "encoder": encoder.model_dump(mode="json"),
        "parameters": count,
        "recurrent parameters": sum(
            tensor.numel() for name, tensor in checkpoint.encoder.items() if name.startswith("layer.")
        ),
        "strength of the axial attention": [
            float(tensor) for name, tensor in checkpoint.encoder.items() if name.endswith("axial.gamma")
        ],
        "channels": [
            {
                "name": channel.name,
                "units": channel.units,
                "mean of anomalies": float(normalizer.mean[number]),
                "standard deviation": float(normalizer.std[number]),
            }
            for number, channel in enumerate(checkpoint.channels)
        ],
        "grid": {
            "shape": list(checkpoint.grid_shape),
            "lat": [float(np.nanmin(checkpoint.lat)), float(np.nanmax(checkpoint.lat))],
            "lon": [float(np.nanmin(checkpoint.lon)), float(np.nanmax(checkpoint.lon))],
            "closes the circle": checkpoint.periodic,
        },
        "static channels": list(checkpoint.constants.static_names),
        "targets": [target.name for target in checkpoint.targets],
        "time step": checkpoint.time_step,
        "anomalies": "less "
        + told(checkpoint.climatology.kind)
        + (", detrended" if checkpoint.climatology.detrend else ""),
        "windows": checkpoint.config.tiling.model_dump(mode="json"),
        **{key.replace("_", " "): value for key, value in checkpoint.record.items()},
        "sha256": checkpoint.sha256,
    }
