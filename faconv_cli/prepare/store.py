"""A cube written as a Zarr store, piece by piece; a run that was killed continues where it stopped.

Until it is complete the store has another name, and it is renamed at the very end, so that an unfinished
store never looks finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from filelock import FileLock, Timeout

import faconv_cli
from faconv_cli import schema
from faconv_cli.config import DataConfig
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind
from faconv_cli.cube.open.paths import is_store
from faconv_cli.cube.shape.region import cut_rows
from faconv_cli.cube.units.units import units_metadata
from faconv_cli.errors import OutputError
from faconv_cli.files import check_output
from faconv_cli.prepare.layout import Layout, Piece, plan_layout
from faconv_cli.provenance import history, notes

_STATE, _CLIMATOLOGY = ".faconv.json", ".faconv.npz"
_AREA = "cell_area"


@dataclass(frozen=True)
class Anomalies:
    """What is subtracted.

    Attributes:
        kind: the seasonal cycle.
        detrend: whether a linear trend is, too.
        training: (n,) steps it is fitted to.
    """

    kind: Kind
    detrend: bool
    training: npt.NDArray[np.int64]

    @property
    def any(self) -> bool:
        """Whether there is something to take off."""
        return self.kind != "none" or self.detrend


def check_store(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse early a store that exists or cannot be made.

    Args:
        path: of the store.
        overwrite: it may exist, unless one of ``inputs`` is in it.
        inputs: files and stores that are read for it; they need not exist.

    Raises:
        OutputError: the name does not end in .zarr; it exists, unless ``overwrite`` and it is a store.
    """
    if path.suffix != ".zarr":
        raise OutputError(
            f"{path} does not end in .zarr",
            wanted="the last name is that of the Zarr store to write",
            do="give such a name",
        )
    if path.exists() and not (overwrite and is_store(path)):
        what = "already exists" if is_store(path) else "already exists and is no Zarr store"
        raise OutputError(
            f"{path} {what}",
            wanted="faconv replaces a store only when asked to, and never anything else",
            do="choose another name" + (" or pass --overwrite" if is_store(path) else ""),
        )
    if any(path.resolve() in (one.resolve(), *one.resolve().parents) for one in inputs):
        raise OutputError(
            f"{path} is an input and would be replaced",
            wanted="the output must differ from the inputs",
            do="choose another name",
        )
    check_output(path.with_name(f".{path.name}"), overwrite=False)  # its folder


def write_store(
    cube: Cube,
    path: Path,
    settings: DataConfig,
    anomalies: Anomalies,
    *,
    command: str,
    memory_bytes: int,
    overwrite: bool,
) -> Iterator[tuple[int, int]]:
    """Write a cube as a Zarr store, or continue one that the same command left unfinished.

    Yields:
        How many pieces are done, and of how many; at first those done before.

    Raises:
        OutputError: the store exists or cannot be written, or another process is at it.
        InputError: the data are damaged.
    """
    check_store(path, overwrite=overwrite)
    unfinished, key = path.with_name(f".{path.name}.part"), _key(cube, settings, anomalies)
    with _alone(path):
        try:
            layout, done = _resumed(unfinished, key)
            if layout is None:
                layout = plan_layout(cube, memory_bytes)
                _begin(unfinished, cube, layout, anomalies, {"settings": settings, "command": command})
                _save_state(unfinished, key, layout, 0)
            yield done, len(layout.pieces)
            for number, piece in enumerate(layout.pieces[done:], done + 1):
                _write_piece(unfinished, cube, piece, _fields(unfinished, cube, piece, anomalies))
                _save_state(unfinished, key, layout, number)
                yield number, len(layout.pieces)
            _finish(unfinished, path, cube)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise OutputError(
                f"{path}: {error.strerror or error}",
                wanted="the store could not be written",
                do="make room or choose another folder",
            ) from error
        except Exception:  # but not a signal: the same command goes on after that
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"{path} is being written by another process",
            wanted="only one process may write a store",
            do="wait for it",
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _key(cube: Cube, settings: DataConfig, anomalies: Anomalies) -> dict[str, Any]:
    """What must be the same for a run to continue the work of another."""
    return {
        "faconv": faconv_cli.__version__,
        "sources": [[source, *_identity(Path(source))] for source in cube.sources],
        "fields": _sampled(cube),
        "settings": settings.model_dump(mode="json"),
        "anomalies": [anomalies.kind, anomalies.detrend, len(anomalies.training)],
        "shape": list(cube.shape),
    }


