"""From an embedder to its file: new, or grown by the steps that are new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faconv_cli.embed.netcdf import (
    Layout,
    append_embedding_file,
    create_embedding_file,
    layout_of,
    rows_done,
)
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import OutputError


def write_embedding(
    embedder: Embedder,
    path: Path,
    rows: tuple[int, int],
    command: str,
    *,
    append: bool = False,
    overwrite: bool = False,
) -> Iterator[int]:
    """Write the rows of steps [first, stop) to a file; with ``append`` only those it does not have yet.

    The file changes only when all rows are written.

    Yields:
        How many rows have been written since the last time.

    Raises:
        OutputError: the file exists or cannot be written; with ``append``, it does not fit.
    """
    first, stop = rows
    checkpoint, cube, layout = embedder.checkpoint, embedder.cube, _layout(embedder)
    if append and path.exists():
        _check_appendable(embedder, path, layout)
        first += rows_done(path, checkpoint, cube, first)
        if first >= stop:
            return
        opened = append_embedding_file(path, command=command)
    else:
        opened = create_embedding_file(path, checkpoint, cube, layout, command=command, overwrite=overwrite)
    with opened as writer:
        for part in embedder.run(first, stop):
            writer.write(part, cube)
            yield len(part.embedding)


def _check_appendable(embedder: Embedder, path: Path, layout: Layout) -> None:
    if not embedder.checkpoint.config.encoder.causal:
        raise OutputError(
            f"{path} is of a checkpoint whose attention looks ahead (--no-causal)",
            wanted="new steps would change the old rows",
            do="write it anew with --overwrite",
        )
    written = layout_of(path)
    if written != layout:
        raise OutputError(
            f"{path} holds {written.told()}",
            wanted=f"--append would add {layout.told()}",
            do="pass the --attention and --query options it was written with",
        )


def _layout(embedder: Embedder) -> Layout:
    grid = embedder.cube.grid
    return Layout(
        attention=embedder.has_maps,
        temporal_lags=embedder.lags,
        queries=tuple(grid.position(y, x) for y, x in embedder.queries) if embedder.has_maps else (),
        tile_centres=tuple(grid.position(y, x) for y, x in embedder.tile_centres()),
    )
