"""Regrid grids without two spatial dimensions to a regular grid, with weights computed once.

A cell gets the mean of the points in it. A cell without points gets the mean of the four nearest points,
weighted by inverse distance, if they are about as near as the points are to each other there. Missing values
are ignored; a cell is missing if less than half of its weight is valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.read.lazy import FileField, load
from faconv_cli.cube.read.masking import Found, first_valid, mask_beyond
from faconv_cli.cube.sphere.longitude import wrapped
from faconv_cli.cube.sphere.places import check_degrees, on_sphere
from faconv_cli.errors import InputError, UsageError

MOST_CELLS = 2**26
LEAST_VALID = 0.5
_NEAREST = 4
_REACH = 1.5  # times the distance from a point to its fourth neighbour
_WIDEST_GAP_DEG = 5.0  # largest gap in longitude of points that count as going around the globe

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regridding:
    """A mapping from points to the cells of a regular grid.

    Attributes:
        grid: the cells.
        weights: (h x w, n) sparse; rows sum to one, or are empty for cells away from all points.
        filled: number of cells without points that use the nearest ones.
        empty: number of cells away from all points.
    """

    grid: Grid
    weights: Any
    filled: int
    empty: int

    def apply(self, points: npt.NDArray[np.float32], rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """Return values (t, n) on the cells (t, rows, columns), NaN where missing."""
        cells = self._cells[rows, columns]
        weights = self.weights if cells.size == self._cells.size else self.weights[cells.ravel()]
        valid = np.isfinite(points)
        sums = weights @ np.where(valid, points, 0).T.astype(np.float64)
        shares = weights @ valid.T.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(shares >= LEAST_VALID, sums / shares, np.nan)
        return means.T.reshape(len(points), *cells.shape).astype(np.float32)

    @cached_property
    def _cells(self) -> npt.NDArray[np.int64]:
        """Indices (h, w) of the cells."""
        return np.arange(self.weights.shape[0]).reshape(self.grid.shape)

    def told(self, dim: str) -> str:
        """Return a note that describes the regridding of the points along ``dim``."""
        h, w = self.grid.shape
        spacing = self.grid.lat[1] - self.grid.lat[0]
        return (
            f"{self.weights.shape[1]} points along {dim} are regridded to {h} x {w} cells of {spacing:.3g} "
            f"degrees (--regrid). A cell is the mean of the points in it; {self.filled} cells without points "
            f"are inverse-distance means of the {_NEAREST} nearest points, and {self.empty} are too far away."
        )


@dataclass(frozen=True, eq=False)
class PointField(FileField):
    """One channel in one file on points along one dimension, read as cells of a regular grid."""

    regridding: Regridding | None = None

    def _read(self, steps: slice, rows: slice, columns: slice, found: Found) -> npt.NDArray[Any]:
        assert self.regridding is not None
        time, dim, _ = self.dims
        index: dict[str, Any] = dict(self.fixed)
        if time is not None:
            index[time] = steps
        order = (name for name in (self.merged, time, dim) if name is not None)
        raw = load(self.variable.isel(index).transpose(*order), self.path, self.name)
        self._used()
        raw = raw if time is not None else raw[..., None, :]
        raw = self.screen.masked(raw[..., None, :], found)
        if self.merged is not None:
            raw = first_valid(raw)
        with np.errstate(over="ignore"):
            points = raw.astype(np.float32)
        mask_beyond(points, found)
        return self.regridding.apply(points[:, 0], rows, columns)


def regridding(lat: Floats, lon: Floats, degrees: float, dim: str) -> Regridding:
    """Compute the regridding of points (n,) to a regular grid; the result is cached.

    Raises:
        InputError: if no point has coordinates in degrees, or there would be too many cells.
    """
    return _regridding(
        np.asarray(lat, np.float64).tobytes(), np.asarray(lon, np.float64).tobytes(), degrees, dim
    )


@lru_cache(maxsize=4)
def _regridding(lat_bytes: bytes, lon_bytes: bytes, degrees: float, dim: str) -> Regridding:
    lat, lon = np.frombuffer(lat_bytes), np.frombuffer(lon_bytes)
    known = np.isfinite(lat) & np.isfinite(lon)
    if not known.any():
        raise InputError(
            f"No point along {dim} has both a latitude and a longitude",
            wanted="regridding needs the coordinates of the points",
            do="add latitude and longitude in degrees to the file, for example with cdo setgrid",
        )
    check_degrees(lat[known], lon[known], dim, dim)
    grid = _target(lat[known], lon[known], degrees, dim)
    weights, filled = _weights(grid, lat, lon, np.flatnonzero(known))
    empty = int((np.diff(weights.indptr) == 0).sum())
    return Regridding(grid, weights, filled, empty)


def _target(lat: Floats, lon: Floats, degrees: float, dim: str) -> Grid:
    """Return the cells of a regular global grid that cover all points, all longitudes if the points do."""
    rows, columns = (max(round(span / degrees), 4) for span in (180, 360))
    if rows * columns > MOST_CELLS:
        raise InputError(
            f"--regrid {degrees:g} would make {rows * columns} cells on the globe",
            wanted=f"faconv handles at most {MOST_CELLS} cells",
            do="choose a coarser grid with a larger --regrid",
        )
    height, width = 180 / rows, 360 / columns
    row = np.clip(((lat + 90) / height).astype(np.int64), 0, rows - 1)
    south, north = max(int(row.min()), 0), int(row.max())
    first, wide = _span(np.unique(np.round(lon / width).astype(np.int64) % columns), columns, width)
    centres = -90 + height * (np.arange(south, max(north, south + 1) + 1) + 0.5)
    west = width * first if wide == columns else wrapped(width * first)
    return Grid.from_coordinates(centres, west + width * np.arange(wide), dim, "longitude")


def _span(taken: npt.NDArray[np.int64], columns: int, width: float) -> tuple[int, int]:
    """Return the first column and the number of columns that cover those taken: all unless a gap is wide."""
    gaps = np.diff(np.append(taken, taken[0] + columns))
    widest = int(np.argmax(gaps))
    if gaps[widest] * width <= max(_WIDEST_GAP_DEG, 3 * width):
        return 0, columns
    return int(taken[(widest + 1) % len(taken)]), max(columns - int(gaps[widest]) + 1, 2)


def _weights(grid: Grid, lat: Floats, lon: Floats, known: npt.NDArray[np.int64]) -> tuple[Any, int]:
    """Return sparse weights (cells, points) and the number of cells that use the nearest points."""
    from scipy.sparse import csr_array

    cell = _cell_of(grid, lat[known], lon[known])
    count = np.bincount(cell, minlength=grid.shape[0] * grid.shape[1])
    bare = np.flatnonzero(count == 0)
    into, take, weight = _from_nearest(grid, bare, lat[known], lon[known])
    into, take = np.concatenate([cell, into]), np.concatenate([known, known[take]])
    weight = np.concatenate([1 / count[cell], weight])
    filled = len(np.unique(into[len(cell) :]))
    return csr_array((weight, (into, take)), shape=(len(count), len(lat))), filled


def _cell_of(grid: Grid, lat: Floats, lon: Floats) -> npt.NDArray[np.int64]:
    """Return the index of the cell of each point."""
    height, width = grid.lat[1] - grid.lat[0], grid.lon[1] - grid.lon[0]
    h, w = grid.shape
    row = np.clip(((lat - grid.lat[0]) / height + 0.5).astype(np.int64), 0, h - 1)
    column = np.clip((((lon - grid.lon[0] + width / 2) % 360) / width).astype(np.int64), 0, w - 1)
    return np.asarray(row * w + column, np.int64)


def _from_nearest(
    grid: Grid, bare: npt.NDArray[np.int64], lat: Floats, lon: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Return cells without points, the nearby points used instead, and their weights."""
    from scipy.spatial import KDTree

    points = on_sphere(lat, lon)
    tree, k = KDTree(points), min(_NEAREST, len(points))
    centres = on_sphere(*(axis.ravel()[bare] for axis in np.meshgrid(grid.lat, grid.lon, indexing="ij")))
    distance, near = map(np.asarray, tree.query(centres, k=list(range(1, k + 1))))
    around, _ = map(np.asarray, tree.query(points[near[:, 0]], k=[min(_NEAREST + 1, len(points))]))
    inside = distance[:, 0] <= _REACH * around[:, 0]
    weight: Floats = 1 / np.maximum(distance[inside], 1e-12)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.repeat(bare[inside], k), near[inside].ravel().astype(np.int64), weight.ravel()


def healpix_points(nside: int, *, nested: bool, path: str) -> tuple[Floats, Floats]:
    """Return latitude and longitude of the HEALPix pixels.

    Raises:
        UsageError: if the healpix package is not installed.
    """
    try:
        import healpix
    except ImportError:
        raise UsageError(
            f"{path} cannot be regridded because healpix is not installed",
            wanted="HEALPix data without latitude and longitude need this package",
            do="install it with pip install 'faconv[regrid]'",
        ) from None
    lon, lat = healpix.pix2ang(nside, np.arange(12 * nside**2), nest=nested, lonlat=True)
    return lat, lon
