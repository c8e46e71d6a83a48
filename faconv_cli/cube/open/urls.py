"""Find the file system for the protocol of a URL, and check for optional packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faconv_cli.errors import UsageError, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system for the protocol of a URL, and the path in it.

    Raises:
        UsageError: if no installed package knows the protocol.
    """
    need("fsspec", url, "URLs")
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{url} cannot be opened ({first_line(error)})",
            wanted="fsspec must support the protocol of the URL",
            do="install the package named in the message, or download the file first",
        ) from None
    return system, str(path)


def need(package: str, location: str, what: str, extra: str = "zarr") -> None:
    """Check that an optional package is installed.

    Raises:
        UsageError: if it is not installed.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(
            f"{location} cannot be opened because {package} is not installed",
            wanted=f"{what} need this package",
            do=f"install it with pip install 'faconv[{extra}]'",
        )
