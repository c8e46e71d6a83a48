"""``faconv modes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import Modes, Overwrite, command_line

if TYPE_CHECKING:
    from faconv_cli.subspace.fields import Explained, SubspaceFields


def command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Checkpoint of faconv train.", readable=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File of the maps. Default: <stem>_modes.nc beside the checkpoint."
        ),
    ] = None,
    modes: Modes = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the maps of the first 8 modes to this png, pdf or svg.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the modes of an embedding as maps in physical units, now and at every lead.

    Example: faconv modes slp.pt -o slp_modes.nc --figure slp_modes.png

    A map is what one standard deviation of the mode changes. With the maps comes the variance that each mode
    explains in the training period, by lead and channel. Targets have maps on their own grids.
    """
    from faconv_cli.checkpoint import read_checkpoint
    from faconv_cli.device import set_threads
    from faconv_cli.files import check_output
    from faconv_cli.network import first_modes
    from faconv_cli.regimes.figures import check_figure
    from faconv_cli.subspace.fields import SubspaceFields
    from faconv_cli.subspace.figures import save_modes
    from faconv_cli.subspace.modes import write_modes

    output = output or checkpoint.with_name(f"{checkpoint.stem}_modes.nc")
    check_output(output, overwrite=overwrite, inputs=[checkpoint])
    if figure:
        check_figure(figure, overwrite=overwrite)
    set_threads(None)
    fields = SubspaceFields(read_checkpoint(checkpoint))
    count = first_modes(fields.checkpoint, modes)
    fresh = not output.exists()
    explained = write_modes(output, fields, count, command=command_line(), overwrite=overwrite)
    if figure:
        try:
            save_modes(figure, fields, explained, count, overwrite=overwrite)
        except BaseException:
            if fresh:  # both or neither, so that the same command may be given again
                output.unlink(missing_ok=True)
            raise
    _show(fields, explained, count)
    console.result(str(output))


def _show(fields: SubspaceFields, explained: Explained, modes: int) -> None:
    """Print the variance that each mode explains."""
    parts = [f"lead {lead}" if lead else "now" for lead in fields.leads]
    for number, channel in enumerate(fields.checkpoint.channels):
        rows = [
            (
                mode + 1,
                f"{explained.share[mode]:.1%}",
                f"{explained.share[: mode + 1].sum():.1%}",
                *(f"{share:.1%}" for share in explained.by_part[mode, :, number]),
            )
            for mode in range(modes)
        ]
        title = f"{channel.name}: explained variance in training, in all, now and at each lead time"
        console.table(title, ("mode", "of all", "cumulative", *parts), rows)
    targets = fields.checkpoint.targets
    if targets:
        shares = explained.of_targets * explained.told
        told = [f"{target.name} ({share:.1%})" for target, share in zip(targets, explained.told, strict=True)]
        console.table(
            "Explained variance of each target in training, and of all modes (in brackets)",
            ("mode", *told),
            [(mode + 1, *(f"{share:.1%}" for share in shares[mode])) for mode in range(modes)],
        )
