"""Options come from the models of settings: each field is one, and each one is a field."""

import json

import pytest
import typer
from typer.testing import CliRunner

from faconv_cli.app import app
from faconv_cli.commands.settings import MOST_USED, ORDER, REPLAYED, SHAPING, Given, options_of
from faconv_cli.config import DataConfig, EncoderConfig, FitConfig, RunConfig, TilingConfig

SECTIONS = (DataConfig, TilingConfig, EncoderConfig, FitConfig)
FIELDS = {name: section for section in SECTIONS for name in section.model_fields}
DATA = set(DataConfig.model_fields)
OWN = {  # what commands that read settings have besides
    "inspect": {"files", "as_json"},
    "prepare": {"files", "memory", "overwrite"},
    "train": {"data", "output", "config", "device", "threads", "dry_run", "resume", "overwrite"},
}
READ = {
    "inspect": DATA - {"validation", "anomaly", "detrend"},  # shows the plan of train by default
    "prepare": DATA - {"static"},  # seen by a network alone
    "train": set(FIELDS),
}


def parameters(command):
    return {one.name: one for one in typer.main.get_command(app).commands[command].params}


@pytest.mark.parametrize("command", READ)
def test_each_field_is_an_option_of_the_commands_that_read_it_and_the_other_way_round(command):
    assert set(parameters(command)) - {"help"} - OWN[command] == READ[command]


@pytest.mark.parametrize("command", ["embed", "forecast", "cluster"])
def test_how_files_are_read_may_be_told_of_more_data(command):
    assert set(REPLAYED) <= set(parameters(command))


def test_sections_of_a_run_have_fields_of_different_names():
    assert {info.annotation for info in RunConfig.model_fields.values()} == set(SECTIONS)
    assert len(FIELDS) == sum(len(section.model_fields) for section in SECTIONS)


@pytest.mark.parametrize("command", READ)
def test_help_and_default_are_those_of_the_field(command):
    for name, option in parameters(command).items():
        if name in FIELDS and (command, name) != ("prepare", "anomaly"):  # takes off nothing by default
            field = FIELDS[name].model_fields[name]
            assert option.help.startswith(field.description)
            assert option.default in (None, [])
            if field.default not in (None, ()):
                assert "Default: " in option.help or name == "closed_loop", name


def test_help_on_a_terminal_shows_the_defaults(run_code, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert run_code("train", "--help") == 0
    shown = " ".join(capfd.readouterr().out.split())
    for default in ("Default: 24.", "Default: 1,2,4.", "Default: --no-detrend.", "Default: --causal."):
        assert default in shown


def test_the_ten_most_used_stand_before_the_panels():
    first = [name for name, option in parameters("train").items() if option.param_type_name == "option"]
    assert first[:10] == ["output", *MOST_USED]
    panels = {name: option.rich_help_panel for name, option in parameters("train").items()}
    assert {name for name, panel in panels.items() if panel is None} == {"data", *first[:10]}
    assert list(dict.fromkeys(filter(None, panels.values()))) == list(ORDER)
    assert {name for name, panel in panels.items() if panel == "Region and season"} == {*SHAPING} - {
        *MOST_USED
    }


@pytest.mark.parametrize("command", READ)
def test_help_shows_the_panels_in_order(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"}).output
    panels = [panel for panel in ORDER if f"─ {panel} ─" in shown]
    assert shown.index("─ Options ─") < shown.index(f"─ {panels[0]} ─")
    assert panels == sorted(panels, key=lambda panel: shown.index(f"─ {panel} ─"))
    assert panels == (list(ORDER) if command == "train" else ["Data", "Region and season", "Run"])


def given_for(*arguments):
    """What a command that reads all settings is given."""
    some = typer.Typer()

    @some.command()
    @options_of(*SECTIONS)
    def command(*, given: Given) -> None:
        print(json.dumps({name: value for name, value in given.items() if value is not None}))

    done = CliRunner().invoke(some, list(arguments))
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_what_is_not_given_is_none():
    assert given_for() == {}


TEXTS = {
    **{"variables": "a,b", "levels": "850,500", "missing_value": "-9999", "derive": "w=hypot(u,v)"},
    **{"static": "f.nc:a,b", "target": "t.nc:x,y", "dilations": "1,3", "without": "axial,season"},
    **{"lead": "1,5", "lead_weight": "1,2", "target_weight": "0.5,2", "target_lead": "0,2"},
    **{"anomaly": "monthly", "validation": "0.3", "encoder": "convgru", "kernel_size": "5", "patch": "2"},
    **{"padding": "circular", "task": "forecast", "objective": "forecast", "precision": "bfloat16"},
    **{"regrid": "2.5", "smooth": "5", "eof_share": "0.9", "lr": "0.02", "weight_decay": "0.2"},
    **{"dropout": "0.5", "tile": "40", "bottleneck": "8", "attention_heads": "4"},
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_given_reaches_its_setting(name):
    section = FIELDS[name]
    field = section.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    if field.annotation is bool:
        arguments = [f"--no-{flag[2:]}" if field.default else flag]
    else:
        arguments = [flag, TEXTS.get(name, "7" if "int" in str(field.annotation) else "text")]
    given = given_for(*arguments)
    assert list(given) == [name]
    value = getattr(section.model_validate(given), name)
    assert value != field.default
    if name in TEXTS and isinstance(value, tuple):
        whole = name in ("derive", "static", "target")
        assert [str(one).removesuffix(".0") for one in value] == (
            [TEXTS[name]] if whole else TEXTS[name].split(",")
        )
    elif field.annotation is not bool:
        assert str(value).removesuffix(".0") == arguments[1]
