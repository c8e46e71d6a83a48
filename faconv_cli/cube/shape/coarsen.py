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

LEAST_VALID_SHARE = 0.5 - 1e-9  # of a block's area, less rounding; a mean of less stands for other places

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coarsened(Transformed):
    """Area-weighted means over blocks of ``side`` x ``side`` points; those at the far edges may be smaller.

    A block is missing where its valid points make up less than half of its area.

    Attributes:
        area: (h, w) of the finer points.
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

    Points are added one after the other, so that a sum does not depend on the steps beside it.
    """
    h, w = -(-field.shape[-2] // side), -(-field.shape[-1] // side)
    total = np.zeros((*field.shape[:-2], h, w))
    for y in range(min(side, field.shape[-2])):
        for x in range(min(side, field.shape[-1])):
            part = field[..., y::side, x::side]
            total[..., : part.shape[-2], : part.shape[-1]] += part
    return total


def coarsen(cube: Cube, side: int) -> Cube:
    """Take means over blocks of ``side`` x ``side`` points, counted from the south-western corner.

    Raises:
        UsageError: blocks that leave fewer than two points along a side, or do not divide the longitudes of
            a grid that closes the circle.
    """
    h, w = cube.grid.shape
    if cube.grid.periodic and w % side:
        raise UsageError(
            f"--coarsen {side} does not divide {w} longitudes",
            wanted="on a global grid the number of longitudes must be a multiple of it",
            do="choose another number",
        )
    grid = coarse_grid(cube.grid, side)
    if min(grid.shape) < 2:
        raise UsageError(
            f"--coarsen {side} leaves {grid.shape[0]} x {grid.shape[1]} of {h} x {w} points",
            wanted="a grid has at least two points along each side",
            do="choose a smaller number",
        )
    readers = [Coarsened(reader, side, cube.grid.area) for reader in cube.readers]
    note = f"Means over blocks of {side} x {side} points: {grid.shape[0]} x {grid.shape[1]} of {h} x {w}."
    return cube.through(readers, grid=grid).noted(note)


def coarse_grid(grid: Grid, side: int) -> Grid:
    """The grid of the blocks: at the mean coordinates of their points, with the sum of their areas.

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
    """Plain means (h / side, w / side) of the coordinates that are there."""
    known = np.isfinite(coordinate)
    count = block_sums(known.astype(np.float64), side)
    total = block_sums(np.where(known, coordinate, 0.0), side)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _first_of_block(coordinate: Floats, side: int) -> Floats:
    """(h, w) the coordinate of the first point of each point's block."""
    h, w = coordinate.shape
    first = coordinate[::side, ::side].repeat(side, 0).repeat(side, 1)
    return first[:h, :w]