def _identity(path: Path) -> tuple[int | str, ...]:
    """What changes when a file, or any file of a store, is rewritten; nothing for remote data."""
    if path.is_file():
        return _status(path)
    names = sorted(Path(folder, name) for folder, _, inside in os.walk(path) for name in inside)
    told = [(str(name.relative_to(path)), *_status(name)) for name in names]
    return (len(names), hashlib.sha256(json.dumps(told).encode()).hexdigest()) if names else ()


def _status(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _sampled(cube: Cube) -> str:
    """A digest of the first fields, the middle and the last, for data that have no files here, and masks."""
    digest = hashlib.sha256()
    for step in sorted({0, len(cube.time) // 2, len(cube.time) - 1}):
        digest.update(cube.read(step, step + 1).tobytes())
    return digest.hexdigest()


def _resumed(unfinished: Path, key: dict[str, Any]) -> tuple[Layout | None, int]:
    """The layout of an unfinished store and how much of it is done; None where there is no such store."""
    try:
        state = json.loads((unfinished / _STATE).read_text(encoding="utf-8"))
        if state["key"] == key:
            return Layout.from_json(state["layout"]), int(state["done"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(unfinished, ignore_errors=True)
    return None, 0


def _save_state(unfinished: Path, key: dict[str, Any], layout: Layout, done: int) -> None:
    fresh = unfinished / f"{_STATE}.new"
    text = json.dumps({"key": key, "layout": layout.as_json(), "done": done})
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(unfinished / _STATE)


def _begin(unfinished: Path, cube: Cube, layout: Layout, anomalies: Anomalies, about: dict[str, Any]) -> None:
    """Write coordinates and metadata; the fields are missing everywhere."""
    (steps, _, height, width), dims = cube.shape, _dims(cube)
    chunks = (layout.chunk_steps, layout.chunk_rows, width)
    empty = da.zeros((steps, height, width), dtype=np.float32, chunks=-1)
    fields = {channel.name: (dims, empty, _attributes(channel, cube, anomalies)) for channel in cube.channels}
    storage = {name: {"chunks": chunks, "_FillValue": np.float32(np.nan)} for name in fields}
    coordinates = {schema.TIME: cube.time.to_variable(), **cube.grid.coordinates()}
    dataset = xr.Dataset({**fields, **_areas(cube, dims)}, coordinates)
    mapping = cube.grid.attributes.get("grid_mapping")
    dataset = dataset.reset_coords(mapping) if mapping else dataset
    dataset.attrs = {
        "Conventions": schema.CONVENTIONS,
        "title": f"Record of {', '.join(fields)}, prepared for faconv",
        "history": history(about["command"]),
        "faconv_version": faconv_cli.__version__,
        "faconv_config": about["settings"].model_dump_json(),
        "faconv_sources": ", ".join(cube.sources),
    }
    with _zarr_quiet():
        dataset.to_zarr(
            unfinished, mode="w", compute=False, consolidated=False, zarr_format=2, encoding=storage
        )


def _dims(cube: Cube) -> tuple[str, str, str]:
    return (schema.TIME, *cube.grid.dims)


def _areas(cube: Cube, dims: tuple[str, str, str]) -> dict[str, Any]:
    """The areas of the cells, where the points are weighted by them."""
    area = cube.grid.cell_area
    if area is None:
        return {}
    about = {"standard_name": "cell_area", "long_name": "area of the cell, in the unit of its file"}
    return {_AREA: (dims[1:], cube.grid.to_file_order(area), about)}


def _attributes(channel: Channel, cube: Cube, anomalies: Anomalies) -> dict[str, str]:
    named = {"units": channel.units, "long_name": channel.long_name, "standard_name": channel.standard_name}
    if anomalies.any:  # no longer the quantity of that name
        named["standard_name"] = ""
        named["long_name"] = f"anomaly of {channel.long_name or channel.standard_name or channel.name}"
        named[schema.ANOMALY] = anomalies_told(cube, anomalies)
        channel = replace(channel, difference=True)
    named["units_metadata"] = units_metadata(channel)
    named |= cube.grid.attributes
    if cube.grid.cell_area is not None:
        named["cell_measures"] = f"area: {_AREA}"
    return {key: text for key, text in named.items() if text}


def anomalies_told(cube: Cube, anomalies: Anomalies) -> str:
    """What was subtracted, in words."""
    first, last = (cube.time.labels[int(anomalies.training[end])] for end in (0, -1))
    what = " and ".join(
        [*([f"{anomalies.kind} cycle"] if anomalies.kind != "none" else []), *["trend"] * anomalies.detrend]
    )
    return f"{what} of {first} to {last}"


def _fields(unfinished: Path, cube: Cube, piece: Piece, anomalies: Anomalies) -> npt.NDArray[np.float32]:
    """Read a piece (t, c, rows, w) in the file's order of points, as anomalies where asked for."""
    file_rows, columns = cube.grid.file_index
    rows = np.flatnonzero((file_rows >= piece.top) & (file_rows < piece.bottom))
    part = cube if len(rows) == len(file_rows) else cut_rows(cube, rows)
    whole = piece.stop - piece.start == len(cube.time)
    if whole:
        part = part.cached(part.nbytes)  # it is read once
    fields = part.read(piece.start, piece.stop)
    if anomalies.any:
        climatology = _fit(part, anomalies) if whole else _fit_once(unfinished, cube, anomalies)
        fields = climatology.subtract(fields, cube.time.slice(piece.start, piece.stop))
    ordered = np.empty_like(fields)
    ordered[:, :, (file_rows[rows] - piece.top)[:, None], columns] = fields
    return ordered


def _fit(cube: Cube, anomalies: Anomalies) -> Climatology:
    return fit_climatology(cube.take(anomalies.training), anomalies.kind, anomalies.detrend)


def _fit_once(unfinished: Path, cube: Cube, anomalies: Anomalies) -> Climatology:
    """The climatology of all points, fitted by the first piece and kept beside the unfinished store."""
    kept = unfinished / _CLIMATOLOGY
    if kept.exists():
        with np.load(kept) as file:
            centre, period = float(file["centre"]), tuple(map(str, file["period"]))
            coefficients = file["coefficients"]
        return Climatology(anomalies.kind, anomalies.detrend, coefficients, centre, (period[0], period[1]))
    fitted = _fit(cube, anomalies)
    fresh = kept.with_suffix(".new.npz")
    np.savez(
        fresh, coefficients=fitted.coefficients, centre=fitted.centre_years, period=np.array(fitted.period)
    )
    fresh.replace(kept)
    return fitted


def _write_piece(unfinished: Path, cube: Cube, piece: Piece, fields: npt.NDArray[np.float32]) -> None:
    dims = _dims(cube)
    named = {channel.name: (dims, fields[:, number]) for number, channel in enumerate(cube.channels)}
    region = {dims[0]: slice(piece.start, piece.stop), dims[1]: slice(piece.top, piece.bottom)}
    with _zarr_quiet():
        xr.Dataset(named).to_zarr(unfinished, region=region, consolidated=False)


def _finish(unfinished: Path, path: Path, cube: Cube) -> None:
    """Write what was masked, make sure that everything is on disk, and rename the store."""
    import zarr

    with _zarr_quiet():
        zarr.open_group(str(unfinished), mode="r+").attrs.update(notes(cube))
        zarr.consolidate_metadata(str(unfinished))
    for own in (_STATE, _CLIMATOLOGY):
        (unfinished / own).unlink(missing_ok=True)
    for file in unfinished.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    replaced = path.with_name(f".{path.name}.old")
    if path.exists():
        path.rename(replaced)
    unfinished.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _zarr_quiet() -> Iterator[None]:
    """Silence warnings of zarr and xarray about formats and metadata that are not consolidated yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
