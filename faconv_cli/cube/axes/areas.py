"""Cell areas that files offer, and the grids that are weighted by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.align import aligned
from faconv_cli.cube.axes.coordinates import Coordinates, squeezed
from faconv_cli.cube.axes.roles import names_in, text_of
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.lazy import load
from faconv_cli.cube.sphere.cells import CLOSE, holes
from faconv_cli.cube.sphere.longitude import around, wrapped
from faconv_cli.errors import InputError

Floats = npt.NDArray[np.float64]

_OTHERWISE = "points are weighted by the areas that their coordinates span"
_LARGEST = 1e4  # times the median area: cells of a grid differ less, whatever its poles
_MIDWAY = 1e-3  # of an area: bounds that change it by less are taken to lie midway between the points


@dataclass(frozen=True, eq=False)
class _Area:
    """A variable that holds cell areas, in a file with coordinates of its own."""

    name: str
    path: str
    dataset: xr.Dataset

    def on(self, grid: Grid, roles: Coordinates) -> Floats | str:
        """Return the areas (h, w) in canonical order of ``grid``, or why they do not fit its points.

        Args:
            grid: of a variable in the file that ``roles`` is about.
            roles: the coordinates of that file.
        """
        if self.path == roles.path and self._dims == {grid.y_name, grid.x_name}:
            return self._read(roles, grid)  # the very dimensions of the variable
        about = Coordinates(self.dataset, self.path, None)
        own = about.grid_of(self.name)
        if isinstance(own, Refusal):
            return f"with {own.reason}"
        if self._dims != {own.y_name, own.x_name}:
            return f"along {', '.join(sorted(self._dims))}"
        field = aligned(self._read(about, own), own, grid)
        return f"on {own.told()}" if field is None else field

    @property
    def _dims(self) -> set[str]:
        return set(map(str, squeezed(self.dataset.variables[self.name]).dims))

    def _read(self, roles: Coordinates, grid: Grid) -> Floats:
        variable = roles.once(squeezed(self.dataset.variables[self.name]))
        values = load(variable.transpose(grid.y_name, grid.x_name), self.path, self.name)
        return grid.to_canonical(values.astype(np.float64))


class CellAreas:
    """The cell areas in some files.

    Args:
        files: their paths and data sets.

    Attributes:
        used: names of those that some grid is weighted by.
    """

    def __init__(self, files: Iterable[tuple[str, xr.Dataset]]) -> None:
        self._areas = [
            _Area(str(name), path, dataset)
            for path, dataset in files
            for name, variable in dataset.variables.items()
            if text_of(variable.attrs, "standard_name") == "cell_area" or str(name).lower().startswith("area")
        ]
        self._weighted: dict[tuple[Grid, str], Grid] = {}
        self.used = set[str]()

    def weigh(self, name: str, grid: Grid, roles: Coordinates) -> Grid:
        """Weight the grid of a variable by the cell areas that the variable names, if some file has them.

        Several files may have areas of that name; those of the variable's own file come first. Where there
        are none, by the bounds of latitude and longitude.

        Raises:
            InputError: all of them are of other points.
        """
        listed = names_in(roles.variables[name], "cell_measures")
        named = next((other for kind, other in pairwise(listed) if kind == "area"), "")
        if grid.y_name in roles.regriddings:
            return grid
        if (grid, named) not in self._weighted:
            area = self._find(name, named, grid, roles) if named else None
            area = from_bounds(grid, roles) if area is None else area
            self._weighted[grid, named] = grid if area is None else grid.with_area(area)
        return self._weighted[grid, named]

    def _find(self, name: str, named: str, grid: Grid, roles: Coordinates) -> Floats | None:
        fields = sorted((one for one in self._areas if one.name == named), key=lambda a: a.path != roles.path)
        if not fields:
            if not grid.regular:
                roles.note(f"Cell areas {named!r} are in none of the files: {_OTHERWISE}.")
            return None
        found = [(field, field.on(grid, roles)) for field in fields]
        area = next((area for _, area in found if not isinstance(area, str)), None)
        if area is None:
            raise _other_points(name, grid, roles.path, *found[0])
        odd = _impossible(area)
        if odd.any():
            roles.note(
                f"{odd.sum()} of {odd.size} cell areas {named!r} are not positive ({area[odd][0]:.6g}): "
                "such points carry no weight."
            )
            area = np.where(odd, np.nan, area)
        if not (np.nan_to_num(area) > 0).any():
            roles.note(f"Cell areas {named!r} hold nothing: {_OTHERWISE}.")
            return None
        roles.note(f"Points are weighted by the cell areas {named!r}.")
        self.used.add(named)
        return area


def _impossible(area: Floats) -> npt.NDArray[np.bool_]:
    """Mark numbers that stand for missing without saying so: below 0, or much larger than all others."""
    sizes = area[area > 0]
    largest = _LARGEST * np.median(sizes) if sizes.size else np.inf
    return np.asarray((area < 0) | (area > largest))


def _other_points(name: str, grid: Grid, path: str, field: _Area, found: Floats | str) -> InputError:
    return InputError(
        f"{path}: {name} refers to the cell areas {field.name!r}, which in {field.path} are {found}",
        wanted=f"cell areas must be on the grid of {name}: {grid.told()}",
        do="give the areas on this grid, with their latitude and longitude, or leave them out",
    )


def from_bounds(grid: Grid, roles: Coordinates) -> Floats | None:
    """Areas (h, w) of cells between the bounds of latitude and longitude, in canonical order.

    None where the file gives no bounds, where they contradict the coordinates, and where they are as good as
    midway between the points, so that a record weighs the same with bounds and without.
    """
    names = roles.names_of(grid)
    if names is None or not grid.regular:
        return None
    rows, columns = grid.file_index
    north, east = (
        _edges(roles, name, centres.astype(np.float64))
        for name, centres in zip(names, (grid.file_lat, grid.file_lon), strict=True)
    )
    heights, widths = grid.cell_heights, grid.cell_widths
    if north is not None:
        heights = np.diff(np.sin(np.radians(np.clip(north, -90, 90))))[rows, 0]
    if east is not None:
        widths = np.diff(east)[columns, 0]
    area = np.outer(heights, widths)
    if np.allclose(area / area.sum(), grid.area, rtol=_MIDWAY, atol=0):
        return None
    roles.note("Points are weighted by the areas between the bounds of latitude and longitude.")
    return area


def _edges(roles: Coordinates, name: str, centres: Floats) -> Floats | None:
    """Edges (n, 2) of the cells along a coordinate (n,); None without bounds, or where they do not fit."""
    bounds = roles.bounds_of(name)
    if bounds is None:
        return None
    edges = _fitting(bounds, centres) if len(bounds) == len(centres) else None
    if edges is None:
        roles.note(f"The bounds of {name!r} contradict it and are not used.")
    return edges


def _fitting(bounds: Floats, centres: Floats) -> Floats | None:
    """Bounds (n, 2) as edges, lower first, on the turn of their centres (n,); None where they do not fit.

    Each cell holds its point, and neighbours touch, but across a hole in the axis.
    """
    if not np.isfinite(bounds).all():
        return None
    edges = np.sort(centres[:, None] + (bounds - centres[:, None] + 180) % 360 - 180, axis=1)
    widths = edges[:, 1] - edges[:, 0]
    if not (widths > 0).all():
        return None
    near = CLOSE * float(np.median(widths))
    inside = (edges[:, 0] <= centres + near) & (centres <= edges[:, 1] + near)
    lower, upper = (edges[:, end] for end in (0, 1))
    along = around(centres)
    ahead = along[-1] > along[0]
    gaps = (lower[1:] - upper[:-1]) if ahead else (lower[:-1] - upper[1:])
    touching = np.abs(wrapped(gaps)) <= near
    return edges if inside.all() and (touching | ((gaps > 0) & holes(along))).all() else None
