"""The grid: where the points are and how much area each stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.sphere import curved, longitude
from faconv_cli.cube.sphere.cells import CLOSE, cells, holes, spacing
from faconv_cli.cube.sphere.longitude import wrapped
from faconv_cli.cube.sphere.places import central_angle, check_degrees, disorder, on_sphere
from faconv_cli.errors import InputError

Floats = npt.NDArray[np.float64]

_SAME_PLACE_DIGITS = 4  # of degrees: ten metres
_NAME = re.compile(r"[A-Za-z]\w*")
_KEPT = ("standard_name", "long_name", "units", "axis")  # what a coordinate of a dimension says of itself


@dataclass(frozen=True, eq=False)
class Grid:
    """Horizontal grid in canonical order, and how the file's order differs.

    Latitudes and longitudes ascend. A grid that closes the circle starts at its first longitude from 0 on,
    any other at its western edge in [-180, 180), so that a region is the same grid whatever the file's order.
    A grid with 2-D coordinates keeps the order of its file.

    Attributes:
        lat: (h,) degrees north, ascending; (h, w) for 2-D coordinates.
        lon: (w,) degrees east, ascending, may run past 180 or 360; (h, w) for 2-D coordinates.
        periodic: whether the longitudes close the circle.
        y_flip, x_flip, x_roll: canonical = roll(flip(file), -x_roll along x).
        y_name, x_name: the file's names of the dimensions.
        file_lat, file_lon: the coordinates as in the file.
        cell_area: (h, w) areas of the cells in any unit, where they are known; 0 where missing.
        along: what the file gives along the dimensions of 2-D coordinates, by name: numbers of the points or
            coordinates of a projection, and with these its grid mapping, a scalar.
    """

    lat: Floats
    lon: Floats
    periodic: bool
    y_flip: bool
    x_roll: int
    y_name: str
    x_name: str
    file_lat: npt.NDArray[Any]
    file_lon: npt.NDArray[Any]
    x_flip: bool = False
    cell_area: Floats | None = None
    along: Mapping[str, xr.Variable] = field(default_factory=dict)

    @classmethod
    def from_coordinates(
        cls, lat: npt.ArrayLike, lon: npt.ArrayLike, y_name: str = "lat", x_name: str = "lon"
    ) -> Grid:
        """Make the canonical grid of a file's coordinates, both 1-D or both (h, w).

        Raises:
            InputError: latitudes beyond the poles, coordinates that are missing, repeated or in no order.
        """
        file_lat, file_lon = np.asarray(lat), np.asarray(lon)
        north, east = (
            np.where(np.isfinite(one), one, np.nan).astype(np.float64) for one in (file_lat, file_lon)
        )
        check_degrees(north, east, y_name, x_name)
        if north.ndim == 2:
            return cls(north, east, False, False, 0, y_name, x_name, file_lat, file_lon)
        if not (np.isfinite(north).all() and np.isfinite(east).all()):
            raise disorder(f"coordinate {y_name!r} or {x_name!r} has missing values")
        y_flip = bool(north[0] > north[-1])
        north = north[::-1] if y_flip else north
        if (np.diff(np.sort(north)) == 0).any():
            raise disorder(f"latitude {y_name!r} is there twice")
        if not (np.diff(north) > 0).all():
            raise disorder(f"latitude {y_name!r} neither increases nor decreases")
        east, periodic, x_flip, x_roll = longitude.canonical(east, x_name)
        return cls(north, east, periodic, y_flip, x_roll, y_name, x_name, file_lat, file_lon, x_flip)

    @classmethod
    def of_one_point(cls, y_name: str, x_name: str) -> Grid:
        """Make the grid of a series, whose place does not matter."""
        place, area = np.zeros(1), np.ones((1, 1))
        return cls(place, place, False, False, 0, y_name, x_name, place, place, cell_area=area)

    @property
    def regular(self) -> bool:
        """Whether latitude and longitude are the axes."""
        return self.lat.ndim == 1

    @property
    def shape(self) -> tuple[int, int]:
        """Points along y and x."""
        return (len(self.lat), len(self.lon)) if self.regular else (self.lat.shape[0], self.lat.shape[1])

    @cached_property
    def area(self) -> Floats:
        """(h, w) share of the area of all points; sums to 1.

        As ``cell_area`` where there is one. Regular grids: cells between the midpoints, exact on the sphere
        (difference of sin latitude). 2-D coordinates: what neighbours span, 0 where one is missing; the
        first of points at one place has the largest area of them, the others, as of an overlap, none.
        """
        area: Floats
        if self.cell_area is not None:
            area = self.cell_area
        elif self.regular:
            area = np.outer(self.cell_heights, self.cell_widths)
        else:
            area = np.nan_to_num(curved.areas(self.on_sphere(), self.lat))
        if self.again.any():
            largest = np.zeros(area.size)
            np.maximum.at(largest, self._first_there.ravel(), area.ravel())
            area = np.where(self.again, 0, largest.reshape(area.shape))
        return np.asarray(area / area.sum(), np.float64)

    @cached_property
    def again(self) -> npt.NDArray[np.bool_]:
        """(h, w) points that lie where one before them does, as in the overlap of a tripolar grid."""
        if self.regular:
            return np.zeros(self.shape, bool)
        return np.asarray(self._first_there != np.arange(self.lat.size).reshape(self.shape))

    @cached_property
    def _first_there(self) -> npt.NDArray[np.int64]:
        """(h, w) number of the first point at each point's place; its own where the place is not known."""
        number = np.arange(self.lat.size)
        lat, lon = (one.ravel().round(_SAME_PLACE_DIGITS) for one in (self.lat, self.lon))
        places = np.stack([lat, lon % 360], axis=1)
        known = np.flatnonzero(np.isfinite(places).all(axis=1))
        _, first, which = np.unique(places[known], axis=0, return_index=True, return_inverse=True)
        number[known] = known[first[which.ravel()]]
        return number.reshape(self.shape)

    def with_area(self, area: npt.ArrayLike) -> Grid:
        """Return the grid weighted by cell areas (h, w) in canonical order; missing ones count nothing."""
        valid = np.maximum(np.nan_to_num(np.asarray(area, np.float64), posinf=0, neginf=0), 0)
        return replace(self, cell_area=valid)

    @property
    def cell_heights(self) -> Floats:
        """(h,) differences of the sine of latitude across the cells of a regular grid, between midpoints."""
        south, north = (np.sin(np.radians(np.clip(edge, -90, 90))) for edge in cells(self.lat))
        return np.asarray(north - south)

    @property
    def cell_widths(self) -> Floats:
        """(w,) degrees of longitude of the cells of a regular grid, between midpoints."""
        if not self.periodic:
            west, east = cells(self.lon)
            return east - west
        around = np.concatenate([self.lon[-1:] - 360, self.lon, self.lon[:1] + 360])
        widths: Floats = (around[2:] - around[:-2]) / 2
        return widths

    def to_canonical(self, array: npt.NDArray[Any], y_axis: int = -2, x_axis: int = -1) -> npt.NDArray[Any]:
        """Bring an array from the file's order of points into the canonical one."""
        flips = tuple(axis for axis, flip in ((y_axis, self.y_flip), (x_axis, self.x_flip)) if flip)
        flipped = np.flip(array, flips) if flips else array
        return np.roll(flipped, -self.x_roll, x_axis) if self.x_roll else flipped

    @property
    def file_index(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(h,) rows and (w,) columns of the file, in canonical order."""
        h, w = self.shape
        rows = self.to_canonical(np.arange(h)[:, None])[:, 0]
        return rows, self.to_canonical(np.arange(w)[None, :])[0]

    def to_file_order(self, array: npt.NDArray[Any], y_axis: int = -2, x_axis: int = -1) -> npt.NDArray[Any]:
        """Bring an array from the canonical order of points back into the file's."""
        rolled = np.roll(array, self.x_roll, x_axis) if self.x_roll else array
        flips = tuple(axis for axis, flip in ((y_axis, self.y_flip), (x_axis, self.x_flip)) if flip)
        return np.flip(rolled, flips) if flips else rolled

    def nearest(self, lat: float, lon: float) -> tuple[int, int]:
        """Return the canonical (y, x) index of the point nearest to a place.

        Raises:
            InputError: the place lies outside the grid by more than a cell, or is none.
        """
        if not (abs(lat) <= 90 and np.isfinite(lon)):
            raise InputError(
                f"{lat:g},{lon:g} is not a place on the globe",
                wanted="a place is LAT,LON with a latitude from -90 to 90",
                do="write it as in 52.5,13.4",
            )
        away = self._central_angle(lat, lon)
        y, x = (int(i) for i in np.unravel_index(np.nanargmin(away), away.shape))
        ys, xs = self._neighbours(y, x)
        lats, lons = (np.broadcast_to(a, self.shape) for a in self._mesh())
        spacing = np.nanmax(central_angle(lats[y, x], lons[y, x], lats[ys, xs], lons[ys, xs]))
        if away[y, x] > spacing:
            raise InputError(
                f"the place {lat:g},{lon:g} (latitude, longitude) lies outside the grid",
                wanted=f"latitudes run from {np.nanmin(self.lat):g} to {np.nanmax(self.lat):g}, "
                f"longitudes from {np.nanmin(self.lon):g} to {np.nanmax(self.lon):g}",
                do="choose a place inside the grid",
            )
        return y, x

    def position(self, y: int, x: int) -> tuple[float, float]:
        """Return latitude and longitude (-180 to 180) of a point of the canonical grid."""
        lat, lon = np.broadcast_arrays(*self._mesh())
        return float(lat[y, x]), float(wrapped(lon[y, x]))

    def _mesh(self) -> tuple[Floats, Floats]:
        return (self.lat[:, None], self.lon[None, :]) if self.regular else (self.lat, self.lon)

    def _central_angle(self, lat: float, lon: float) -> Floats:
        """(h, w) degrees between a place and each point; NaN where a coordinate is missing."""
        return central_angle(lat, lon, *self._mesh())

    def _neighbours(self, y: int, x: int) -> tuple[list[int], list[int]]:
        h, w = self.shape
        around = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        inside = [(j, i) for j, i in around if 0 <= j < h and 0 <= i < w]
        return [j for j, _ in inside], [i for _, i in inside]

    def on_sphere(self) -> Floats:
        """(h, w, 3) points on the unit sphere; NaN where a coordinate is missing."""
        return on_sphere(*np.broadcast_arrays(*self._mesh()))

    @property
    def dims(self) -> tuple[str, str]:
        """Dimensions of a field in our files: ``lat`` and ``lon``, or the file's own of 2-D coordinates.

        ``y`` and ``x`` where those are no names for a file, or are taken by something of ours.
        """
        if self.regular:
            return "lat", "lon"
        own = (self.y_name, self.x_name)
        free = own[0] != own[1] and not schema.TAKEN.intersection(own)
        return own if free and all(map(_NAME.fullmatch, own)) else ("y", "x")

    @property
    def renamed(self) -> str:
        """A sentence where a field in our files has other dimensions than in this one; else nothing."""
        own, names = (self.y_name, self.x_name), self.dims
        if self.regular or own == names:
            return ""
        return f"Dimensions {' and '.join(own)} are called {' and '.join(names)} in the output of faconv."

    @property
    def torn(self) -> str:
        """A sentence where an axis leaves out a part, so that neighbours in the array are far apart."""
        if not self.regular:
            return ""
        told = [
            f"{name} {axis[at]:g} to {axis[at + 1]:g}"
            for name, axis in (("latitude", self.lat), ("longitude", self.lon))
            for at in np.flatnonzero(holes(axis))
        ]
        return (
            f"There are no points from {' and '.join(told)}. Cells at the edge are taken as symmetric, and "
            "the network treats the points on both sides as neighbours."
            if told
            else ""
        )

    @property
    def attributes(self) -> dict[str, str]:
        """What a field in our files says of its coordinates."""
        if self.regular:
            return {}
        mapping = next((name for name, variable in self._own_axes().items() if not variable.ndim), None)
        return {"coordinates": "lat lon"} | ({"grid_mapping": mapping} if mapping else {})

    def coordinates(self) -> dict[str, xr.DataArray]:
        """Return CF coordinates in the order of the file: ``lat``, ``lon``, and what it has along `dims`."""
        dims = tuple((dim,) for dim in self.dims) if self.regular else (self.dims, self.dims)
        north = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
        east = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
        if self.regular:
            north, east = {**north, "axis": "Y"}, {**east, "axis": "X"}
        return {
            "lat": xr.DataArray(self.file_lat, dims=dims[0], name="lat", attrs=north),
            "lon": xr.DataArray(self.file_lon, dims=dims[1], name="lon", attrs=east),
        } | {name: xr.DataArray(variable, name=name) for name, variable in self._own_axes().items()}

    def _own_axes(self) -> dict[str, xr.Variable]:
        """The variables `along` as they are written; none where the dimensions could not keep their names."""
        if self.regular or self.dims != (self.y_name, self.x_name):
            return {}
        written = {}
        for name, variable in self.along.items():
            kept = {key: variable.attrs[key] for key in _KEPT if key in variable.attrs}
            about = (
                {"long_name": f"{name} of the file", "units": "1"} | kept if variable.ndim else variable.attrs
            )
            written[name] = xr.Variable(variable.dims, variable.values, about)
        return written

    def signature(self) -> dict[str, Any]:
        """Return what tells two grids apart, as JSON."""
        return {
            "shape": list(self.shape),
            "lat": [round(float(f(self.lat)), 3) for f in (np.nanmin, np.nanmax)],
            "lon": [round(float(f(self.lon)), 3) for f in (np.nanmin, np.nanmax)],
            "periodic": self.periodic,
            "regular": self.regular,
        }

    def same_points(self, other: Grid) -> bool:
        """Whether both have the same points in canonical order, to a hundredth of a cell.

        Longitudes may be counted from any meridian.
        """
        if self.lat.shape != other.lat.shape or self.lon.shape != other.lon.shape:
            return False
        if self.regular:
            off = np.abs(self.lat - other.lat), np.abs(wrapped(self.lon - other.lon))
            return all(bool((one <= CLOSE * self.spacing).all()) for one in off)
        ours, theirs = (np.isfinite(grid.lat + grid.lon) for grid in (self, other))
        apart = central_angle(self.lat, self.lon, other.lat, other.lon)[ours]
        return np.array_equal(ours, theirs) and bool((apart <= CLOSE * self.spacing).all())

    @cached_property
    def spacing(self) -> float:
        """Usual distance between neighbours in degrees, along the side where it is shorter."""
        if self.regular:
            return min(spacing(self.lat), spacing(self.lon))
        sides = ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
        steps = [central_angle(self.lat[a], self.lon[a], self.lat[b], self.lon[b]).ravel() for a, b in sides]
        return min(float(np.nanmedian(one)) if np.isfinite(one).any() else 1.0 for one in steps) or 1.0

    def told(self) -> str:
        """The grid in words, for a message."""
        h, w = self.shape
        south, north, west, east = (f(c) for c in (self.lat, self.lon) for f in (np.nanmin, np.nanmax))
        return f"{h} x {w} points, latitudes {south:g} to {north:g}, longitudes {west:g} to {east:g}"
