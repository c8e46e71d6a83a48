"""The coordinates of one data set by role, and the grid that each of its variables lies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.cube.lazy import load
from faconv_cli.cube.regrid import Regridding, healpix_points, regridding
from faconv_cli.cube.roles import Role, find, long_dims, named_by_others, names_in, role_of_name, text_of
from faconv_cli.cube.rotated import from_rotated_pole
from faconv_cli.errors import InputError

_ROLES: tuple[Role, ...] = ("latitude", "longitude", "time", "vertical", "member", "lead", "reference")
_OF_DIMS: tuple[Role, ...] = ("member", "lead", "reference", "vertical")
_ROTATED = {"grid_latitude": "rlat", "grid_longitude": "rlon"}


@dataclass(frozen=True)
class Refusal:
    """Why a variable is not a channel, in the parts of an error; a larger ``stage`` came nearer."""

    reason: str
    wanted: str
    do: str
    stage: int = 0

    @property
    def told(self) -> str:
        """The reason, with what to do where an option is all that is missing."""
        return f"{self.reason}: {self.do}" if "--" in self.do else self.reason


class Coordinates:
    """The coordinates of a data set by role, and the variables that may be fields.

    Args:
        dataset: opened lazily, times still encoded.
        path: the file, for messages.
        close: closes the file until it is read again.
        areas: cell areas by name, that may be in other files.
        regrid: spacing in degrees of the regular grid for points along one dimension; None to refuse them.
    """

    def __init__(
        self,
        dataset: xr.Dataset,
        path: str,
        close: Callable[[], None] | None,
        areas: Mapping[str, xr.Variable],
        regrid: float | None = None,
    ) -> None:
        self._regrid, self.regriddings = regrid, dict[str, Regridding]()
        self.dataset, self.path, self.close = dataset, path, close
        self.variables: dict[str, xr.Variable] = {str(k): v for k, v in dataset.variables.items()}
        self.auxiliary = named_by_others(self.variables)
        self.notes: list[str] = []
        self._areas, self._grids = areas, dict[tuple[str, ...], Grid]()
        plain = {name: one for name, one in self.variables.items() if name not in self.auxiliary}
        self.by_role: dict[Role, list[str]] = {role: find(role, plain) for role in _ROLES}
        taken = {name for names in self.by_role.values() for name in names}
        self.candidates = [
            name
            for name, variable in self.variables.items()
            if name not in taken and name not in dataset.dims and long_dims(variable)
        ]

    def grid_of(self, name: str) -> Grid | Refusal:
        """The grid of a variable from the latitude and longitude that share its dimensions."""
        dims = long_dims(self.variables[name])
        for lat in self._own_first(name, "latitude"):
            for lon in self._own_first(name, "longitude"):
                found = self._grid_along(name, lat, lon)
                if found is not None:
                    return found
        return (
            self._rotated_grid(name)
            or self._healpix_grid(name)
            or Refusal(
                f"no horizontal grid (dimensions {', '.join(dims) or 'none'})",
                "faconv needs latitude and longitude, each 1-D or both 2-D, of more than one point",
                "give a file that has them, with their standard_name or units",
                stage=1,
            )
        )

    def _own_first(self, name: str, role: Role) -> list[str]:
        """Coordinates of a role, those first that the variable names itself, as WRF's staggered ones."""
        own = names_in(self.variables[name], "coordinates")
        return sorted(self.by_role[role], key=lambda other: other not in own)

    def _grid_along(self, name: str, lat: str, lon: str) -> Grid | Refusal | None:
        """The grid of a pair of coordinates; None where the variable has other dimensions."""
        north, east = (long_dims(self.variables[n]) for n in (lat, lon))
        if not (set(north) | set(east) <= set(long_dims(self.variables[name]))):
            return None
        if len(north) == len(east) == 1:
            if north == east:
                return self._regridded(north[0], lat, lon)
            return self._make_grid(name, lat, lon, north[0], east[0])
        if north == east and len(north) == 2:
            return self._make_grid(name, lat, lon, *north)
        if north == east and len(north) == 3:
            if not all(self._constant(n) for n in (lat, lon)):
                return Refusal(
                    f"a grid that moves in time ({lat} along {north[0]})",
                    "a cube has one grid",
                    "regrid it to one that stays",
                    stage=2,
                )
            return self._make_grid(name, lat, lon, *north[1:])
        return None

    def _regridded(self, dim: str, lat: str, lon: str) -> Grid | Refusal:
        """The regular grid that points along one dimension go to, where that is asked for."""
        if self._regrid is None:
            return _unstructured(dim)
        return self._regrid_points(
            dim, *(_degrees(self.variables[name], self.path, name) for name in (lat, lon))
        )

    def _healpix_grid(self, name: str) -> Grid | Refusal | None:
        """The regular grid that HEALPix pixels without coordinates go to."""
        mapping = next(
            (n for n in names_in(self.variables[name], "grid_mapping") if n in self.variables), None
        )
        about = {} if mapping is None else self.variables[mapping].attrs
        nside = about.get("healpix_nside")
        if about.get("grid_mapping_name") != "healpix" or not isinstance(nside, int | np.integer):
            return None
        dims = (dim for dim in long_dims(self.variables[name]) if self.dataset.sizes[dim] == 12 * nside**2)
        dim = next(dims, None)
        if dim is None:
            return None
        if self._regrid is None:
            return _unstructured(dim)
        nested = not str(about.get("healpix_order", "nest")).startswith("ring")
        return self._regrid_points(dim, *healpix_points(int(nside), nested=nested, path=self.path))

    def _regrid_points(self, dim: str, lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64]) -> Grid:
        assert self._regrid is not None
        if dim not in self.regriddings:
            try:
                self.regriddings[dim] = regridding(lat, lon, self._regrid, dim)
            except InputError as error:
                raise InputError(f"{self.path}: {error.found}", wanted=error.wanted, do=error.do) from None
            self.notes.append(self.regriddings[dim].told(dim))
        return self.regriddings[dim].grid

    def _constant(self, name: str) -> bool:
        """Whether a coordinate repeated along its first dimension, as WRF's, ends as it began."""
        variable = squeezed(self.variables[name])
        ends = (variable[{variable.dims[0]: step}] for step in (0, -1))
        first, last = (load(end, self.path, name) for end in ends)
        return bool(np.allclose(first, last, rtol=0, atol=1e-4, equal_nan=True))

    def _horizontal(self, name: str) -> npt.NDArray[np.float64]:
        variable = squeezed(self.variables[name])
        if variable.ndim == 3:
            variable = variable[{variable.dims[0]: 0}]
        return load(variable, self.path, name)

    def _make_grid(self, name: str, lat: str, lon: str, y: str, x: str) -> Grid:
        measure = self._area_name(name, y, x, two_dims=len(long_dims(self.variables[lat])) > 1)
        if (lat, lon, measure) not in self._grids:
            grid = self._checked(self._horizontal(lat), self._horizontal(lon), y, x)
            self._grids[lat, lon, measure] = self._with_area(grid, measure)
        return self._grids[lat, lon, measure]

    def _checked(self, lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64], y: str, x: str) -> Grid:
        try:
            return Grid.from_coordinates(lat, lon, y, x)
        except InputError as error:
            raise InputError(f"{self.path}: {error.found}", wanted=error.wanted, do=error.do) from None

    def _rotated_grid(self, name: str) -> Grid | None:
        """A grid whose latitude and longitude follow from a rotated pole."""
        variable = self.variables[name]
        mapping = next((n for n in names_in(variable, "grid_mapping") if n in self.variables), None)
        axes = [self._axis_of(standard, usual, variable) for standard, usual in _ROTATED.items()]
        y, x = axes
        if mapping is None or y is None or x is None:
            return None
        about = self.variables[mapping].attrs
        if about.get("grid_mapping_name") != "rotated_latitude_longitude":
            return None
        measure = self._area_name(name, y, x, two_dims=True)
        if (y, x, measure) not in self._grids:
            rlat, rlon = (load(self.variables[axis], self.path, axis) for axis in (y, x))
            lat, lon = from_rotated_pole(rlat, rlon, about)
            self._grids[y, x, measure] = self._with_area(self._checked(lat, lon, y, x), measure)
            self.notes.append(f"Latitude and longitude are computed from the rotated pole {mapping!r}.")
        return self._grids[y, x, measure]

    def _axis_of(self, standard_name: str, usual: str, variable: xr.Variable) -> str | None:
        for dim in map(str, variable.dims):
            coordinate = self.variables.get(dim)
            if coordinate is not None and (
                text_of(coordinate.attrs, "standard_name") == standard_name or dim.lower() == usual
            ):
                return dim
        return None

    def _area_name(self, name: str, y: str, x: str, *, two_dims: bool) -> str:
        """The cell areas that a variable names and some file holds on the grid's dimensions, or nothing."""
        listed = names_in(self.variables[name], "cell_measures")
        named = [other for kind, other in pairwise(listed) if kind == "area"]
        shape = tuple(self.dataset.sizes[dim] for dim in (y, x))
        for other in named:
            area = self._areas.get(other)
            if area is not None and sorted(long_shape(area)) == sorted(n for n in shape if n != 1):
                return other
        if named and two_dims:
            self.notes.append(
                f"Cell areas {named[0]!r} are in none of the files: points are weighted by the cosine of "
                "latitude."
            )
        return ""

    def _with_area(self, grid: Grid, measure: str) -> Grid:
        if not measure:
            return grid
        area = squeezed(self._areas[measure])
        if set(area.dims) == {grid.y_name, grid.x_name}:
            area = area.transpose(grid.y_name, grid.x_name)
        values = np.asarray(load(area, self.path, measure), np.float64)
        if values.shape != grid.shape or not (np.nan_to_num(values) > 0).any():
            return grid
        self.notes.append(f"Points are weighted by the cell areas {measure!r}.")
        return grid.with_area(values)

    def role_of_dim(self, dim: str) -> Role | None:
        """What a dimension counts, from its coordinate or, without one, its name."""
        for role in _OF_DIMS:
            if any(self.variables[name].dims == (dim,) for name in self.by_role[role]):
                return role
        return role_of_name(dim, _OF_DIMS)

    def coordinate_of(self, dim: str) -> xr.Variable | None:
        """The coordinate along a dimension: its namesake, else one of a role."""
        if dim in self.variables:
            return self.variables[dim]
        names = [name for role in _OF_DIMS for name in self.by_role[role]]
        return next((self.variables[n] for n in names if self.variables[n].dims == (dim,)), None)


