"""Fields that do not change in time, from files of their own: masks and static channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.config import DataConfig
from faconv_cli.cube.axes.align import aligned
from faconv_cli.cube.axes.choose import Asked
from faconv_cli.cube.axes.conventions import Layer, find_layers, joined
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.formats import open_datasets
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.readers import Held, Masked
from faconv_cli.cube.read.suspects import extremes, suspicions
from faconv_cli.cube.shape.coarsen import Coarsened, block_sums
from faconv_cli.errors import CheckpointError, InputError

SMALLEST_SPREAD = 1e-6  # of the largest value; a field of less is constant but for rounding
_MASK = "--mask"
_FEW = 6  # maximum number of values listed one by one

Field = npt.NDArray[np.float32]


def read_mask(text: str, grid: Grid, data: DataConfig) -> npt.NDArray[np.bool_]:
    """Read a mask from ``FILE[:VARIABLE]``: (h, w) True where it is neither 0 nor missing.

    Args:
        text: the file, and the variable if it has several.
        grid: grid of the record, cut to its region.
        data: settings of the record; the mask is regridded in the same way.

    Raises:
        InputError: no such file or variable, several to choose from, another grid, or a field that masks all
            points, or masks none although it holds several values.
    """
    fields = _read(text, grid, data, _MASK)
    if len(fields) > 1:
        raise InputError(
            f"{text} has several fields: {joined(fields)}",
            wanted="--mask takes a single field",
            do="name it, as in --mask FILE:VARIABLE",
        )
    (field,) = fields.values()
    keep = np.isfinite(field) & (field != 0)
    if not keep.any():
        raise InputError(
            f"{text} masks every point",
            wanted="points where the mask is 0 or missing are left out",
            do="check the mask; it may be inverted",
        )
    return np.asarray(keep)


def apply_mask(cube: Cube, keep: npt.NDArray[np.bool_]) -> Cube:
    """Set the points where ``keep`` (h, w) is False to missing.

    Raises:
        CheckpointError: the mask of a checkpoint is on another grid.
    """
    if keep.shape != cube.grid.shape:
        raise CheckpointError(
            f"the data have {cube.grid.shape[0]} x {cube.grid.shape[1]} points",
            wanted=f"the mask of the checkpoint has {keep.shape[0]} x {keep.shape[1]} points",
            do="give data on the grid of the training",
        )
    readers = [Masked(reader, keep) for reader in cube.readers]
    return cube.through(readers).noted(f"Mask: {(~keep).sum()} of {keep.size} points are set to missing.")


def read_statics(texts: Sequence[str], grid: Grid, data: DataConfig) -> tuple[tuple[str, ...], Field]:
    """Read ``FILE[:NAME,NAME]`` items as static channels (s,) and (s, h, w), coarsened and scaled.

    Args:
        texts: files and variables; without variables, all fields that have no time are read.
        grid: grid of the record, cut to its region but not coarsened.
        data: settings of the record, which also apply to these fields.

    Raises:
        InputError: no such file or variable, another grid, a constant field, or a repeated name.
    """
    names: list[str] = []
    values: list[Field] = []
    for text in texts:
        for name, field in _read(text, grid, data, "--static").items():
            if name in names:
                raise InputError(
                    f"--static names {name} twice",
                    wanted="each static channel needs a unique name",
                    do="leave one of them out",
                )
            names.append(name)
            values.append(_scaled(field, grid.area, data.coarsen, f"{text}: {name}"))
    return tuple(names), np.stack(values)


def _scaled(field: Field, area: npt.NDArray[np.float64], side: int | None, where: str) -> Field:
    """Coarsen a field, subtract its area-weighted mean and divide by its standard deviation."""
    if side is not None:
        coarse = Coarsened(Held(field[None]), side, area)
        area = block_sums(area, side)
        field = np.empty(area.shape, np.float32)
        coarse.read_into(field[None], 0, 1)
    valid = np.isfinite(field)
    weight, known = np.where(valid, area, 0.0), np.where(valid, field, 0.0).astype(np.float64)
    total = weight.sum()
    mean = (weight * known).sum() / max(total, 1e-300)
    spread = np.sqrt((weight * (known - mean) ** 2).sum() / max(total, 1e-300))
    if spread <= SMALLEST_SPREAD * np.abs(known).max():
        raise InputError(
            f"{where} {'is constant' if total else 'has no valid value'} on this grid",
            wanted="a static field must vary in space",
            do="leave it out",
        )
    return np.asarray(np.where(valid, (known - mean) / spread, 0.0), np.float32)


def _read(text: str, grid: Grid, data: DataConfig, option: str) -> dict[str, Field]:
    """Read the fields of ``FILE[:NAME,NAME]`` on ``grid``, by name."""
    path, names = file_and_names(text)
    layers: dict[str, Layer] = {}
    refused: dict[str, Refusal] = {}
    for one in open_datasets(path):
        found = find_layers(
            _timeless(one.dataset),
            path,
            Asked(regrid=data.regrid, missing_value=data.missing_value),
            one.close,
            refused=one.refused,
        )
        layers |= {layer.channel.name: layer for layer in found.layers}
        refused |= found.refused
    there = {name: layer for name, layer in layers.items() if layer.field.steps == 1}
    lacking = [name for name in names or refused if name not in there and (names or refused[name].wrong)]
    if not there and not lacking:
        raise _unfit(f"{path} has no field without a time", option, there)
    if lacking:
        raise _why_not(lacking[0], path, option, layers, refused, there)
    return {name: _on_grid(there[name], grid, option) for name in names or there}


def _why_not(
    name: str,
    path: str,
    option: str,
    layers: Mapping[str, Layer],
    refused: Mapping[str, Refusal],
    there: Iterable[str],
) -> InputError:
    """Return why a field cannot be a mask or a static channel."""
    if name in layers:
        return _unfit(f"{path}: {name} has {layers[name].field.steps} time steps", option, there)
    if name not in refused:
        return _unfit(f"{path} has no field {name!r}", option, there)
    if refused[name].wrong:
        return refused[name].as_error(name, path)
    return _unfit(f"{path}: {name} has {refused[name].reason}", option, there)


def _unfit(found: str, option: str, there: Iterable[str]) -> InputError:
    names = joined(there)
    return InputError(
        found,
        wanted=f"{option} takes fields on latitude and longitude without a time"
        + (f"; the file has {names}" if names else "; the file has none"),
        do="name one of them" if names else "give a file that has such fields",
    )


def file_of(text: str) -> str:
    """Return the file of ``FILE[:NAME,NAME]``."""
    return file_and_names(text)[0]


def file_and_names(text: str) -> tuple[str, tuple[str, ...]]:
    """Split ``FILE:NAME,NAME``; the file name may contain a colon."""
    path, colon, names = text.rpartition(":")
    if not colon or Path(text).exists() or names.startswith("//"):
        return text, ()
    return path, tuple(name.strip() for name in names.split(",") if name.strip())


def _timeless(dataset: xr.Dataset) -> xr.Dataset:
    """Add a dummy scalar time, so that fields without a time are found in the same way as others."""
    attributes = {"standard_name": "time", "units": "days since 2000-01-01"}
    return dataset.assign_coords({"no time": xr.Variable((), 0.0, attributes)})


def _screen(field: Field, layer: Layer, option: str) -> None:
    """Refuse a field in which some value seems to stand for missing but is not declared.

    Raises:
        InputError: there is such a value.
    """
    found = np.array([extremes(field, int(np.isnan(field).sum()))])
    if told := suspicions(layer.channel.name, found, field.size):
        raise InputError(
            f"{layer.field.path}: {told[0].partition('. It is taken')[0]}",
            wanted=f"{option} treats points as missing only if their value is declared as missing",
            do="pass --missing-value with that number, or declare it in the file",
        )


def _check_leaves_out(field: Field, layer: Layer) -> None:
    """Refuse a mask (y, x) that holds different values but leaves no point out.

    Raises:
        InputError: it holds several values, but neither 0 nor a missing point.
    """
    low, high = float(field.min()), float(field.max())  # NaN where a point is missing
    if not high - low > SMALLEST_SPREAD * max(abs(low), abs(high)) or not field.all():
        return
    values = np.unique(field)
    told = joined(f"{value:g}" for value in values) if len(values) <= _FEW else f"{low:g} to {high:g}"
    raise InputError(
        f"{layer.field.path}: {layer.channel.name} holds {told}, but neither 0 nor a missing point",
        wanted="--mask leaves out the points where the mask is 0 or missing",
        do="declare which value is missing in the file, pass it with --missing-value, or write it as 0",
    )


def _on_grid(layer: Layer, grid: Grid, option: str) -> Field:
    block = np.empty((1, *layer.field.shape), np.float32)
    layer.field.read_into(block, 0, 1)
    _screen(block[0], layer, option)
    if option == _MASK:
        _check_leaves_out(block[0], layer)
    field = aligned(block[0], layer.field.grid, grid)
    if field is None:
        raise InputError(
            f"{layer.field.path}: {layer.channel.name} is on another grid ({layer.field.grid.told()})",
            wanted=f"{option} needs the grid of the data ({grid.told()})",
            do="regrid the file to that grid",
        )
    return np.asarray(field, np.float32)
