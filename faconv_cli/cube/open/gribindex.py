"""Where the index of a GRIB file lies, and who may write it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

LONGEST_WAIT_S = 600.0


def index_folder() -> Path | None:
    """Return the folder of GRIB indices in the user's cache; None where none can be written."""
    folder = platformdirs.user_cache_path("faconv") / "grib"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


@contextmanager
def index_lock(folder: Path | None) -> Iterator[Path | None]:
    """Let one process at a time make indices: the jobs of an array start together on the same file.

    Yields the folder, or None where the wait was too long: the index is then made in memory.
    """
    if folder is None:
        yield None
        return
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=LONGEST_WAIT_S)
    except Timeout:
        yield None
        return
    try:
        yield folder
    finally:
        lock.release()


def grib_index(path: Path, folder: Path | None) -> str:
    """Name the index of a GRIB file under the user's cache: its own folder may be read-only.

    Keyed by full path, size, file number and times of change, so that a file that changed, or another one
    that was put in its place with its time, gets a new one. It is of the whole file, whatever is asked for.
    """
    if folder is None:
        return ""  # the index is made anew each time
    status = path.stat()
    numbers = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    name = hashlib.sha256("|".join(map(str, (path.resolve(), *numbers))).encode()).hexdigest()[:32]
    return str(folder).replace("{", "{{").replace("}", "}}") + f"/{name}.{{short_hash}}.idx"


@contextmanager
def quiet_cfgrib() -> Iterator[None]:
    """Keep cfgrib from logging tracebacks of what is raised, or handled, anyway."""
    logger = logging.getLogger("cfgrib")
    before, logger.disabled = logger.disabled, True
    children = [logging.getLogger(f"cfgrib.{name}") for name in ("messages", "dataset", "xarray_store")]
    states = [child.disabled for child in children]
    for child in children:
        child.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
        for child, state in zip(children, states, strict=True):
            child.disabled = state
