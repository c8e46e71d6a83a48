"""Whether an odd file and its plain twin come out alike, through the commands that a user types."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli import schema
from faconv_cli.config import DataConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.cube.units.units import Conversion, conversion
from tests.fuzz.odd_files import QUANTITIES, Odd, write
from tests.fuzz.run import TINY, run_here

# The values are whole multiples of a step; what is left is the rounding of float32, of hPa and of degrees F.
SLACK = 1e-2 * np.array([quantity.step for quantity in QUANTITIES.values()])
OF_AN_EMBEDDING = 2e-3  # whose numbers have a variance of 1
REFUSED = (2, 3, 4)  # exit codes


@dataclass(frozen=True)
class Outcome:
    """What the three commands made of a record; canonical order, the twin's units.

    Attributes:
        stored: (t, c, h, w) fields of the prepared store.
        area: (h, w).
        month: (t,).
        embedding: (t, d), with the flags in the last column.
        composites: (2 c, k, h, w) mean and anomaly of each channel.
        regime: (t,).
    """

    stored: np.ndarray
    area: np.ndarray
    month: np.ndarray
    embedding: np.ndarray
    composites: np.ndarray
    regime: np.ndarray


class RefusedError(Exception):
    """A command ended with an error; the message is what it said."""


class Bench:
    """Runs records through the commands, with one checkpoint a kind of record.

    Args:
        folder: to work in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.outcome_of_twin = cache(self._outcome_of_twin)
        self._checkpoint = cache(self._train)

    def compare(self, odd: Odd) -> str:
        """Tell how an odd record differs from its twin; nothing where it does not.

        Raises:
            RefusedError: a command refused it.
        """
        twin = self.outcome_of_twin(odd.twin)
        return differences(self.outcome(odd), twin)

    def wrong(self, ways: Sequence[Odd]) -> dict[Odd, str]:
        """Tell what is wrong with the odd records that do not come out as their twins."""
        told = {}
        for odd in ways:
            try:
                told[odd] = self.compare(odd)
            except RefusedError as error:
                told[odd] = str(error)
        return {odd: text for odd, text in told.items() if text}

    def _outcome_of_twin(self, twin: Odd) -> Outcome:
        return self.outcome(twin)

    def outcome(self, odd: Odd) -> Outcome:
        """Run a record through the commands."""
        work = self._folder / "case"
        shutil.rmtree(work, ignore_errors=True)
        paths = write(odd, work / "data")
        store, embedding, regimes = work / "p.zarr", work / "e.nc", work / "r.nc"
        engine = () if odd.engine == "own" else ("--engine", odd.engine)
        checkpoint = self._checkpoint(odd.domain, odd.steps)
        _run("prepare", *paths, store, *engine)
        _run("embed", "-c", checkpoint, *paths, embedding, "--threads", "1", "--no-attention", *engine)
        data = [part for path in paths for part in ("--data", path)]
        _run("cluster", embedding, "-o", regimes, "-k", "3", *data, *engine)
        return _read(store, embedding, regimes)

    def _train(self, domain: str, steps: str) -> Path:
        twin, path = Odd(domain=domain, steps=steps).twin, self._folder / f"{domain}_{steps}.pt"
        _run("train", *write(twin, self._folder / f"{domain}_{steps}"), "-o", path, *_LEARNED)
        return path


_LEARNED = [*TINY[: TINY.index("--anomaly")], "--anomaly", "auto", "--attention-every", "1"]


def _run(*arguments: object) -> None:
    code, _, err = run_here([str(argument) for argument in arguments])
    if code in REFUSED:
        raise RefusedError(f"{arguments[0]}: {err.strip().splitlines()[-1]}")
    assert code == 0, f"{arguments[0]}: exit code {code}\n{err}"


@dataclass(frozen=True)
class Door:
    """What a record is when it has been opened.

    Attributes:
        fields: (t, c, h, w) in the twin's units and order.
        area: (h, w).
        month: (t,).
        periodic: whether the longitudes close the circle.
    """

    fields: np.ndarray
    area: np.ndarray
    month: np.ndarray
    periodic: bool


def door(paths: Sequence[Path], engine: str | None = None) -> Door:
    """Open files and read all that is in them."""
    cube = open_record(paths, DataConfig(engine=engine))
    fields = cube.read(0, cube.shape[0]).astype(np.float64)
    number = {channel.name: at for at, channel in enumerate(cube.channels)}
    parts = [_applied(line, fields[:, number[name]]) for name, line in _lines(cube).items()]
    return Door(np.stack(parts, 1), cube.grid.area, cube.time.month, cube.grid.periodic)


def same_door(one: Door, other: Door) -> None:
    """Assert that two records are the same when they have been opened."""
    told = [
        _apart("fields", one.fields / SLACK[:, None, None], other.fields / SLACK[:, None, None]),
        _apart("areas", one.area * 1e6, other.area * 1e6),
        _apart("months", one.month, other.month),
        _apart("periodic", np.array(one.periodic, int), np.array(other.periodic, int)),
    ]
    assert not any(told), told


def _lines(cube: Cube) -> dict[str, Conversion]:
    """How each channel of a cube comes into the units of the twin."""
    units = {channel.name: channel.units for channel in cube.channels}
    lines = {name: conversion(units[name], next(iter(q.units))) for name, q in QUANTITIES.items()}
    assert None not in lines.values(), units
    return {name: line for name, line in lines.items() if line is not None}


def _applied(line: Conversion, values: np.ndarray, *, difference: bool = False) -> np.ndarray:
    return values * line.factor + (0 if difference else line.offset)


def _read(store: Path, embedding: Path, regimes: Path) -> Outcome:
    stored, cube = door([store]), open_record([store], DataConfig())
    with xr.open_dataset(embedding) as file:
        z = np.column_stack([file[schema.EMBEDDING].values, file[schema.EMBEDDING_FLAG].values])
    with xr.open_dataset(regimes) as file:
        regime = file[schema.REGIME].values
        composites = [
            _applied(line, file[f"composite{what}_{name}"].values, difference=bool(what))
            for name, line in _lines(cube).items()
            for what in ("", "_anomaly")
        ]
    fields = cube.grid.to_canonical(np.stack(composites))
    return Outcome(stored.fields, stored.area, stored.month, z, fields, regime)


def differences(one: Outcome, other: Outcome) -> str:
    """Tell what differs; nothing where all agrees."""
    slack, twice = SLACK[:, None, None], np.repeat(SLACK, 2)[:, None, None, None]
    told = [
        _apart("stored fields", one.stored / slack, other.stored / slack),
        _apart("areas", one.area * 1e6, other.area * 1e6),
        _apart("months", one.month, other.month),
        _apart("embedding", one.embedding / OF_AN_EMBEDDING, other.embedding / OF_AN_EMBEDDING),
        _apart("regimes", one.regime, other.regime),
        _apart("composites", one.composites / twice, other.composites / twice),
    ]
    return "; ".join(text for text in told if text)


def _apart(name: str, one: np.ndarray, other: np.ndarray) -> str:
    if one.shape != other.shape:
        return f"{name}: {one.shape} instead of {other.shape}"
    if (np.isnan(one) != np.isnan(other)).any():
        return f"{name}: missing at {np.isnan(one).sum()} places instead of {np.isnan(other).sum()}"
    worst = np.nanmax(np.abs(one - other), initial=0)
    return f"{name}: {worst:.3g} times the tolerance apart" if worst >= 1 else ""
