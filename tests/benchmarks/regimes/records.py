"""Records of the bench: what is embedded, and which of its years anything may be fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from faconv_cli.config import DataConfig, RunConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.fit.prepare import Prepared, prepare
from faconv_cli.windows.dataset import WindowReader

MISSING_SHARE = 0.1  # of the points of each step
NOISE = 0.5  # standard deviation of the noise over that of each point


@dataclass(frozen=True)
class Record:
    """A file of one record.

    Attributes:
        path: of the file.
        training: FIRST:LAST, as for ``--time-range``.
        target: FILE:VARIABLE that methods with a target are given, as for ``--target``.
    """

    path: Path
    training: str
    target: str | None = None

    def prepared(self, **options: object) -> Prepared:
        """Prepare the training years as ``faconv train`` does, by default or with options."""
        asked = RunConfig.build(None, {"time_range": self.training, **options})
        return prepare(open_record([str(self.path)], asked.data).cached(), asked)

    def anomalies(self, path: Path) -> np.ndarray:
        """All years of a file like this one as anomalies (t, c, h, w), 0 where missing, scaled by channel.

        Climatology and scaling are those of the training years.
        """
        prepared, cube = self.prepared(validation="0"), open_whole(path)
        return window_reader(prepared, cube).fields(0, cube.shape[0])

    @cached_property
    def dates(self) -> xr.DataArray:
        """(t,) of all years."""
        with xr.open_dataset(self.path) as file:
            return file.time.load()

    @cached_property
    def train(self) -> np.ndarray:
        """(t,) bool: steps of the training years; the others are test years."""
        year, (first, last) = self.dates.dt.year.values, map(int, self.training.split(":"))
        return (first <= year) & (year <= last)


def window_reader(prepared: Prepared, cube: Cube) -> WindowReader:
    """Read windows of a cube with the climatology and the scaling of the training years."""
    tiling, batch = prepared.config.tiling, prepared.config.fit.batch or 1
    scaling = prepared.climatology, prepared.normalizer
    return WindowReader(cube, *scaling, cube.grid.shape, tiling.window, batch)


def open_whole(path: Path) -> Cube:
    """Open all years of a file."""
    return open_record([str(path)], DataConfig()).cached()


def with_missing(path: Path, to: Path) -> Path:
    """Write the record with a tenth of the points of each step missing at random."""
    return _changed(path, to, lambda x, rng: np.where(rng.random(x.shape) < MISSING_SHARE, np.nan, x))


def with_noise(path: Path, to: Path) -> Path:
    """Write the record with white noise of half the standard deviation of each point."""
    return _changed(path, to, lambda x, rng: x + NOISE * x.std(axis=0) * rng.standard_normal(x.shape))


def _changed(path: Path, to: Path, change) -> Path:
    if not to.exists():
        with xr.open_dataset(path) as file:
            changed = file.load()
        for name in changed.data_vars:
            values = change(changed[name].values, np.random.default_rng(0)).astype(np.float32)
            changed[name] = changed[name].dims, values, changed[name].attrs
        changed.to_netcdf(to)
    return to
