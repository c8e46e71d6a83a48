"""Options that come from the models of `config`: each field is one, with its description as help.

A command that reads settings says which models, and gets what was given for their fields::

    @options_of(DataConfig, without=("validation",))
    def command(files: DataFiles, *, given: Given) -> None: ...

What is told here of single fields is what a command line has more than a model: the panel that an option
stands in, and how its text is read. Names, kinds, defaults and help are those of the models.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel

from faconv_cli.commands.options import RUN, split_list, split_numbers
from faconv_cli.config import DataConfig, EncoderConfig, FitConfig, TilingConfig

Given = dict[str, Any]  # by name of the field; None for what was not given
Command = Callable[..., None]

MOST_USED = (  # of them all, with --output; they stand before the panels
    *("variables", "time_range", "region", "season", "anomaly", "validation"),
    *("encoder", "embedding", "updates"),
)
SHAPING = ("regrid", "region", "derive", "mask", "static", "coarsen", "smooth", "season")
PANELS: dict[type[BaseModel], str] = {
    DataConfig: "Data",
    TilingConfig: "Windows and tiles",
    EncoderConfig: "Encoder",
    FitConfig: "Training",
}
ORDER = (PANELS[DataConfig], "Region and season", *list(PANELS.values())[1:], RUN)
REPLAYED = ("time_dim", "time_index", "member", "step", "stream", "data_type", "engine")  # told of more data

_METAVARS = {
    "data_type": "TYPE",
    "missing_value": "NUMBERS",
    "derive": "NAME=FORMULA",
    "mask": "FILE[:VARIABLE]",
    "static": "FILE[:NAMES]",
    "smooth": "DAYS",
    "target": "FILE[:VARIABLE]",
}
_WHOLE = ("derive", "static", "target")  # repeated instead of separated by commas
_NUMBERS = ("levels", "missing_value")
_ONLY_ON = ("closed_loop",)  # a switch without its negation


def setting(section: type[BaseModel], name: str, **more: Any) -> Any:
    """Make the option of a setting: its help is the field's description, with its default."""
    field = section.model_fields[name]
    text = field.description or ""
    flag = name.replace("_", "-")
    if field.default not in (None, ()) and "Default" not in text and name not in _ONLY_ON:
        text += f" Default: {_shown(field.default, flag)}."  # in brackets Rich would take it for a style
    negated = f"/--no-{flag}" if field.annotation is bool and name not in _ONLY_ON else ""
    return typer.Option(
        f"--{flag}{negated}",
        help=text,
        show_default=False,
        metavar=_METAVARS.get(name),
        **more,
    )


def _shown(default: Any, flag: str) -> str:
    """Write a default as a user would type it."""
    if isinstance(default, bool):
        return f"--{flag}" if default else f"--no-{flag}"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def panel_of(section: type[BaseModel], name: str) -> str | None:
    """Name the panel of ``--help`` that a setting stands in; None for the first one."""
    if name in MOST_USED:
        return None
    return ORDER[1] if name in SHAPING else PANELS[section]


def options_of(
    *sections: type[BaseModel], only: Collection[str] | None = None, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Add an option to a command for each field of some models of settings, in place of ``given``.

    Args:
        sections: the models.
        only: fields that the command reads. Default: all.
        without: fields that it does not read.
    """
    fields = {
        name: section
        for section in sections
        for name in section.model_fields
        if (only is None or name in only) and name not in without
    }

    def with_options(command: Command) -> Command:
        own = list(inspect.signature(command, eval_str=True).parameters.values())
        place = [parameter.name for parameter in own].index("given")
        options = [_parameter(section, name) for name, section in _in_order(fields)]

        @wraps(command)
        def run(**values: Any) -> None:
            given = {name: _read(name, values.pop(name)) for name in fields}
            command(**values, given=given)

        signature = inspect.Signature([*own[:place], *options, *own[place + 1 :]])
        run.__signature__ = signature  # type: ignore[attr-defined] # what Typer makes options of
        return run

    return with_options


def _in_order(fields: dict[str, type[BaseModel]]) -> list[tuple[str, type[BaseModel]]]:
    """Fields as ``--help`` lists them: the most used, then panel by panel."""

    def place(item: tuple[str, type[BaseModel]]) -> tuple[int, int]:
        name, section = item
        panel = panel_of(section, name)
        return (-1, MOST_USED.index(name)) if panel is None else (ORDER.index(panel), 0)

    return sorted(fields.items(), key=place)


def _parameter(section: type[BaseModel], name: str) -> inspect.Parameter:
    kind = _kind(section.model_fields[name].annotation)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, setting(section, name, rich_help_panel=panel_of(section, name))],
    )


def _kind(annotation: Any) -> Any:
    """What a command line reads for a field: several values are texts, choices are checked by the model."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind in (Union, UnionType):
        return _kind(next(one for one in inner if one is not type(None)))
    if kind is Annotated:
        return _kind(inner[0])
    if kind is Literal:
        return type(inner[0])
    return list[str] if kind is tuple else annotation


def _read(name: str, value: Any) -> Any:
    if not isinstance(value, list) or name in _WHOLE:
        return value
    return split_numbers(value, f"--{name.replace('_', '-')}") if name in _NUMBERS else split_list(value)
