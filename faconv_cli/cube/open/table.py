"""Open a table of time series (CSV with a column of dates) as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from faconv_cli.cube.open.opened import Opened
from faconv_cli.errors import InputError

DATES = (
    "date",
    "time",
    "valid_time",
)  # names of the column of dates, at any position; if none matches, the first column


def is_table(location: str) -> bool:
    """Return whether a location is a table, by its name."""
    return location.lower().endswith(".csv")


def open_table(location: str) -> list[Opened]:
    """Read a CSV file: a column of dates (2001-01-31, or 2001-01 for months) and columns of numbers.

    Empty cells and cells with NA or NaN are missing values. Columns of text are skipped.

    Raises:
        InputError: if the file cannot be read, or has no dates or no numbers.
    """
    table = _read(location)
    dates = next((name for name in table.columns if str(name).strip().lower() in DATES), table.columns[0])
    for name in table.columns:
        if name != dates:
            _check_numbers(location, name, table[name])
    values = {
        str(name).strip(): (("time",), table[name].to_numpy(np.float64))
        for name in table.columns
        if name != dates and table[name].dtype.kind in "iuf"
    }
    if not values or not len(table):
        raise InputError(
            f"{location} has no column of numbers beside {dates} ({len(table)} rows)",
            wanted="a table of series has a column of dates and columns of numbers, separated by commas",
            do="add a column of numbers, with empty cells for missing values",
        )
    time = xr.Variable(("time",), np.array(table[dates].astype(str).tolist()), {"standard_name": "time"})
    return [Opened(xr.Dataset(values, coords={"time": time}))]


def _check_numbers(location: str, name: str, column: pd.Series) -> None:
    """Refuse text among numbers, which would turn the whole column into text.

    Raises:
        InputError: if most cells are numbers and some are not.
    """
    text = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if text.any() and text.sum() < 0.5 * column.notna().sum():
        first = int(np.flatnonzero(text)[0])
        raise InputError(
            f"{location}: column {name} holds {column[first]!r} in row {first + 1} "
            f"({int(text.sum())} cells with text among numbers)",
            wanted="a column of a series holds only numbers",
            do="write a number there, or leave the cell empty if the value is missing",
        )


def _read(location: str) -> pd.DataFrame:
    try:
        return pd.read_csv(Path(location), skipinitialspace=True, comment="#")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{location} cannot be read as a table ({str(error).splitlines()[0]})",
            wanted="a table is a CSV file with columns separated by commas",
            do="check the path, and that each row has as many commas as the header",
        ) from None
