"""Work in a child process, so that a library that crashes or hangs on a damaged file ends as an error.

The libraries of HDF5 and GRIB are written in C, and a few wrong bytes in a file make them abort, read memory
that is not theirs or walk in circles: nothing that Python could catch. So the command line runs in a child
that is forked at its very start, before anything heavy is imported, which costs some milliseconds and nothing
later. The child notes in shared memory which file a library reads and which output is unfinished; the parent
waits, passes signals on, and turns a crash or a standstill into an error, without the half-written output.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from faconv_cli.errors import FaconvError, InputError

STALLED_S = 60.0  # seconds of computing in one call of a library
SLOWEST_BYTES_PER_S = 2**20  # of a file, for the files that take longer
POLL_S = 1.0
_SLOTS, _SLOT_BYTES = 16, 4352  # a path has at most 4096 bytes
_HEAD = struct.Struct("=BqQH")  # kind, thread, how often the slot was taken, bytes of the path
_FREE, _READING, _WRITING = range(3)
STOPPING = (
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGXCPU",
)  # QUIT is left to dump a core
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


@dataclass(frozen=True)
class _Note:
    """What a thread of the child is at."""

    kind: int
    thread: int
    number: int
    path: str


class _Page:
    """Notes in memory that a child process shares with its parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS * _SLOT_BYTES)
        self._lock, self._taken = threading.Lock(), 0

    @contextmanager
    def noted(self, kind: int, path: Path | str) -> Iterator[None]:
        """Note what this thread is at; where no slot is free it goes unnoted."""
        with self._lock:
            at = next((at for at in self._offsets() if self._memory[at] == _FREE), None)
            if at is not None:
                text = os.fsencode(path)[: _SLOT_BYTES - _HEAD.size]
                self._taken += 1
                head = _HEAD.pack(kind, threading.get_native_id(), self._taken, len(text))
                self._memory[at : at + len(head) + len(text)] = head + text
        try:
            yield
        finally:
            if at is not None:
                self._memory[at] = _FREE

    def notes(self, kind: int) -> list[_Note]:
        """List the notes of a kind."""
        found = []
        for at in self._offsets():
            own, thread, number, length = _HEAD.unpack_from(self._memory, at)
            if own == kind:
                text = self._memory[at + _HEAD.size :][:length]
                found.append(_Note(own, thread, number, os.fsdecode(text)))
        return found

    @staticmethod
    def _offsets() -> range:
        return range(0, _SLOTS * _SLOT_BYTES, _SLOT_BYTES)


_page: _Page | None = None  # shared with a parent, in a child that `guarded` made


@contextmanager
def _noted(kind: int, path: Path | str) -> Iterator[None]:
    if _page is None:
        yield
        return
    with _page.noted(kind, path):
        yield


def reading(path: Path | str) -> AbstractContextManager[None]:
    """Mark a block in which a library reads a file: should it crash or hang there, the file is to blame."""
    return _noted(_READING, path)


def writing(path: Path | str) -> AbstractContextManager[None]:
    """Mark a block that removes an unfinished output itself, unless the process crashes."""
    return _noted(_WRITING, path)


def guarded(work: Callable[[], None], stalled_s: float = STALLED_S) -> None:
    """Do ``work`` in a child process and exit with its code; where there is no fork, do it here.

    A standstill is ``stalled_s`` seconds of computing in one call of a library (more for files of over a
    mebibyte for each second), so that a slow disk is none. Only Linux tells how long a thread has computed.

    Raises:
        InputError: a library crashed or came to no end while it read a file.
        FaconvError: the child crashed elsewhere, or was killed.
        SystemExit: else, with the child's code.
    """
    global _page
    if not hasattr(os, "fork"):
        work()
        return
    page, parent = _Page(), os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    ended, alive = os.pipe()
    # a signal that comes before it can be passed on waits until then
    held = signal.pthread_sigmask(signal.SIG_BLOCK, stopping_signals())
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(ended)
        _page = page
        _die_with(parent)
        work()
        return
    os.close(alive)
    _pass_signals_to(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    status, stalled = _wait(child, ended, page, stalled_s)
    for note in page.notes(_WRITING):
        with suppress(OSError):
            Path(note.path).unlink(missing_ok=True)
    _raise_outcome(status, page, stalled)


def _die_with(parent: int) -> None:
    """Ask Linux for a SIGTERM when the parent is killed: nobody would wait for the result."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def stopping_signals() -> list[int]:
    """List the signals that end a job: those of users, of shells that close, and of batch systems.

    Without those that were ignored when it started, as nohup has it.
    """
    found = (getattr(signal, name) for name in STOPPING if hasattr(signal, name))
    return [number for number in found if signal.getsignal(number) != signal.SIG_IGN]


def _pass_signals_to(child: int) -> None:
    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in stopping_signals():
        signal.signal(number, pass_on)


def _wait(child: int, ended: int, page: _Page, stalled_s: float) -> tuple[int, _Note | None]:
    """Wait for the child; kill it where it stands still. Return its status, and where it stood still."""
    since: dict[int, float] = {}
    while True:
        closed = select.select([ended], [], [], min(POLL_S, stalled_s / 2))[0]
        done, status = os.waitpid(child, 0 if closed else os.WNOHANG)
        if done:
            return status, None
        notes = page.notes(_READING)
        computed = {note.number: _computed_s(child, note.thread) for note in notes}
        since = {number: since.get(number, seconds) for number, seconds in computed.items()}
        for note in notes:
            limit = stalled_s + _bytes_of(note.path) / SLOWEST_BYTES_PER_S
            if computed[note.number] - since[note.number] > limit:
                os.kill(child, signal.SIGKILL)
                return os.waitpid(child, 0)[1], note


def _computed_s(process: int, thread: int) -> float:
    """Seconds a thread has computed so far; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{process}/task/{thread}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    user, system = status.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _bytes_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _raise_outcome(status: int, page: _Page, stalled: _Note | None) -> None:
    if os.WIFEXITED(status):
        raise SystemExit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    read = [note.path for note in page.notes(_READING)]
    if stalled:
        raise _damaged([stalled.path], "comes to no end on it")
    if number in _CRASHES and read:
        raise _damaged(read, f"crashes on it, {signal.Signals(number).name}")
    if number in _CRASHES:
        raise FaconvError(
            f"a library crashed ({signal.Signals(number).name})",
            wanted="this is a fault of a library or of faconv, not yours",
            do="report it with the command and the output of pip freeze",
        )
    if number == signal.SIGKILL:
        raise FaconvError(
            "the process was killed (SIGKILL)",
            wanted="the system does so when memory runs out",
            do="ask for more memory, or use a smaller --batch",
        )
    raise SystemExit(128 + number)


def _damaged(paths: list[str], how: str) -> InputError:
    return InputError(
        f"{' or '.join(dict.fromkeys(paths))} cannot be read (the library {how})",
        wanted="the file seems damaged",
        do="download or write it again",
    )
