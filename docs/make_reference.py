"""Writes docs/cli.md from the commands' own help: ``python docs/make_reference.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from faconv_cli.app import app

REFERENCE = Path(__file__).with_name("cli.md")

EXAMPLE = re.compile(r"^ *(?:Example: )?(faconv .*)$", re.MULTILINE)

HEAD = """# Command line reference

Made from the commands' help by `make docs`; a test fails when it is stale.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an unexpected error: please report it |
| 2 | options that make no sense |
| 3 | input data that cannot be read or understood |
| 4 | a checkpoint that is foreign, damaged or does not match the data |
| 5 | an output that exists or cannot be written |
| 6 | a device that was asked for and is not there |
| 75 | stopped, and can be taken up again with `--resume` |
| 128 + n | stopped by signal n (INT, TERM, HUP, USR1, USR2, ALRM, XCPU); nothing half-written is left |
"""


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (``faconv train``, command) for each command, those of sub-groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def section(name: str, command: Any) -> str:
    """Write the section of one command: usage, what it does, its options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *(p.metavar or p.name.upper() for p in arguments)])
    lines = [f"## {name}", "", f"    {usage}", "", _text(command.help or ""), ""]
    lines += ["| argument or option | meaning |", "|---|---|"]
    lines += [
        f"| `{argument.metavar or argument.name.upper()}` | {_meaning(argument)} |" for argument in arguments
    ]
    for panel in dict.fromkeys(option.rich_help_panel for option in options):
        lines += [f"| **{panel}** | |"] if panel else []
        own = (option for option in options if option.rich_help_panel == panel)
        lines += [f"| {_flags(option)} | {_meaning(option)} |" for option in own]
    return "\n".join(lines) + "\n"


def _text(help_text: str) -> str:
    """Set a help text as Markdown: lines that are a command line become code."""
    return EXAMPLE.sub(r"    \1", inspect.cleandoc(help_text))


def _flags(option: Any) -> str:
    flags = "`, `".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return f"`{flags}`"
    return f"`{flags}` {option.metavar or _kind(option.type_descriptor.annotation)}"


def _kind(annotation: Any) -> str:
    """Name the kind of value an option takes; choices in full."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " \\| ".join(map(str, inner))
    kind = inner[0] if inner else annotation
    return {int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def _meaning(option: Any) -> str:
    text = (option.help or "").replace("|", "\\|").replace("<", "&lt;")
    unset = option.default is None or option.default is False or option.default == ()
    shown = option.show_default and not unset and not option.required
    required = " **Required.**" if option.required else ""
    return f"{text}{required}{f' [default: {option.default}]' if shown else ''}"


def reference() -> str:
    """Write the whole reference."""
    group = typer.main.get_command(app)
    parts = [section("faconv", group), *(section(*pair) for pair in commands(group, "faconv"))]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
