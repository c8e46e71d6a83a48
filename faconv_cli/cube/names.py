"""Names that a user gives to channels."""

from __future__ import annotations

from faconv_cli import schema
from faconv_cli.errors import UsageError

_COORDINATES = (schema.TIME, "lat", "lon")


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
            f"{option} calls a channel {name!r}",
            wanted=f"{', '.join(_COORDINATES)} are the coordinates of what faconv writes"
            if name in _COORDINATES
            else "names with a slash stand for groups of a file",
            do="choose another name",
        )
