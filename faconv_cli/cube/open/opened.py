"""What a format's opener gives: a data set, what was done to get it, and what cannot be taken of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import xarray as xr

from faconv_cli.cube.open.refusal import Refusal

STREAM, DATA_TYPE = "GRIB_stream", "GRIB_dataType"  # attributes
ACCUMULATED = "hours_accumulated"  # coordinate: over how many hours each step of a GRIB file reaches back


class Opened(NamedTuple):
    """A data set of a file.

    Attributes:
        dataset: opened lazily, times still encoded.
        close: closes its file until it is read again; ``None`` where nothing stays open.
        notes: what was chosen or left out, in sentences.
        refused: why variables of it cannot be taken, whatever their coordinates.
        group: path of its group within the file, ``/`` or empty for the outermost.
    """

    dataset: xr.Dataset
    close: Callable[[], None] | None = None
    notes: tuple[str, ...] = ()
    refused: Mapping[str, Refusal] = {}
    group: str = ""
