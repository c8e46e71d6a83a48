"""A table of series, CSV with a column of dates, as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from faconv_cli.cube.open.opened import Opened
from faconv_cli.errors import InputError

DATES = ("date", "time", "valid_time")  # names of the column of dates, wherever it is; else it is the first


def is_table(location: str) -> bool:
    """Return whether a file is a table, by its name."""
    return location.lower().endswith(".csv")


def open_table(location: str) -> list[Opened]:
    """Read a CSV file: a column of dates such as 2001-01-31, or 2001-01 of months, and columns of numbers.

    Cells that are empty or say NA or NaN are missing; columns of text are left out.

    Raises:
        InputError: it cannot be read, or has no dates or no numbers.
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
            wanted="a series is a column of dates and one of numbers, separated by commas",
            do="check the table, and leave cells empty where a number is missing",
        )
    time = xr.Variable(("time",), np.array(table[dates].astype(str).tolist()), {"standard_name": "time"})
    return [Opened(xr.Dataset(values, coords={"time": time}))]


def _check_numbers(location: str, name: str, column: pd.Series) -> None:
    """Refuse text among numbers, which would otherwise make the whole column one of text.

    Raises:
        InputError: most cells are numbers, and some are not.
    """
    text = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if text.any() and text.sum() < 0.5 * column.notna().sum():
        first = int(np.flatnonzero(text)[0])
        raise InputError(
            f"{location}: {name} holds {column[first]!r} in row {first + 1}, "
            f"and {int(text.sum())} such cells among numbers",
            wanted="a series is a column of numbers",
            do="write a number there, or leave the cell empty where it is missing",
        )


def _read(location: str) -> pd.DataFrame:
    try:
        return pd.read_csv(Path(location), skipinitialspace=True, comment="#")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{location}: {str(error).splitlines()[0]}",
            wanted="a series is read from a table whose columns are separated by commas",
            do="check the file",
        ) from None
