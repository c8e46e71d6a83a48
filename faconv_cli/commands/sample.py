"""`faconv sample`: data whose answer is known, to try things on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from faconv_cli import console
from faconv_cli.commands.options import Device, Overwrite, Threads
from faconv_cli.sample.config import Calendar, Kind, NavierStokesConfig, PlantedConfig, Step

app = typer.Typer(no_args_is_help=True, help="Make data whose answer is known.")


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
    overwrite: Overwrite = False,
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


@app.command()
def navier_stokes(
    out: Annotated[Path, typer.Argument(metavar="OUT.nc", help="NetCDF file to write.")],
    samples: Annotated[
        int, typer.Option(help="Flows, each from its own random vorticity.")
    ] = NavierStokesConfig.samples,
    steps: Annotated[int, typer.Option(help="Frames of each flow.")] = NavierStokesConfig.steps,
    interval: Annotated[
        float, typer.Option(help="Time between frames, also of the first from the random vorticity.")
    ] = NavierStokesConfig.interval,
    resolution: Annotated[
        int, typer.Option(help="Points along a side of the grid to solve on.")
    ] = NavierStokesConfig.resolution,
    grid: Annotated[
        int, typer.Option(help="Points along a side of the grid to write: block means of the other.")
    ] = NavierStokesConfig.grid,
    viscosity: Annotated[float, typer.Option(help="Kinematic viscosity.")] = NavierStokesConfig.viscosity,
    forcing: Annotated[
        float, typer.Option(help="Amplitude A of the forcing A (sin 2 pi m (x + y) + cos 2 pi m (x + y)).")
    ] = NavierStokesConfig.forcing,
    wavenumber: Annotated[int, typer.Option(help="m of the forcing.")] = NavierStokesConfig.wavenumber,
    alpha: Annotated[
        float,
        typer.Option(
            help="Of the random vorticity, of covariance 2 tau^(2 alpha - 2) (tau^2 - Laplacian)^(-alpha)."
        ),
    ] = NavierStokesConfig.alpha,
    tau: Annotated[
        float, typer.Option(help="Of the random vorticity: its inverse length.")
    ] = NavierStokesConfig.tau,
    amplitude: Annotated[
        float, typer.Option(help="Factor on the random vorticity.")
    ] = NavierStokesConfig.amplitude,
    dt: Annotated[
        float | None, typer.Option(help="Longest time step. Default: 1.28 / RESOLUTION.")
    ] = NavierStokesConfig.dt,
    seed: Annotated[int, typer.Option(help="Seed of the random vorticity.")] = NavierStokesConfig.seed,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Flows solved at once. Default: 8, on a GPU 1024, of 64 x 64 points."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Write two-dimensional turbulent flows on the torus, the data set of the MinConv paper.

    Example: faconv sample navier-stokes flows.nc --samples 20 --seed 1

    Vorticity on y (latitude) and x (longitude), one flow after the other along time, with gaps between them:
    flow s begins with the year s, so that --time-range 1:160 takes the first 160.
    """
    from faconv_cli.device import choose_device, set_threads
    from faconv_cli.sample.navierstokes import blocks, default_batch
    from faconv_cli.sample.netcdf import write_navier_stokes

    config = NavierStokesConfig(
        samples,
        steps,
        interval,
        resolution,
        grid,
        viscosity,
        forcing,
        wavenumber,
        alpha,
        tau,
        amplitude,
        dt,
        seed,
    )
    chosen = choose_device(device)
    console.note(f"computing on {chosen} with {set_threads(threads)} CPU threads")
    batch = batch or default_batch(config, chosen)
    writing = write_navier_stokes(config, out, blocks(config, chosen, batch), overwrite=overwrite)
    with console.progress("batch", -(-samples // batch)) as line, closing(writing):
        for written in writing:
            line.advance(f"{written // steps} of {samples} flows")
    console.result(f"{out}: {samples} flows, {steps} frames of each, {out.stat().st_size / 1e6:.1f} MB")
