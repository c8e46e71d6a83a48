"""A box of latitudes and longitudes, cut out of a cube on each read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.read.readers import Masked, Picked, Reader
from faconv_cli.cube.sphere.longitude import wrapped
from faconv_cli.errors import InputError, UsageError

TOLERANCE_DEG = 1e-4  # coordinates are often float32

_NUMBER = r"\s*([-+]?\d+(?:\.\d*)?)\s*"
_REGION = re.compile(f"{_NUMBER}:{_NUMBER},{_NUMBER}:{_NUMBER}")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """A box in degrees; it runs from ``west`` eastwards to ``east``, across any meridian."""

    south: float
    north: float
    west: float
    east: float

    @classmethod
    def parse(cls, text: str) -> Region:
        """Parse ``LAT0:LAT1,LON0:LON1``; latitudes in either order, longitudes from west to east.

        Raises:
            UsageError: the text is not such a region.
        """
        match = _REGION.fullmatch(text)
        numbers = [float(number) for number in match.groups()] if match else []
        if not numbers or max(map(abs, numbers[:2])) > 90 or max(map(abs, numbers[2:])) > 540:
            raise UsageError(
                f"--region {text!r} is not a region",
                wanted="a region is LAT0:LAT1,LON0:LON1 in degrees, with longitudes from west to east",
                do="write it as in --region 20:80,-90:30",
            )
        return cls(*sorted(numbers[:2]), *numbers[2:])

    def latitudes(self, lat: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Mark the latitudes inside."""
        return (lat >= self.south - TOLERANCE_DEG) & (lat <= self.north + TOLERANCE_DEG)

    def longitudes(self, lon: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Mark the longitudes inside, in any convention."""
        width = self.east - self.west
        if width >= 360 - TOLERANCE_DEG:
            return np.isfinite(lon)
        east_of_west = (lon - self.west + TOLERANCE_DEG) % 360
        return east_of_west <= width % 360 + 2 * TOLERANCE_DEG


@dataclass(frozen=True, eq=False)
class Cut:
    """The part of a grid inside a region.

    Attributes:
        grid: the points in the box.
        rows: (h,) row indices in the whole grid, in canonical order.
        columns: (w,) column indices in the whole grid, in canonical order.
        inside: (h, w) which points of the box lie in the region; all of them on a regular grid.
    """

    grid: Grid
    rows: Indices
    columns: Indices
    inside: npt.NDArray[np.bool_]


def plan_cut(grid: Grid, text: str) -> Cut:
    """Find the points in a region.

    Raises:
        UsageError: not a region.
        InputError: it holds fewer than two points along a side of the grid, or only cells of zero area.
    """
    region = Region.parse(text)
    rows, columns, inside = _points_inside(grid, region)
    if min(len(rows), len(columns)) < 2:
        raise InputError(
            f"--region {text} holds {len(rows)} x {len(columns)} points of the grid",
            wanted="a region needs at least 2 x 2 points; the grid has latitudes "
            f"{np.nanmin(grid.lat):g} to {np.nanmax(grid.lat):g} and longitudes "
            f"{np.nanmin(grid.lon):g} to {np.nanmax(grid.lon):g}",
            do="choose a region inside the grid, with longitudes from west to east",
        )
    part = _sub_grid(grid, rows, columns)
    if part.regular:
        columns = _nearest(grid.lon, part.lon)
    if grid.cell_area is not None:
        part = replace(part, cell_area=_some(grid.cell_area[rows[:, None], columns], text))
    return Cut(part, rows, columns, inside)


def _some(area: npt.NDArray[np.float64], text: str) -> npt.NDArray[np.float64]:
    """Return the cell areas unless they are all 0, as ocean cell areas are on land."""
    if area.any():
        return area
    raise InputError(
        f"all points in --region {text} have a cell area of 0",
        wanted="points are weighted by cell area, so at least one area must be positive",
        do="choose another region, or data without cell areas",
    )


def cut_region(cube: Cube, text: str) -> Cube:
    """Keep the points in a region; with 2-D coordinates, the smallest box around it, missing outside it.

    Raises:
        UsageError: not a region.
        InputError: it holds fewer than two points along a side of the grid.
    """
    cut = plan_cut(cube.grid, text)
    readers: list[Reader] = [_picked(reader, cut.rows, cut.columns) for reader in cube.readers]
    outside = int((~cut.inside).sum())
    if outside:
        readers = [Masked(reader, cut.inside) for reader in readers]
    (h, w), (rows, columns) = cut.grid.shape, cube.grid.shape
    note = f"Region {text}: {h} x {w} of {rows} x {columns} points"
    note += f", {outside} of them outside the region and set to missing." if outside else "."
    new = [cut.grid.torn] if cut.grid.torn and not cube.grid.torn else []
    return cube.through(readers, grid=cut.grid).noted(note, *new)


def cut_rows(cube: Cube, rows: Indices) -> Cube:
    """Keep neighbouring rows (n,) of a cube, in canonical order."""
    columns = np.arange(cube.grid.shape[1])
    readers = [_picked(reader, rows, columns) for reader in cube.readers]
    return cube.through(readers, grid=_sub_grid(cube.grid, rows, columns))


def _points_inside(grid: Grid, region: Region) -> tuple[Indices, Indices, npt.NDArray[np.bool_]]:
    """Return the rows, the columns from west to east, and which of their points lie inside."""
    if not grid.regular:
        inside = region.latitudes(grid.lat) & region.longitudes(grid.lon)
        rows, columns = _span(inside, 1), _span(inside, 0)
        return rows, columns, inside[np.ix_(rows, columns)]
    rows = np.flatnonzero(region.latitudes(grid.lat))
    columns = np.flatnonzero(region.longitudes(grid.lon))
    breaks = np.flatnonzero(np.diff(columns) != 1)
    if len(breaks):  # the box holds both ends of the grid's longitudes
        columns = np.roll(columns, -(breaks[0] + 1))
    return rows, columns, np.ones((len(rows), len(columns)), bool)


def _span(inside: npt.NDArray[np.bool_], axis: int) -> Indices:
    """Return all indices from the first to the last hit, after reducing along ``axis``."""
    hits = np.flatnonzero(inside.any(axis))
    return np.arange(hits[0], hits[-1] + 1) if len(hits) else hits


def _sub_grid(grid: Grid, rows: Indices, columns: Indices) -> Grid:
    """Return the grid of some points, with the longitudes of the file unless they cross its edge."""
    if not grid.regular:
        lat, lon = (c[rows[:, None], columns] for c in (grid.file_lat, grid.file_lon))
        kept = {grid.y_name: rows, grid.x_name: columns}
        along = {name: one.isel(kept, missing_dims="ignore") for name, one in grid.along.items()}
        return replace(Grid.from_coordinates(lat, lon, grid.y_name, grid.x_name), along=along)
    in_file = [np.sort(index[kept]) for index, kept in zip(grid.file_index, (rows, columns), strict=True)]
    lat, lon = grid.file_lat[in_file[0]], grid.file_lon[in_file[1]]
    if (np.diff(in_file[1]) != 1).any():
        east = np.unwrap(grid.lon[columns], period=360)
        lon = Grid.from_coordinates(lat, east).lon
    return Grid.from_coordinates(lat, lon, grid.y_name, grid.x_name)


def _nearest(lon: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> Indices:
    """Return the indices of the ``wanted`` longitudes, in any convention."""
    away = np.abs(wrapped(lon[None] - wanted[:, None]))
    return np.asarray(away.argmin(axis=1))


def _picked(reader: Reader, rows: Indices, columns: Indices) -> Reader:
    """Read some points: a file reads only these, any other reader reads all and keeps these."""
    if isinstance(reader, Series):
        return reader.pick(rows, columns)
    return Picked(reader, rows, columns)
