"""Means over blocks of grid points, weighted by area."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.read.readers import Fields, Transformed
from faconv_cli.cube.sphere.longitude import wrapped
from faconv_cli.errors import UsageError

LEAST_VALID_SHARE = (
    0.5 - 1e-9
)  # of a block's area, minus rounding; with less, a mean would not represent the block

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coarsened(Transformed):
    """Area-weighted means over blocks of ``side`` x ``side`` points; blocks at the far edges may be smaller.

    A block is missing if its valid points make up less than half of its area.

    Attributes:
        area: (h, w) cell areas of the fine grid.
    """

    side: int
    area: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, points along y and x."""
        t, h, w = self.inner.shape
        return t, -(-h // self.side), -(-w // self.side)

    def read_into(self, out: Fields, start: int, stop: int) -> None:
        """Fill ``out`` with steps [start, stop)."""
        whole = block_sums(self.area, self.side)
        for at, block in self.pieces(start, stop):
            valid = np.isfinite(block)
            weight = block_sums(np.where(valid, self.area, 0.0), self.side)
            total = block_sums(np.where(valid, block * self.area, 0.0), self.side)
            enough = weight >= LEAST_VALID_SHARE * whole
            out[at] = np.where(enough, total / np.where(weight > 0, weight, 1.0), np.nan)


def block_sums(field: Floats, side: int) -> Floats:
    """Sum ``field`` (..., h, w) over blocks: (..., h / side, w / side), rounded up.

    Points are added one by one, so a sum is the same to the bit whichever steps are read together.
    """
    h, w = -(-field.shape[-2] // side), -(-field.shape[-1] // side)
    total = np.zeros((*field.shape[:-2], h, w))
    for y in range(min(side, field.shape[-2])):
        for x in range(min(side, field.shape[-1])):
            part = field[..., y::side, x::side]
            total[..., : part.shape[-2], : part.shape[-1]] += part
    return total


def coarsen(cube: Cube, side: int) -> Cube:
    """Average over blocks of ``side`` x ``side`` points, counted from the south-western corner.

    Raises:
        UsageError: fewer than two blocks along a side, or a block size that does not divide the number of
            longitudes of a global grid.
    """
    h, w = cube.grid.shape
    if cube.grid.periodic and w % side:
        raise UsageError(
            f"--coarsen {side} does not divide the {w} longitudes of the grid",
            wanted="on a grid that goes around the globe, the block size must divide their number",
            do=f"choose a divisor of {w}",
        )
    grid = coarse_grid(cube.grid, side)
    if min(grid.shape) < 2:
        raise UsageError(
            f"--coarsen {side} leaves {grid.shape[0]} x {grid.shape[1]} of {h} x {w} points",
            wanted="a grid needs at least two points along each side",
            do="choose a smaller number",
        )
    readers = [Coarsened(reader, side, cube.grid.area) for reader in cube.readers]
    note = f"Means over blocks of {side} x {side} points: {grid.shape[0]} x {grid.shape[1]} of {h} x {w}."
    return cube.through(readers, grid=grid).noted(note)


def coarse_grid(grid: Grid, side: int) -> Grid:
    """Return the grid of the blocks, with the mean coordinates and the summed areas of their points.

    Latitudes and longitudes keep the order and the convention of the file.
    """
    area = block_sums(grid.area, side)
    if grid.regular:
        lat = _block_means(grid.lat[None], side)[0]
        lon = _block_means(grid.lon[None], side)[0]
        lon = np.sort(lon % 360 if np.max(grid.file_lon) > 180 else wrapped(lon))
        lat, lon = lat[:: -1 if grid.y_flip else 1], lon[:: -1 if grid.x_flip else 1]
    else:
        east = grid.lon + 360 * np.round((_first_of_block(grid.lon, side) - grid.lon) / 360)
        lat, lon = _block_means(grid.lat, side), _block_means(east, side)
    coarse = Grid.from_coordinates(lat, lon, grid.y_name, grid.x_name)
    return replace(coarse, cell_area=area)


def _block_means(coordinate: Floats, side: int) -> Floats:
    """Return unweighted means (h / side, w / side) of the coordinates that are not missing."""
    known = np.isfinite(coordinate)
    count = block_sums(known.astype(np.float64), side)
    total = block_sums(np.where(known, coordinate, 0.0), side)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _first_of_block(coordinate: Floats, side: int) -> Floats:
    """Return, for each point (h, w), the coordinate of the first point in its block."""
    h, w = coordinate.shape
    first = coordinate[::side, ::side].repeat(side, 0).repeat(side, 1)
    return first[:h, :w]
