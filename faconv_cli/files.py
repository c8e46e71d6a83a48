"""Output files that are whole or absent, and the one lock around netCDF4."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from faconv_cli.errors import OutputError
from faconv_cli.guard import writing

if TYPE_CHECKING:
    import netCDF4


def check_output(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse early an output that exists (unless ``overwrite``) or whose folder cannot be written.

    Args:
        path: the output.
        overwrite: it may exist, unless it is one of ``inputs``.
        inputs: files that are read for it; they need not exist.

    Raises:
        OutputError: the path exists, is a folder or a device, has a name that is not UTF-8, or its folder is
            missing or read-only.
    """
    try:
        _check_place(path, overwrite, inputs)
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise OutputError(
            f"{path}: {error.strerror or error}",
            wanted="faconv must be able to write there",
            do="choose another folder",
        ) from None


def check_no_folder(path: Path) -> None:
    """Refuse an output that is a folder; an empty name is the current one.

    Raises:
        OutputError: the path is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", wanted="the output must be a file", do="add a file name")


def _check_free(path: Path, *, overwrite: bool) -> None:
    check_no_folder(path)
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} is a device or a pipe",
            wanted="the output is renamed into place when it is complete, which would replace the device",
            do="give the name of a file",
        )
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists",
            wanted="faconv never replaces a file unasked",
            do="choose another name or pass --overwrite",
        )


def _check_place(path: Path, overwrite: bool, inputs: Iterable[Path]) -> None:
    if not is_utf8(path):
        raise OutputError(
            f"the name {str(path)!r} is not UTF-8",
            wanted="the NetCDF library can only open names in UTF-8",
            do="choose another name",
        )
    _check_free(path, overwrite=overwrite)
    if any(path.exists() and one.exists() and one.samefile(path) for one in inputs):
        raise OutputError(
            f"{path} is an input and would be replaced",
            wanted="the output must differ from the inputs",
            do="choose another name",
        )
    folder = _real(path).parent
    if not folder.is_dir():
        raise OutputError(
            f"{folder} is not a folder", wanted="the output needs a folder that exists", do="create it first"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder} cannot be written",
            wanted=f"{path.name} must be created there",
            do="choose another folder or change its permissions",
        )
    # permissions do not tell of quotas, of systems like /proc, and of names too long for the file system
    temporary = _temporary(path)
    temporary.touch()
    temporary.unlink()


def _temporary(path: Path) -> Path:
    """Name what becomes an output when it is whole."""
    real = _real(path)
    return real.with_name(f".{real.name}.{os.getpid()}.part")


def _real(path: Path) -> Path:
    """Follow links: what one points at is written, not put in place of by a file of the link's name."""
    return Path(os.path.realpath(path))


@contextmanager
def atomic_output(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success sync it and rename it to ``path``.

    Whatever goes wrong inside, ``path`` is untouched and the temporary file is removed, so that a killed
    job never looks finished.

    Raises:
        OutputError: as `check_output`, also where the file was made by somebody else in the meantime; the
            disk is full.
    """
    check_output(path, overwrite=overwrite)
    temporary = _temporary(path)
    try:
        with writing(temporary):
            yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _check_free(path, overwrite=overwrite)
        temporary.replace(_real(path))
    except (OSError, RuntimeError) as error:
        # netCDF4 tells of a full disk as a RuntimeError
        if isinstance(error, RuntimeError) and not str(error).startswith("NetCDF:"):
            raise
        raise _unwritten(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def netcdf_output(path: Path, *, overwrite: bool, copy_of: Path | None = None) -> Iterator[netCDF4.Dataset]:
    """Yield a new NetCDF-4 file (or a copy to add to); it takes its name only when all went well.

    The lock is held while the file is opened and closed; hold it for every call in between.

    Raises:
        OutputError: as `atomic_output`.
    """
    import netCDF4

    with atomic_output(path, overwrite=overwrite) as temporary:
        if copy_of is not None:
            shutil.copyfile(copy_of, temporary)
        with netcdf_lock():
            file = netCDF4.Dataset(temporary, "w" if copy_of is None else "a")
        try:
            yield file
        finally:
            with netcdf_lock():
                file.close()


def last_path(path: Path) -> Path:
    """Name the file that keeps the state of a training beside its best checkpoint."""
    return path.with_name(f"{path.stem}.last{path.suffix}")


@contextmanager
def log_file(path: Path, *, append: bool) -> Iterator[Callable[[str], None]]:
    """Return a function that adds a line to a file that one process at a time writes.

    Lines that were there stay until the first new one; a file that got none does not stay.

    Raises:
        OutputError: another process is writing it, or it cannot be written.
    """
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise _unwritten(path, error) from error
    anew = not append

    def add(line: str) -> None:
        nonlocal anew
        try:
            if anew:
                file.truncate(0)
            anew = False
            file.write(f"{line}\n")
            file.flush()
        except OSError as error:
            raise _unwritten(path, error) from error

    with file:
        if not _locked(file):
            raise OutputError(
                f"{path} is being written by another process",
                wanted="only one training at a time may write a checkpoint",
                do="wait for it, or choose another output",
            )
        try:
            yield add
        finally:
            if not path.stat().st_size:
                path.unlink()


def _unwritten(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path}: {getattr(error, 'strerror', None) or error}",
        wanted="the file could not be written",
        do="make room or choose another folder",
    )


def _locked(file: TextIO) -> bool:
    """Lock an open file for this process; where neither system nor file system has locks, go without."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def without_credentials(text: str) -> str:
    """Leave out user and password of the URLs in a text that goes into a file."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def is_utf8(path: Path) -> bool:
    """Return whether NetCDF's library can open a path."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def netcdf_lock() -> AbstractContextManager[object]:
    """Return the lock that xarray holds around netCDF4.

    The HDF5 inside the netCDF4 wheel is not thread-safe, and xarray's lock is private: without it a lock of
    our own would not keep its reads and our writes apart, so every reader then has to be single-threaded.
    """
    try:
        from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK
    except ImportError:  # pragma: no cover - a future xarray that renamed it
        return _FALLBACK_LOCK
    return NETCDF4_PYTHON_LOCK  # type: ignore[no-any-return,unused-ignore]


_FALLBACK_LOCK = threading.RLock()
