"""Handle the order in which a GRIB message stores its points, with the coordinates that ecCodes gives.

cfgrib assumes rows from west to east and sorts the longitudes. It misplaces values that are stored from east
to west, column by column, or across the meridian where longitudes wrap around.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from cfgrib import messages

from faconv_cli.cube.open.refusal import Refusal

_MODE = ("iScansNegatively", "jScansPositively", "jPointsAreConsecutive")
_ALTERNATING = "alternativeRowScanning"
# grids with 2-D coordinates for which ecCodes gives the points in stored order; for other projections it
# always gives the coordinates of rows from south to north, whatever the message says
_PLACED_BY_ROWS = ("rotated_ll", "rotated_gg", "lambert_azimuthal_equal_area")


def is_by_columns(field: Any) -> bool:
    """Return whether a message on a regular grid stores its points column by column."""
    return _is_regular(field) and bool(field.get("jPointsAreConsecutive", 0))


def with_axes(cube: xr.Dataset, field: Any) -> xr.Dataset:
    """Assign the coordinates of ecCodes, in the order of the values, to a data set on a regular grid.

    Args:
        cube: the data set as cfgrib opens it.
        field: one of its messages.
    """
    if not _is_regular(field):
        return cube
    shape = (field["Nx"], field["Ny"]) if is_by_columns(field) else (field["Ny"], field["Nx"])
    across = 0 if is_by_columns(field) else 1
    lat = field["latitudes"].reshape(shape).take(0, axis=across)
    lon = field["longitudes"].reshape(shape).take(0, axis=1 - across) % 360
    return cube.assign_coords(
        {name: (name, values, cube[name].attrs) for name, values in (("latitude", lat), ("longitude", lon))}
    )


def misplaced(field: Any, where: str) -> Refusal | None:
    """Return why the points of a message cannot be located, or None if they can."""
    grid = field["gridType"]
    mode = tuple(int(field.get(key, usual)) for key, usual in zip(_MODE, _usual(grid), strict=True))
    free = 2 if grid in _PLACED_BY_ROWS else 0  # for these, the direction of rows and columns does not matter
    if _is_regular(field) or mode[free:] == _usual(grid)[free:]:
        return None
    told = ", ".join(f"{key}={value}" for key, value in zip(_MODE, mode, strict=True))
    return Refusal(
        f"{where} stores the points of its {grid} grid in an order ({told}) for which ecCodes gives no "
        "usable coordinates",
        "rows must run from west to east" + (" and from south to north" if _usual(grid)[1] else ""),
        "reorder the points first, for example with wgrib2 IN.grib -new_grid_order OUT.grib we:sn",
        stage=6,
        wrong=True,
    )


class ByColumns(messages.FileIndex):  # type: ignore[misc]
    """An index of messages stored column by column, whose fields return their values row by row."""

    def get_field(self, message_id: Any) -> Any:
        """Return a message as a mapping of its keys."""
        return _Turned(super().get_field(message_id))


class _Turned(dict[str, Any]):
    """A mapping of the keys of a message, with its values (Ny * Nx,) row by row."""

    def __init__(self, field: Any) -> None:
        super().__init__()
        self._field = field

    def __missing__(self, key: str) -> Any:
        return _by_rows(self._field) if key == "values" else self._field[key]

    def get(self, key: str, default: Any = None) -> Any:
        return default if key == _ALTERNATING else self._field.get(key, default)


def _by_rows(field: Any) -> npt.NDArray[np.float64]:
    columns = field["values"].reshape(field["Nx"], field["Ny"]).copy()
    if field.get(_ALTERNATING, 0):
        columns[1::2] = columns[1::2, ::-1]
    return np.asarray(columns.T.ravel())


def _is_regular(field: Any) -> bool:
    return field["gridType"] in ("regular_ll", "regular_gg")


def _usual(grid: str) -> tuple[int, int, int]:
    """Return the scanning mode for which ecCodes' coordinates are right (reduced grids: north to south)."""
    return (0, 0, 0) if grid.startswith("reduced") else (0, 1, 0)
