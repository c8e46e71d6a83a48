"""What an opener returns: a data set, notes on how it was opened, and the variables that are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import xarray as xr

from faconv_cli.cube.open.refusal import Refusal

STREAM, DATA_TYPE = "GRIB_stream", "GRIB_dataType"  # attributes
ACCUMULATED = "hours_accumulated"  # coordinate: hours over which each step of a GRIB file is accumulated


class Opened(NamedTuple):
    """A data set of a file.

    Attributes:
        dataset: lazy data set, with times still encoded.
        close: closes its file until it is read again; ``None`` if nothing stays open.
        notes: what was selected or skipped, in sentences.
        refused: why some of its variables cannot be read, whatever their coordinates.
        group: path of its group within the file; ``/`` or empty for the root group.
    """

    dataset: xr.Dataset
    close: Callable[[], None] | None = None
    notes: tuple[str, ...] = ()
    refused: Mapping[str, Refusal] = {}
    group: str = ""
