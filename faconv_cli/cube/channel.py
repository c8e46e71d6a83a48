"""A channel: what one field of a cube holds, and the names that a user may give it."""

from __future__ import annotations

from dataclasses import dataclass

from faconv_cli import schema
from faconv_cli.errors import UsageError

_COORDINATES = (schema.TIME, "lat", "lon")


@dataclass(frozen=True)
class Channel:
    """What one channel of a cube holds.

    Attributes:
        name: name of the variable, with the level where there is one: ``z500``.
        units, long_name, standard_name: as the file says; empty where it does not.
        level: the level in ``level_units``, or ``None``.
        anomaly: what has been taken off already, in words; empty where nothing has.
        difference: it holds differences or anomalies, which other units scale but do not shift.
    """

    name: str
    units: str = ""
    long_name: str = ""
    standard_name: str = ""
    level: float | None = None
    level_units: str = ""
    anomaly: str = ""
    difference: bool = False


def check_channel(name: str, option: str) -> None:
    """Refuse a name that no variable can have in what faconv writes.

    Args:
        name: of a channel.
        option: that gives it.

    Raises:
        UsageError: it is the name of a coordinate, or of a variable in a group.
    """
    if name in _COORDINATES or "/" in name:
        raise UsageError(
            f"{option} names a channel {name!r}",
            wanted=f"{', '.join(_COORDINATES)} are names of coordinates in the output of faconv"
            if name in _COORDINATES
            else "names with a slash denote groups in a file",
            do="choose another name",
        )
