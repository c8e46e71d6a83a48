"""Make a grid from latitude and longitude in degrees: regular if possible, with each meridian once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.sphere.longitude import once_around
from faconv_cli.cube.sphere.mesh import axes_of_mesh
from faconv_cli.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Made:
    """A grid, and how it was made from the file.

    Attributes:
        grid: its points.
        once: columns of the file that hold each meridian once; None for all.
        notes: choices made, in sentences.
    """

    grid: Grid
    once: slice | None = None
    notes: tuple[str, ...] = ()


def make_grid(lat: Floats, lon: Floats, y: str, x: str, names: tuple[str, str]) -> Made:
    """Make a grid from coordinates in degrees, both 1-D or both (h, w).

    Args:
        lat, lon: as in the file.
        y, x: dimensions in the file.
        names: names of the coordinates.

    Raises:
        InputError: see `Grid.from_coordinates` and `once_around`.
    """
    if lat.ndim == 1:
        return _of_axes(lat, lon, y, x)
    return _of_mesh(lat, lon, y, x, names) or _of_points(lat, lon, y, x)


def _of_axes(lat: Floats, lon: Floats, y: str, x: str) -> Made:
    once = once_around(lon, x)
    kept = lon[once]
    grid = Grid.from_coordinates(lat, kept, y, x)
    left = len(lon) - len(kept)
    if not left:
        return Made(grid)
    note = (
        f"{left} of {len(lon)} columns along {x} repeat the other end (longitude {lon[0]:g} to "
        f"{lon[-1]:g}). Each meridian is used once, {kept[0]:g} to {kept[-1]:g}."
    )
    return Made(grid, once, (note,))


def _of_mesh(lat: Floats, lon: Floats, y: str, x: str, names: tuple[str, str]) -> Made | None:
    """Return the regular grid of a mesh; None for any other grid, or if the axes are not monotonic."""
    mesh = axes_of_mesh(lat, lon)
    if mesh is None:
        return None
    y, x = (x, y) if mesh.turned else (y, x)
    try:
        made = _of_axes(mesh.lat, mesh.lon, y, x)
    except InputError:
        return None
    note = f"{names[0]!r} and {names[1]!r} on ({y}, {x}) are a mesh of two axes. The grid counts as regular."
    return replace(made, notes=(note, *made.notes))


def _of_points(lat: Floats, lon: Floats, y: str, x: str) -> Made:
    grid = Grid.from_coordinates(lat, lon, y, x)
    again = int(grid.again.sum())
    note = f"{again} of {lat.size} points on ({y}, {x}) repeat others. Each position is weighted once."
    return Made(grid, notes=(note,) if again else ())
