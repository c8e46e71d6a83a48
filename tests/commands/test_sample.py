"""`faconv sample planted` hands every option on and says what it wrote."""

import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from faconv_cli.commands import sample
from faconv_cli.errors import OutputError, UsageError
from faconv_cli.sample.config import PlantedConfig

app = typer.Typer()
app.add_typer(sample.app, name="sample")


def run(*arguments):
    return CliRunner().invoke(app, ["sample", "planted", *(str(argument) for argument in arguments)])


def settings(path):
    with xr.open_dataset(path) as data:
        return {name: data.attrs[f"planted_{name}"] for name in PlantedConfig.__dataclass_fields__}


def test_defaults_are_those_of_the_library(tmp_path):
    result = run(tmp_path / "a.nc")
    assert result.exit_code == 0
    assert settings(tmp_path / "a.nc") == vars(PlantedConfig()) | {"regimes": 4}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("kind", "motion"),
        ("kind", "teleconnection"),
        ("lat", 7),
        ("lon", 14),
        ("variables", 3),
        ("regimes", 5),
        ("duration", 4.5),
        ("noise", 0.5),
        ("seed", 3),
        ("calendar", "noleap"),
        ("step", "monthly"),
        ("missing", 0.25),
        ("start", "1999-12-01"),
    ],
)
def test_each_option_reaches_the_cube(tmp_path, option, value):
    assert run(tmp_path / "a.nc", "--steps", 20, f"--{option}", value).exit_code == 0
    found = settings(tmp_path / "a.nc")
    assert (found["steps"], found[option]) == (20, value)


def test_storage_options_reach_the_file(tmp_path):
    path = tmp_path / "a.nc"
    assert run(path, "--steps", 20, "--chunk", 5, "--complevel", 2).exit_code == 0
    with xr.open_dataset(path) as data:
        assert data["t2m"].encoding["chunksizes"][0] == 5
        assert data["t2m"].encoding["complevel"] == 2


def test_it_says_what_it_wrote(tmp_path):
    result = run(tmp_path / "a.nc", "--steps", 20, "--kind", "motion")
    assert result.stdout == f"{tmp_path / 'a.nc'}: 2 motion regimes, 20 steps, 0.2 MB\n"


def test_an_existing_file_is_kept_unless_overwrite_is_given(tmp_path):
    path = tmp_path / "a.nc"
    run(path, "--steps", 20)
    assert isinstance(run(path, "--steps", 30).exception, OutputError)
    assert settings(path)["steps"] == 20
    assert run(path, "--steps", 30, "--overwrite").exit_code == 0
    assert settings(path)["steps"] == 30


@pytest.mark.parametrize("wrong", [("--noise", "-1"), ("--chunk", "0"), ("--complevel", "11")])
def test_bad_values_are_usage_errors_and_write_nothing(tmp_path, wrong):
    assert isinstance(run(tmp_path / "a.nc", *wrong).exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_unknown_kinds_are_refused_by_the_parser(tmp_path):
    assert run(tmp_path / "a.nc", "--kind", "tides").exit_code == 2
