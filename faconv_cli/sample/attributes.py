"""What generated files say of themselves, in the terms of CF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import faconv_cli
from faconv_cli import schema

LATITUDE: Final = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
LONGITUDE: Final = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
TIME: Final = {"standard_name": "time", "long_name": "time", "axis": "T"}

Setting = str | int | float


def provenance(command: str, settings: Mapping[str, Setting], title: str, source: str) -> dict[str, Setting]:
    """Return the global attributes of a file that ``faconv sample COMMAND`` wrote.

    Args:
        command: the sub-command, whose settings become attributes ``COMMAND_NAME``.
        settings: its options by name.
        title: what the file holds.
        source: what the fields are made of.
    """
    options = " ".join(f"--{name} {value}" for name, value in settings.items())
    prefix = command.replace("-", "_")
    return {
        "Conventions": schema.CONVENTIONS,
        "title": title,
        "source": f"faconv {faconv_cli.__version__}: {source}; not observations",
        # no date: the same options give the same bytes
        "history": f"faconv sample {command} {options}",
        "faconv_version": faconv_cli.__version__,
        **{f"{prefix}_{name}": value for name, value in settings.items()},
    }
