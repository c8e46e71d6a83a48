"""Everything that may go wrong for a user, each with its exit code.

A message is three sentences: what was found, what is expected, what to do.
"""

import re
import traceback

_SMALL = {"faconv", "fsspec", "pip", "xarray"}  # names that begin a sentence as they are


class FaconvError(Exception):
    """Base of all errors shown to a user as one message, without a traceback.

    The parameters are its three sentences, without the full stop and, after the first, without the
    capital letter: ``FaconvError("era5.nc has no time coordinate (dims: lat, lon)", wanted="a record
    needs one", do="name it with --time-dim")`` reads *"era5.nc has no time coordinate (dims: lat, lon).
    A record needs one. Name it with --time-dim."*
    """

    exit_code = 1

    def __init__(self, found: str, *, wanted: str, do: str) -> None:
        self.found, self.wanted, self.do = found, wanted, do
        super().__init__(" ".join(f"{sentence}." for sentence in (found, _capital(wanted), _capital(do))))


def _capital(sentence: str) -> str:
    """Begin with a capital letter, unless the first word is an option, a name in code or a number."""
    word = re.split(r"[ ,:']", sentence)[0]
    plain = word.islower() and re.fullmatch(r"[a-z]+(-[a-z]+)*", word) and word not in _SMALL
    return sentence[0].upper() + sentence[1:] if plain else sentence


class UsageError(FaconvError):
    """Options that contradict each other or have no meaning."""

    exit_code = 2


class InputError(FaconvError):
    """Input data that cannot be read or understood."""

    exit_code = 3


class CheckpointError(FaconvError):
    """A foreign or damaged checkpoint, or one that does not match the data."""

    exit_code = 4


class OutputError(FaconvError):
    """An output that exists or cannot be written."""

    exit_code = 5


class DeviceError(FaconvError):
    """A device that was asked for and is not there."""

    exit_code = 6


class InterruptedRunError(FaconvError):
    """A run that was stopped from outside and can be taken up again."""

    exit_code = 75


DEBUG = "FACONV_DEBUG"  # environment variable that asks for tracebacks


def explained(error: Exception) -> FaconvError:
    """Explain an unexpected error: no memory, no disk space, or a fault of faconv or of a library."""
    text = str(error).strip().partition("\n")[0][:200]
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in text:
        return FaconvError(
            f"memory ran out ({text or type(error).__name__})",
            wanted="the work needs more memory than there is",
            do="ask for more, or process less at once with a smaller --batch",
        )
    if isinstance(error, OSError) and error.strerror:
        return OutputError(
            f"{error.filename or 'a file'}: {error.strerror}",
            wanted="faconv must be able to read and write it",
            do="make room, or check the path and its permissions",
        )
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith("faconv_cli")]
    place = f" in {own[-1].f_globals['__name__']}, line {own[-1].f_lineno}" if own else ""
    return FaconvError(
        f"{type(error).__name__}{place}: {text or 'nothing more is known'}",
        wanted="this is a fault of faconv or of a library, not yours",
        do=f"report it with the command, the output of pip freeze, and the traceback that {DEBUG}=1 gives",
    )


def first_line(error: BaseException) -> str:
    """First line of a library's message, or its kind where it has none."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


class Stopped(BaseException):
    """Ctrl-C, or the signal by which Slurm and cron end a job; not an error, and not to be caught as one."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped by signal {signal_number}")
