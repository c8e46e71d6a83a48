"""``faconv inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faconv_cli import console
from faconv_cli.commands.options import RUN
from faconv_cli.commands.settings import Given, options_of
from faconv_cli.config import DataConfig, RunConfig
from faconv_cli.errors import FaconvError, UsageError

if TYPE_CHECKING:
    from faconv_cli.cube.cube import Cube

REFUSED = "train would refuse this"


@options_of(DataConfig, without=("validation", "anomaly", "detrend"))
def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="NetCDF, GRIB or Zarr of one record: files, folders, globs, URLs; or one checkpoint.",
            show_default=False,
        ),
    ],
    *,
    given: Given,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Show what faconv sees in data, and how it would work on them; or what a checkpoint holds.

    Example: faconv inspect sample_data/ostia_monthly.nc
    """
    from faconv_cli.cube.open.foreign import is_checkpoint

    checkpoint = next((name for name in files if is_checkpoint(Path(name))), None)
    if checkpoint:
        if len(files) > 1:
            raise UsageError(
                f"{checkpoint} is a checkpoint, and {len(files) - 1} more files were given",
                wanted="one checkpoint is shown at a time",
                do="give it alone",
            )
        shown, show = _describe_checkpoint(Path(checkpoint)), _show_checkpoint
    else:
        shown, show = _describe_data(files, RunConfig.build(None, given)), _show_data
    if as_json:
        console.result_json(shown)
    else:
        show(shown)


def _describe_checkpoint(path: Path) -> dict[str, Any]:
    from faconv_cli.checkpoint import describe, read_checkpoint

    return describe(read_checkpoint(path))


def _describe_data(files: list[str], settings: RunConfig) -> dict[str, Any]:
    from faconv_cli.cube.overview import overview
    from faconv_cli.cube.pipeline import open_record
    from faconv_cli.cube.size import estimate

    cube = open_record(files, settings.data)
    console.note(estimate(cube))
    return overview(cube) | {"plan": _plan(cube, settings)}


def _plan(cube: Cube, settings: RunConfig) -> dict[str, Any]:
    """Describe what `faconv train` would do with a record by default, or why it would refuse it."""
    from faconv_cli.cube.overview import EXACT_BYTES
    from faconv_cli.fit.prepare import plan_training, prepare
    from faconv_cli.windows.resolve import plan_summary

    try:
        if cube.nbytes > EXACT_BYTES:
            plan = plan_training(cube, settings)
            return plan_summary(cube, plan.config) | {"notes": list(plan.notes)}
        prepared = prepare(cube.cached(), settings)  # the values decide, too
    except FaconvError as refusal:
        return {REFUSED: str(refusal)}
    notes = prepared.cube.notes[len(cube.notes) :]
    return plan_summary(prepared.cube, prepared.config) | {"notes": list(notes)}


def _show_checkpoint(seen: dict[str, Any]) -> None:
    channels = seen["channels"]
    console.table("Channels", list(channels[0]), ([_plainly(v) for v in c.values()] for c in channels))
    rest = ((label, _plainly(value)) for label, value in seen.items() if label != "channels")
    console.table("Checkpoint", ["", "value"], rest)


def _plainly(value: Any) -> str:
    """A value of a JSON document as a line of text."""
    if isinstance(value, dict):
        return "; ".join(f"{label} {_plainly(inner)}" for label, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plainly, value)) or "none"
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_data(seen: dict[str, Any]) -> None:
    console.table(
        "Variables",
        ["name", "units", "what", "missing", "from", "to"],
        (
            (v["name"], v["units"] or "?", v["long_name"], _percent(v), _number(v["min"]), _number(v["max"]))
            for v in seen["variables"]
        ),
    )
    if seen["left_out"]:
        console.table("Left out", ["name", "why"], seen["left_out"].items())
    console.table(
        "Dimensions",
        ["name", "role", "size"],
        ((d["name"], d["role"], d["size"]) for d in seen["dimensions"]),
    )
    console.table("Record", ["", "value"], _record(seen))
    for note in seen["notes"]:
        console.result(f"Note: {note}")
    _show_plan(seen["plan"])


def _show_plan(plan: dict[str, Any]) -> None:
    if REFUSED in plan:
        console.result(f"No plan: train would refuse this record. {plan[REFUSED]}")
        return
    rows = [(label, value) for label, value in plan.items() if label != "notes"]
    console.table("Plan with default options", ["", "value"], rows)
    for note in plan["notes"]:
        console.result(f"Note: {note}")


def _record(seen: dict[str, Any]) -> list[tuple[str, str]]:
    time, grid, values, storage = (seen[key] for key in ("time", "grid", "values", "storage"))
    gaps = [f"{gap['from']} to {gap['to']}" for gap in time["gaps"]]
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    h, w = grid["shape"]
    circle = "closes the circle" if grid["periodic"] else "does not close the circle"
    chunks = " x ".join(f"{size} {dim}" for dim, size in (storage.get("chunks") or {}).items())
    read, steps = values["steps_read"], values["steps"]
    return [
        ("time", f"{time['first']} to {time['last']}, {time['steps']} steps of {time['step']}"),
        *([("members, one after another", str(time["passes"]))] if time["passes"] > 1 else []),
        ("calendar", time["calendar"]),
        ("gaps", f"{len(gaps)}: {', '.join(gaps[:3])}{more}" if gaps else "none"),
        ("irregular steps", str(time["irregular_steps"])),
        ("grid", f"{h} x {w}, {'regular' if grid['regular'] else '2-D coordinates'}; {circle}"),
        ("latitude", f"{grid['lat'][0]:g} to {grid['lat'][1]:g}, {grid['latitude_order']} in the file"),
        ("longitude", f"{grid['lon'][0]:g} to {grid['lon'][1]:g}"),
        ("missing and range", "of every step" if read == steps else f"sampled, {read} of {steps} steps"),
        ("stored as", storage.get("type", "?") + (", packed" if storage.get("packed") else "")),
        ("chunks", chunks or "none"),
        ("size", f"{values['bytes'] / 2**20:.1f} MiB as float32, {_files(values['file_bytes'])}"),
    ]


def _files(size: int) -> str:
    return f"{size / 2**20:.1f} MiB in files" if size else "in a store or at a URL"


def _percent(variable: dict[str, Any]) -> str:
    return f"{100 * variable['missing_share']:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
