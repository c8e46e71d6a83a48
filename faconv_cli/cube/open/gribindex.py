"""Choose where the index of a GRIB file is kept, and lock it while it is written."""

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
    """Return the folder for GRIB indices in the user's cache, or None if it is not writable."""
    folder = platformdirs.user_cache_path("faconv") / "grib"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


@contextmanager
def index_lock(folder: Path | None) -> Iterator[Path | None]:
    """Let one process at a time write indices: the jobs of an array start together on the same file.

    Yields the folder, or None if the wait was too long; the index is then built in memory.
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
    """Return the name of the index of a GRIB file in the user's cache: its own folder may be read-only.

    The name depends on full path, size, inode and times of change, so that a changed or replaced file gets a
    new index, even if its modification time was kept. The index covers the whole file, whatever is selected.
    """
    if folder is None:
        return ""  # no file: cfgrib builds the index in memory each time
    status = path.stat()
    numbers = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    name = hashlib.sha256("|".join(map(str, (path.resolve(), *numbers))).encode()).hexdigest()[:32]
    return str(folder).replace("{", "{{").replace("}", "}}") + f"/{name}.{{short_hash}}.idx"


@contextmanager
def quiet_cfgrib() -> Iterator[None]:
    """Keep cfgrib from logging tracebacks of errors that are raised or handled anyway."""
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
