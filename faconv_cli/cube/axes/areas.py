"""Cell areas read from files, and the grids weighted by them."""

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

_OTHERWISE = "points are weighted by cell areas computed from their coordinates"
_LARGEST = 1e4  # times the median area: cells of a real grid differ by less, even near the poles
_MIDWAY = 1e-3  # relative change of area below which bounds are taken to lie midway between the points


@dataclass(frozen=True, eq=False)
class _Area:
    """A variable with cell areas, in a file with its own coordinates."""

    name: str
    path: str
    dataset: xr.Dataset

    def on(self, grid: Grid, roles: Coordinates) -> Floats | str:
        """Return the areas (h, w) in canonical order of ``grid``, or the reason why they do not match it.

        Args:
            grid: grid of a variable in the file of ``roles``.
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
        used: names of the cell areas that were used as weights.
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
        """Weight the grid of a variable by the cell areas that it names, if a file has them.

        If several files have areas of that name, those in the variable's own file come first. Without cell
        areas, the bounds of latitude and longitude are used.

        Raises:
            InputError: all of these areas are on another grid.
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
                roles.note(f"None of the files has the cell areas {named!r}: {_OTHERWISE}.")
            return None
        found = [(field, field.on(grid, roles)) for field in fields]
        area = next((area for _, area in found if not isinstance(area, str)), None)
        if area is None:
            raise _other_points(name, grid, roles.path, *found[0])
        odd = _impossible(area)
        if odd.any():
            roles.note(
                f"{odd.sum()} of {odd.size} cell areas {named!r} are not valid areas ({area[odd][0]:.6g}). "
                "These points get no weight."
            )
            area = np.where(odd, np.nan, area)
        if not (np.nan_to_num(area) > 0).any():
            roles.note(f"Cell areas {named!r} hold no valid value: {_OTHERWISE}.")
            return None
        roles.note(f"Points are weighted by the cell areas {named!r}.")
        self.used.add(named)
        return area


def _impossible(area: Floats) -> npt.NDArray[np.bool_]:
    """Mark undeclared missing values: those below 0, or much larger than all others."""
    sizes = area[area > 0]
    largest = _LARGEST * np.median(sizes) if sizes.size else np.inf
    return np.asarray((area < 0) | (area > largest))


def _other_points(name: str, grid: Grid, path: str, field: _Area, found: Floats | str) -> InputError:
    return InputError(
        f"{path}: {name} names the cell areas {field.name!r}, which are in {field.path} {found}",
        wanted=f"cell areas must be on the grid of {name} ({grid.told()})",
        do="give cell areas on this grid, with latitude and longitude, or leave the file out",
    )


def from_bounds(grid: Grid, roles: Coordinates) -> Floats | None:
    """Return areas (h, w) of cells from the bounds of latitude and longitude, in canonical order.

    None if the file has no bounds, if they contradict the coordinates, or if they lie nearly midway between
    the points, so that a record has the same weights with and without such bounds.
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
    """Return cell edges (n, 2) along a coordinate (n,); None without bounds, or if they do not fit."""
    bounds = roles.bounds_of(name)
    if bounds is None:
        return None
    edges = _fitting(bounds, centres) if len(bounds) == len(centres) else None
    if edges is None:
        roles.note(f"The bounds of {name!r} contradict the coordinate and are not used.")
    return edges


def _fitting(bounds: Floats, centres: Floats) -> Floats | None:
    """Return bounds (n, 2) as edges, lower first, near their centres (n,); None if they do not fit.

    Bounds fit if each cell contains its point and neighbours touch, except across a hole in the axis.
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
