"""Who speaks the protocol of a URL, and the packages that data need which are not always installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faconv_cli.errors import UsageError, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """Find who speaks the protocol of a URL, and the path there.

    Raises:
        UsageError: nobody installed does.
    """
    need("fsspec", url, "URLs")
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{url} cannot be opened ({first_line(error)})",
            wanted="fsspec must support the protocol",
            do="install the package that it names, or download the file first",
        ) from None
    return system, str(path)


def need(package: str, location: str, what: str, extra: str = "zarr") -> None:
    """Check that a package of an extra is installed.

    Raises:
        UsageError: it is not.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(
            f"{location}: {package} is not installed",
            wanted=f"{what} need this package",
            do=f"install it with pip install 'faconv[{extra}]'",
        )