def cell_areas(dataset: xr.Dataset) -> dict[str, xr.Variable]:
    """Variables of a data set that may be the cell areas of its own fields or of other files'."""
    return {
        str(name): variable
        for name, variable in dataset.variables.items()
        if text_of(variable.attrs, "standard_name") == "cell_area" or str(name).lower().startswith("area")
    }


def squeezed(variable: xr.Variable) -> xr.Variable:
    """Without the dimensions of one point."""
    return variable.isel(
        {dim: 0 for dim, size in zip(variable.dims, variable.shape, strict=True) if size == 1}
    )


def long_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Sizes of the dimensions of more than one point."""
    return tuple(size for size in variable.shape if size != 1)


def _degrees(variable: xr.Variable, path: str, name: str) -> npt.NDArray[np.float64]:
    """Read a coordinate (n,) in degrees; ICON counts in radians."""
    values = np.squeeze(load(variable, path, name)).astype(np.float64)
    return np.degrees(values) if text_of(variable.attrs, "units").lower().startswith("rad") else values


def _unstructured(dim: str) -> Refusal:
    return Refusal(
        f"an unstructured grid (one dimension {dim})",
        "faconv needs two horizontal dimensions, not a reduced Gaussian, HEALPix or unstructured grid",
        "have it regridded to a regular one with --regrid DEGREES",
        stage=2,
    )
