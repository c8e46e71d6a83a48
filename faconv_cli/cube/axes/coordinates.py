"""Coordinates of one data set by role, and the grid of each variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli.cube.axes.angles import degrees_in_one, in_degrees, pair_in_degrees
from faconv_cli.cube.axes.horizontal import make_grid
from faconv_cli.cube.axes.roles import Role, find, long_dims, named_by_others, names_in, role_of_name, text_of
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.open.refusal import Refusal
from faconv_cli.cube.read.lazy import load
from faconv_cli.cube.read.regrid import Regridding, healpix_points, regridding
from faconv_cli.cube.sphere.rotated import from_rotated_pole
from faconv_cli.errors import InputError

_ROLES: tuple[Role, ...] = ("latitude", "longitude", "time", "vertical", "member", "lead", "reference")
_OF_DIMS: tuple[Role, ...] = ("member", "lead", "reference", "vertical")
Floats = npt.NDArray[np.float64]

_ROTATED = {"grid_latitude": "rlat", "grid_longitude": "rlon"}
ONE_POINT = {"y of a series": 1, "x of a series": 1}  # dimensions added to a series


class Coordinates:
    """The coordinates of a data set by role, and the variables that may be fields.

    Args:
        dataset: opened lazily, times still encoded.
        path: the file, for messages.
        close: closes the file until it is read again.
        regrid: spacing in degrees of the regular grid for points along one dimension; None to refuse them.
        series: read a variable without a grid as a field of one point.
    """

    def __init__(
        self,
        dataset: xr.Dataset,
        path: str,
        close: Callable[[], None] | None,
        regrid: float | None = None,
        *,
        series: bool = False,
    ) -> None:
        self._series = series
        self._regrid, self.regriddings = regrid, dict[str, Regridding]()
        self.dataset, self.path, self.close = dataset, path, close
        self.variables: dict[str, xr.Variable] = {str(k): v for k, v in dataset.variables.items()}
        self.auxiliary = named_by_others(self.variables)
        self.notes: list[str] = []
        self._grids = dict[tuple[str, str], Grid | Refusal]()
        self._once = dict[str, slice]()  # columns along x that hold each meridian once
        plain = {name: one for name, one in self.variables.items() if name not in self.auxiliary}
        self.by_role: dict[Role, list[str]] = {role: find(role, plain) for role in _ROLES}
        taken = {name for names in self.by_role.values() for name in names}
        self.candidates = [
            name
            for name, variable in self.variables.items()
            if name not in taken and name not in dataset.dims and long_dims(variable)
        ]

    def grid_of(self, name: str) -> Grid | Refusal:
        """Return the grid of a variable from the latitude and longitude that share its dimensions."""
        dims = long_dims(self.variables[name])
        for lat in self._own_first(name, "latitude"):
            for lon in self._own_first(name, "longitude"):
                found = self._grid_along(name, lat, lon)
                if found is not None:
                    self._tell_choice(name, {"latitude": lat, "longitude": lon})
                    return found
        return (
            self._rotated_grid(name)
            or self._healpix_grid(name)
            or self._one_point(name)
            or Refusal(
                f"no horizontal grid (dimensions {', '.join(dims) or 'none'})",
                "faconv needs latitude and longitude, each 1-D or both 2-D, of more than one point",
                "add them to the file, with standard_name or units",
                stage=1,
            )
        )

    def _own_first(self, name: str, role: Role) -> list[str]:
        """Return coordinates of a role, first those that the variable names (as for staggered WRF grids)."""
        own = names_in(self.variables[name], "coordinates")
        return sorted(self.by_role[role], key=lambda other: other not in own)

    def _tell_choice(self, name: str, taken: Mapping[Role, str]) -> None:
        """Add a note if there are several coordinates and the variable names none, as on a staggered grid."""
        own = names_in(self.variables[name], "coordinates")
        for role, one in taken.items():
            dims = long_dims(self.variables[one])
            alike = [other for other in self.by_role[role] if long_dims(self.variables[other]) == dims]
            named = [other for other in alike if other in own] or alike
            if len(named) > 1:
                self.note(f"{name} has several {role}s, {', '.join(named)}; {one} is used.")

    def _grid_along(self, name: str, lat: str, lon: str) -> Grid | Refusal | None:
        """Return the grid of a pair of coordinates; None if the variable has other dimensions."""
        north, east = (long_dims(self.variables[n]) for n in (lat, lon))
        if not (set(north) | set(east) <= set(long_dims(self.variables[name]))):
            return None
        if len(north) == len(east) == 1:
            if north == east:
                return self._regridded(north[0], lat, lon)
            return self._make_grid(lat, lon, north[0], east[0])
        if north == east and len(north) == 2:
            return self._make_grid(lat, lon, *north)
        if north == east and len(north) == 3:
            if not all(self._constant(n) for n in (lat, lon)):
                return Refusal(
                    f"a grid that moves in time ({lat} along {north[0]})",
                    "a record has one fixed grid",
                    "regrid it to a fixed grid",
                    stage=2,
                )
            return self._make_grid(lat, lon, *north[1:])
        return None

    def _regridded(self, dim: str, lat: str, lon: str) -> Grid | Refusal:
        """Return the regular grid to which points along one dimension are regridded, if requested."""
        if self._regrid is None:
            return _unstructured(dim)
        angles = self._angles(lat, lon)
        return angles if isinstance(angles, Refusal) else self._regrid_points(dim, *angles)

    def _healpix_grid(self, name: str) -> Grid | Refusal | None:
        """Return the regular grid to which HEALPix pixels without coordinates are regridded."""
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

    def _regrid_points(self, dim: str, lat: Floats, lon: Floats) -> Grid:
        assert self._regrid is not None
        if dim not in self.regriddings:
            try:
                self.regriddings[dim] = regridding(lat, lon, self._regrid, dim)
            except InputError as error:
                raise InputError(f"{self.path}: {error.found}", wanted=error.wanted, do=error.do) from None
            self.notes.append(self.regriddings[dim].told(dim))
        return self.regriddings[dim].grid

    def _one_point(self, name: str) -> Grid | None:
        """Return the one-point grid of a series, if requested."""
        variable = self.variables[name]
        if not self._series or len(long_dims(variable)) != 1:
            return None
        sizes = dict(zip(variable.dims, variable.shape, strict=True)) | ONE_POINT
        self.variables[name] = variable.set_dims(sizes)  # type: ignore[no-untyped-call]
        return Grid.of_one_point(*ONE_POINT)

    def _constant(self, name: str) -> bool:
        """Return whether a coordinate repeated along its first dimension (as in WRF) ends as it begins."""
        variable = squeezed(self.variables[name])
        ends = (variable[{variable.dims[0]: step}] for step in (0, -1))
        first, last = (load(end, self.path, name) for end in ends)
        return bool(np.allclose(first, last, rtol=0, atol=1e-4, equal_nan=True))

    def _horizontal(self, name: str) -> Floats:
        variable = squeezed(self.variables[name])
        if variable.ndim == 3:
            variable = variable[{variable.dims[0]: 0}]
        return load(variable, self.path, name).astype(np.float64)

    def _angles(self, lat: str, lon: str) -> tuple[Floats, Floats] | Refusal:
        """Return latitude and longitude in degrees, from any unit of angle."""
        text = next((name for name in (lat, lon) if self.variables[name].dtype.kind not in "fiu"), None)
        if text is not None:
            return Refusal(
                f"a coordinate {text} of type {self.variables[text].dtype}",
                "latitude and longitude must be numbers",
                "store it as numbers in the file",
                stage=2,
            )
        units = {name: text_of(self.variables[name].attrs, "units") for name in (lat, lon)}
        other = next((name for name, unit in units.items() if degrees_in_one(unit) is None), None)
        if other is not None:
            return Refusal(
                f"a coordinate {other} in {units[other]}",
                "latitude and longitude must be angles, not distances on a map",
                "add latitude and longitude to the file, or set their units to degrees",
                stage=2,
            )
        north, east, notes = pair_in_degrees(self._horizontal(lat), self._horizontal(lon), units)
        for note in notes:
            self.note(note)
        return north, east

    def note(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)

    def _make_grid(self, lat: str, lon: str, y: str, x: str) -> Grid | Refusal:
        if (lat, lon) not in self._grids:
            angles = self._angles(lat, lon)
            self._grids[lat, lon] = (
                angles if isinstance(angles, Refusal) else self._checked(*angles, y, x, (lat, lon))
            )
        return self._grids[lat, lon]

    def _checked(self, lat: Floats, lon: Floats, y: str, x: str, names: tuple[str, str]) -> Grid:
        """Return the grid of coordinates in degrees."""
        try:
            made = make_grid(lat, lon, y, x, names)
        except InputError as error:
            raise InputError(f"{self.path}: {error.found}", wanted=error.wanted, do=error.do) from None
        for note in made.notes:
            self.note(note)
        if made.once is not None:
            self._once[made.grid.x_name] = made.once
        return made.grid if made.grid.regular else replace(made.grid, along=self._along(y, x))

    def _along(self, y: str, x: str) -> dict[str, xr.Variable]:
        """Return the coordinates of the file along two dimensions, see `Grid.along`."""
        own = {dim: self.variables[dim] for dim in (y, x) if dim in self.variables}
        found = {
            dim: xr.Variable((dim,), load(variable, self.path, dim), variable.attrs)
            for dim, variable in own.items()
            if variable.dims == (dim,) and variable.dtype.kind in "iuf"
        }
        mapping = next((n for n, v in self.variables.items() if "grid_mapping_name" in v.attrs), None)
        if mapping is None or len(found) < 2:
            return found
        return found | {mapping: xr.Variable((), np.int32(0), self.variables[mapping].attrs)}

    def once(self, variable: xr.Variable) -> xr.Variable:
        """Return a variable without the columns that repeat a meridian."""
        return variable.isel({dim: kept for dim, kept in self._once.items() if dim in variable.dims})

    def _rotated_grid(self, name: str) -> Grid | Refusal | None:
        """Return the grid of coordinates on a rotated pole."""
        variable = self.variables[name]
        mapping = next((n for n in names_in(variable, "grid_mapping") if n in self.variables), None)
        axes = [self._axis_of(standard, usual, variable) for standard, usual in _ROTATED.items()]
        y, x = axes
        if mapping is None or y is None or x is None:
            return None
        about = self.variables[mapping].attrs
        if about.get("grid_mapping_name") != "rotated_latitude_longitude":
            return None
        if (y, x) not in self._grids:
            angles = self._angles(y, x)
            if isinstance(angles, Refusal):
                return angles
            lat, lon = from_rotated_pole(*angles, about)
            self.note(f"Latitude and longitude are computed from the rotated pole {mapping!r}.")
            self._grids[y, x] = self._checked(lat, lon, y, x, ("latitude", "longitude"))
        return self._grids[y, x]

    def _axis_of(self, standard_name: str, usual: str, variable: xr.Variable) -> str | None:
        for dim in map(str, variable.dims):
            coordinate = self.variables.get(dim)
            if coordinate is not None and (
                text_of(coordinate.attrs, "standard_name") == standard_name or dim.lower() == usual
            ):
                return dim
        return None

    def names_of(self, grid: Grid) -> tuple[str, str] | None:
        """Return the names of the latitude and longitude of a grid."""
        return next((names for names, made in self._grids.items() if made is grid), None)

    def bounds_of(self, name: str) -> Floats | None:
        """Return the bounds (n, 2) of a 1-D coordinate in degrees; None if it has none."""
        named = [other for other in names_in(self.variables[name], "bounds") if other in self.variables]
        if not named:
            return None
        bounds = self.once(squeezed(self.variables[named[0]]))
        along = long_dims(self.variables[name])
        if bounds.dtype.kind not in "fiu" or bounds.shape[1:] != (2,) or bounds.dims[:1] != along:
            return None
        values = load(bounds, self.path, named[0])
        # in CF, bounds have the units of their coordinate
        return in_degrees(values, text_of(self.variables[name].attrs, "units"))

    def role_of_dim(self, dim: str) -> Role | None:
        """Return the role of a dimension, from its coordinate or, without one, its name."""
        for role in _OF_DIMS:
            if any(self.variables[name].dims == (dim,) for name in self.by_role[role]):
                return role
        return role_of_name(dim, _OF_DIMS)

    def coordinate_of(self, dim: str) -> xr.Variable | None:
        """Return the coordinate along a dimension: the one of the same name, else one with a role."""
        if dim in self.variables:
            return self.variables[dim]
        names = [name for role in _OF_DIMS for name in self.by_role[role]]
        return next((self.variables[n] for n in names if self.variables[n].dims == (dim,)), None)


def squeezed(variable: xr.Variable) -> xr.Variable:
    """Drop the dimensions of one point."""
    return variable.isel(
        {dim: 0 for dim, size in zip(variable.dims, variable.shape, strict=True) if size == 1}
    )


def _unstructured(dim: str) -> Refusal:
    return Refusal(
        f"an unstructured grid (one dimension {dim})",
        "faconv needs two horizontal dimensions, not a reduced Gaussian, HEALPix or unstructured grid",
        "regrid it to a regular grid with --regrid DEGREES",
        stage=2,
    )
