"""How large a record is before any of it is read, whether it fits, and whether it is stored badly for us."""

from __future__ import annotations

import math
from pathlib import Path

from faconv_cli.cube.cube import HELD_BYTES, MEBIBYTE, Cube
from faconv_cli.cube.read.lazy import FileField
from faconv_cli.errors import InputError

GIBIBYTE = 2**30
WINDOW = 24  # time steps that are read at once, about
_SLOW = 4  # times as much read as is needed
_SPARSE, _SPARSE_BYTES = 50, 64 * MEBIBYTE  # times as large as its files, and large
_TINY_CHUNK_BYTES, _MANY_CHUNKS = 2**14, 500
_STEPS_HELD = 3  # copies of a time step that any reading holds, at least
_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def told(size: float) -> str:
    """A number of bytes in words."""
    return f"{size / GIBIBYTE:.2f} GiB" if size >= GIBIBYTE else f"{size / MEBIBYTE:.1f} MiB"


def estimate(cube: Cube) -> str:
    """Report how large a record is, and how it will be read."""
    files, shape = file_bytes(cube), " x ".join(map(str, cube.shape))
    origin = f", from {told(files)} of files" if files else ""
    how = "held in memory" if cube.nbytes <= HELD_BYTES else "read in pieces"
    return f"{shape} values (time, channel, y, x), {told(cube.nbytes)} as float32{origin}; {how}"


def file_bytes(cube: Cube) -> int:
    """Bytes of the files a cube is made of; 0 where that is not known, as for URLs and stores."""
    paths = [Path(source) for source in cube.sources]
    try:
        return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else 0
    except OSError:
        return 0


def check_fits(cube: Cube) -> None:
    """Refuse a record of which a single time step does not fit into memory.

    Raises:
        InputError: it does not.
    """
    step, free = cube.nbytes // max(len(cube.time), 1), available_bytes()
    if free is not None and step * _STEPS_HELD > free:
        raise InputError(
            f"{', '.join(cube.sources)}: one time step of {cube.shape[1]} channels has {told(step)}",
            wanted=f"{_STEPS_HELD} time steps must fit into memory, of which {told(free)} are free",
            do="select --variables, --levels or a --region, or use a machine with more memory",
        )


def available_bytes() -> int | None:
    """Memory this process may still take: of the machine, and of its job; None where neither is known."""
    limits = []
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        limits.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        limits.append(max(most - used, 0))
    except (OSError, ValueError):  # not in a job, or one without a limit ("max")
        pass
    return min(limits, default=None)


def notes(cube: Cube) -> list[str]:
    """Report what is unusual about the size of a record or the way it is stored."""
    found, files = [], file_bytes(cube)
    if files and cube.nbytes > max(_SPARSE * files, _SPARSE_BYTES):
        found.append(
            f"The record is {cube.nbytes / files:.0f} times as large as its files, {told(cube.nbytes)} from "
            f"{told(files)}: most of it is likely missing. It is read in pieces."
        )
    advice = chunk_advice(cube)
    return [*found, advice] if advice else found


def chunk_advice(cube: Cube) -> str | None:
    """Report where the chunks of the files make windows slow to read, and what to do.

    A record that fits into memory is read once, so that its chunks do not matter.
    """
    field = cube.readers[0].file if cube.shape[1] else None
    if field is None or cube.nbytes <= HELD_BYTES:
        return None
    excess = wasted(field) / WINDOW
    if excess > _SLOW:
        how = f"each window of {WINDOW} steps reads some {excess:.0f} times what it needs"
    elif _chunks_a_step(field) > _MANY_CHUNKS:
        how = f"each field is in {_chunks_a_step(field)} chunks"
    else:
        return None
    return f"The files are stored so that {how}. Run faconv prepare DATA OUT.zarr first to read faster."


def eased(cube: Cube) -> Cube:
    """Hold a record in memory where its chunks would have it read as a whole for each window."""
    field = cube.readers[0].file if cube.shape[1] else None
    slow = field is not None and wasted(field) > _SLOW * WINDOW
    return cube.cached() if slow else cube


def wasted(field: FileField) -> int:
    """Time steps that must be read to have one: those of a chunk, or all where time is not the first axis."""
    time, y, _ = field.dims
    dims = field.variable.dims
    if not field.variable.encoding.get("preferred_chunks") and time is not None:
        return field.steps if dims.index(time) > dims.index(y) else 1
    return field.chunk_steps


def _chunks_a_step(field: FileField) -> int:
    """Chunks that one field is in, where they are tiny."""
    chunks = field.variable.encoding.get("preferred_chunks") or {}
    sizes = dict(zip(field.variable.dims, field.variable.shape, strict=True))
    inside = math.prod(chunks.get(dim, sizes[dim]) for dim in sizes)
    if inside * field.variable.dtype.itemsize > _TINY_CHUNK_BYTES:
        return 1
    return math.prod(-(-sizes[dim] // chunks.get(dim, sizes[dim])) for dim in field.dims[1:] if dim in sizes)
