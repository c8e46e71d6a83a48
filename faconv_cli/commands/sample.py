"""`faconv sample`: data whose answer is known, to try things on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from faconv_cli import console
from faconv_cli.sample.config import Calendar, Kind, PlantedConfig, Step

app = typer.Typer(no_args_is_help=True, help="Make data whose answer is known.")


@app.callback()
def _group() -> None:
    """Keep `planted` a sub-command although it is the only one."""


@app.command()
def planted(
    out: Annotated[Path, typer.Argument(metavar="OUT.nc", help="NetCDF file to write.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="What tells the regimes apart: the pattern of one snapshot; only the motion (a wave "
            "travels east or west); or only two far centres together (in phase or out of phase)."
        ),
    ] = PlantedConfig.kind,
    steps: Annotated[int, typer.Option(help="Time steps.")] = PlantedConfig.steps,
    lat: Annotated[int, typer.Option(help="Grid points from pole to pole.")] = PlantedConfig.lat,
    lon: Annotated[int, typer.Option(help="Grid points around the circle.")] = PlantedConfig.lon,
    variables: Annotated[
        int, typer.Option(help="Variables, 1 to 6: t2m, msl, q850, u850, v850, z500.")
    ] = PlantedConfig.variables,
    regimes: Annotated[
        int | None,
        typer.Option(help="Regimes of the snapshot kind, 4 by default; the other kinds have 2."),
    ] = PlantedConfig.regimes,
    duration: Annotated[
        float, typer.Option(help="Mean duration of a regime, in time steps.")
    ] = PlantedConfig.duration,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of the noise over the root mean square of the signal.")
    ] = PlantedConfig.noise,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = PlantedConfig.seed,
    calendar: Annotated[Calendar, typer.Option(help="CF calendar.")] = PlantedConfig.calendar,
    step: Annotated[Step, typer.Option(help="Time step.")] = PlantedConfig.step,
    missing: Annotated[
        float, typer.Option(help="Share of the points that is missing at all times, like land.")
    ] = PlantedConfig.missing,
    start: Annotated[str, typer.Option(help="First date.")] = PlantedConfig.start,
    chunk: Annotated[
        int | None, typer.Option(help="Time steps in a chunk of the file. Default: as many as fill 1 MiB.")
    ] = None,
    complevel: Annotated[
        int, typer.Option(help="Compression, 0 (none) to 9; noise shrinks little and takes long.")
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.nc where it exists.")] = False,
) -> None:
    """Write a cube with known regimes over red noise, a seasonal cycle and a trend.

    Example: faconv sample planted planted.nc --kind motion --seed 1

    The regime of each step is in regime_true(time). Cubes larger than memory are written block by block.
    """
    from faconv_cli.sample.netcdf import count_blocks, write_planted

    config = PlantedConfig(
        kind, steps, lat, lon, variables, regimes, duration, noise, seed, calendar, step, missing, start
    )
    writing = write_planted(config, out, chunk=chunk, complevel=complevel, overwrite=overwrite)
    with console.progress("block", count_blocks(config, chunk)) as line, closing(writing):
        for written in writing:
            line.advance(f"{written / steps:.0%}")
    console.result(
        f"{out}: {config.regime_count} {kind} regimes, {steps} steps, {out.stat().st_size / 1e6:.1f} MB"
    )
