"""Write the rows of an embedder to a file, a new one or one that grows by new steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.embed.append import Check, compare_input, layout_of, rows_done
from faconv_cli.embed.netcdf import Layout, append_embedding_file, create_embedding_file
from faconv_cli.embed.run import LEAST_VALID_SHARE, Embedder, Rows
from faconv_cli.errors import InputError, OutputError
from faconv_cli.network import first_modes


def write_embedding(
    embedder: Embedder,
    path: Path,
    rows: tuple[int, int],
    command: str,
    *,
    modes: int | None = None,
    append: bool = False,
    check: Check = "auto",
    tell: Callable[[str], None] = lambda _: None,
    overwrite: bool = False,
) -> Iterator[Rows]:
    """Write the rows of steps [first, stop) to a file; with ``append`` only those it does not have yet.

    The file changes only when all rows are written.

    Args:
        embedder: checkpoint and data.
        path: the file.
        rows: steps of the data.
        command: command line for ``history``.
        modes: numbers of a row, the first ones of the checkpoint; None for all, or for as many as the file
            has that is appended to.
        append: append to the file if it exists.
        check: how many of the old steps are compared with the input of the file.
        tell: called with notes about that comparison.
        overwrite: replace a file that exists.

    Yields:
        What has been written since the last time.

    Raises:
        OutputError: the file exists or cannot be written; with ``append``, it does not fit.
        InputError: no step of a new file has enough valid values.
        UsageError: the checkpoint has fewer modes.
    """
    first, stop = rows
    checkpoint, cube, layout = embedder.checkpoint, embedder.cube, _layout(embedder, modes)
    if append and path.exists():
        _check_causal(checkpoint, path)
        done = rows_done(path, embedder, first)
        written = layout_of(path)
        _check_layout(path, written, layout if modes else replace(layout, modes=written.modes))
        if told := compare_input(path, embedder, first, check):
            tell(told)
        first += done
        if first >= stop:
            return
        opened = append_embedding_file(path, cube, command=command)
    else:
        opened = create_embedding_file(path, checkpoint, cube, layout, command=command, overwrite=overwrite)
    missing = 0
    with opened as writer:
        for part in embedder.run(first, stop):
            writer.write(part, cube)
            missing += int((part.flag == schema.MISSING_INPUT).sum())
            yield part
        if missing == stop - rows[0]:  # never so where a file with rows is gone on with
            raise _nothing_to_embed(cube, missing)


def _nothing_to_embed(cube: Cube, steps: int) -> InputError:
    return InputError(
        f"{', '.join(cube.sources)}: none of {steps} time steps has enough valid values",
        wanted=f"each channel needs {LEAST_VALID_SHARE:.0%} of the area that was valid in training",
        do="check the data, or --time-range",
    )


def _check_causal(checkpoint: Checkpoint, path: Path) -> None:
    if not checkpoint.config.encoder.causal:
        raise OutputError(
            f"{path} is of a checkpoint whose attention looks ahead (--no-causal)",
            wanted="rows must not depend on later steps, or new steps would change old rows",
            do="write the file again with --overwrite",
        )


def _check_layout(path: Path, written: Layout, layout: Layout) -> None:
    if written != layout:
        raise OutputError(
            f"{path} holds {written.told()}",
            wanted=f"--append would add {layout.told()}",
            do="pass the --modes, --attention and --query options it was written with",
        )


def _layout(embedder: Embedder, modes: int | None) -> Layout:
    grid = embedder.cube.grid
    return Layout(
        attention=embedder.has_maps,
        temporal_lags=embedder.lags,
        queries=tuple(grid.position(y, x) for y, x in embedder.queries) if embedder.has_maps else (),
        tile_centres=tuple(grid.position(y, x) for y, x in embedder.tile_centres()),
        modes=first_modes(embedder.checkpoint, modes),
    )
