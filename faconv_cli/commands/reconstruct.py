"""``faconv reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import Modes, Overwrite, command_line


def command(
    embedding: Annotated[
        Path,
        typer.Argument(
            metavar="EMBEDDING.nc",
            help="Embedding file, filtered or as from faconv embed; or a regime file, for maps of centroids.",
            readable=False,
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.nc", help="File of the fields.")],
    checkpoint: Annotated[
        Path,
        typer.Option(
            "--checkpoint", "-c", help="Checkpoint that the embedding was made with.", readable=False
        ),
    ],
    modes: Modes = None,
    lead: Annotated[
        int,
        typer.Option(min=0, help="Time steps ahead: the field that is expected then; 0 is the field now."),
    ] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="Add the climatology, and the trend, to the anomalies.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn an embedding, or the centroids of regimes, back into fields in physical units.

    Example: faconv reconstruct slp_embedding.nc slp_fields.nc -c slp.pt --modes 4 --lead 2
    """
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.device import set_threads
    from faconv_cli.files import check_output
    from faconv_cli.network import first_modes
    from faconv_cli.subspace.fields import SubspaceFields
    from faconv_cli.subspace.read import read_coordinates
    from faconv_cli.subspace.reconstruct import write_reconstruction

    check_output(output, overwrite=overwrite, inputs=[embedding, checkpoint])
    set_threads(None)
    fields = SubspaceFields(read_checkpoint(checkpoint))
    rows = read_coordinates(embedding, fields.checkpoint).first(first_modes(fields.checkpoint, modes))
    kind = "regimes" if rows.time is None else "time steps"
    with console.progress("reconstructing", len(rows.z)) as line:
        write_reconstruction(
            output,
            fields,
            rows,
            lead=lead,
            full=full,
            command=command_line(),
            overwrite=overwrite,
            advance=lambda count: line.advance(count=count),
        )
    console.result(f"{output}: {len(rows.z)} {kind} from {len(rows.modes)} modes")
