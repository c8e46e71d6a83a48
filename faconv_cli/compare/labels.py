"""Truth from a table: one label for each time step, matched by date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError

MOST_CLASSES = 50


def read_labels(path: Path, time: TimeAxis) -> dict[str, np.ndarray]:
    """Read the columns of a CSV file that are labels, in the order of ``time``.

    The first column holds dates such as 2001-01-31, or 2001-01 for monthly records; every other column of
    text or whole numbers with 2 to 50 classes is a label. Columns of decimal numbers are skipped.

    Returns:
        Labels (t,) by column as text; empty where the table has no row for a step.

    Raises:
        InputError: the file cannot be read, has no dates, no labels, or none for this record.
    """
    table = _read(path)
    length = 7 if time.step_months is not None else 10
    dates = table.iloc[:, 0].astype(str).str.strip().str[:length]
    if not dates.str.fullmatch(r"\d{4}-\d{2}(-\d{2})?").all():
        raise InputError(
            f"{path}: the first column holds {dates.iloc[0]!r}, which is not a date",
            wanted="the first column must hold dates such as 2001-01-31",
            do="put the dates first, as year-month-day",
        )
    row_of = dict(zip(dates, range(len(dates)), strict=True))
    rows = np.array([row_of.get(label[:length], -1) for label in time.labels])
    columns = {str(name): _labels(table[name]) for name in table.columns[1:]}
    found = {
        name: np.where(rows >= 0, values[rows], "") for name, values in columns.items() if values is not None
    }
    if not found or not (rows >= 0).any():
        raise InputError(
            f"{path} has no labels for {time.labels[0]} to {time.labels[-1]} (columns: {', '.join(columns)})",
            wanted=f"a column of labels is text or whole numbers with 2 to {MOST_CLASSES} classes",
            do="check the table",
        )
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: {str(error).splitlines()[0]}",
            wanted="labels are read from a table whose columns are separated by commas",
            do="check the file",
        ) from None
    if not len(table) or len(table.columns) < 2:
        raise InputError(
            f"{path} has {len(table)} rows and {len(table.columns)} columns",
            wanted="a table of labels needs a column of dates and one of labels",
            do="check the file",
        )
    return table


def _labels(column: pd.Series) -> np.ndarray | None:
    """Return a column as text, "" where it is empty; None if it does not hold labels."""
    if column.dtype.kind == "f":
        return None
    # not to_numpy(str), which with NumPy 2.5 keeps one character of each
    values = np.array(column.astype(object).where(column.notna(), "").astype(str).tolist())
    return values if 2 <= len(set(values) - {""}) <= MOST_CLASSES else None
