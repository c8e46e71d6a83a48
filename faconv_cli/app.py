"""The Typer application: global options, and every `FaconvError` to its exit code.

Nothing heavy is imported here: commands import what they call inside their bodies.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
import typer.core

import faconv_cli
from faconv_cli import console
from faconv_cli.commands import (
    cluster,
    compare,
    embed,
    forecast,
    inspect,
    modes,
    prepare,
    reconstruct,
    sample,
    train,
)
from faconv_cli.errors import DEBUG, FaconvError, Stopped, explained
from faconv_cli.guard import guarded, stopping_signals


class _Commands(typer.core.TyperGroup):
    def invoke(self, context: Any) -> Any:
        """Run a command; Typer would take an `EOFError` of a library for the end of its own input."""
        try:
            return super().invoke(context)
        except EOFError as error:
            raise explained(error) from error


app = typer.Typer(
    name="faconv",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Climate data cubes to per-timestep embeddings and weather regimes.",
)
app.command("inspect")(inspect.command)
app.command("prepare")(prepare.command)
app.command("train")(train.command)
app.command("embed")(embed.command)
app.command("modes")(modes.command)
app.command("reconstruct")(reconstruct.command)
app.command("forecast")(forecast.command)
app.command("compare")(compare.command)
app.command("cluster")(cluster.command)
app.add_typer(sample.app, name="sample")


def _version(asked: bool) -> None:
    if asked:
        console.result(f"faconv {faconv_cli.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print results and errors only.", envvar="FACONV_QUIET")
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log as one JSON object a line.", envvar="FACONV_LOG_JSON")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    console.terminal.quiet, console.terminal.json_log = quiet, log_json


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 ok, else the code of the error's kind (see `faconv_cli.errors`).

    Without ``arguments`` those of the process count, and the work is done in a guarded child process.
    """
    # threads that spin while they wait take the cores from those they wait for, where a node is shared
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.stdout = sys.stdout or console.nowhere()  # None where they were closed (>&-)
    sys.stderr = sys.stderr or console.nowhere()
    try:
        if arguments is None:
            console.terminal.json_log = _wants_json_log()
            guarded(_run)
        else:
            _run(arguments)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        told = error if isinstance(error, FaconvError) else explained(error)
        console.fail(str(told), told.exit_code)
        sys.exit(told.exit_code)


def _wants_json_log() -> bool:
    """Whether the log is to be JSON, for a parent whose child crashed after, or before, it knew."""
    asked = os.environ.get("FACONV_LOG_JSON", "").lower() in {"1", "true", "t", "yes", "y", "on"}
    return asked or "--log-json" in sys.argv[1:]


def _run(arguments: list[str] | None = None) -> None:
    for number in stopping_signals():
        signal.signal(number, _stop)
    try:
        with console.library_warnings():
            app(args=arguments)
    except Stopped as stopped:
        console.fail("stopped; nothing half-written is left behind", stopped.exit_code)
        sys.exit(stopped.exit_code)
    except BrokenPipeError:
        # whoever read our output closed it (| head): not our error, and Python must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(number: int, _: FrameType | None) -> None:
    for each in stopping_signals():
        signal.signal(each, signal.SIG_IGN)  # a second one must not cut the cleaning up short
    raise Stopped(number)
