"""`faconv sample` hands every option on and says what it wrote."""

import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from faconv_cli.commands import sample
from faconv_cli.errors import DeviceError, OutputError, UsageError
from faconv_cli.sample.config import NavierStokesConfig, PlantedConfig

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


FLOW = ("--samples", 2, "--steps", 3, "--interval", 0.5, "--resolution", 16, "--grid", 8, "--threads", 1)


def flow(*arguments):
    return CliRunner().invoke(app, ["sample", "navier-stokes", *(str(argument) for argument in arguments)])


def flow_settings(path):
    with xr.open_dataset(path) as data:
        return {name: data.attrs[f"navier_stokes_{name}"] for name in NavierStokesConfig.__dataclass_fields__}


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the library, which writes nothing of worth."""
    calls = {}

    def blocks(config, device, batch):
        calls.update(config=config, device=str(device), batch=batch)

    def write(config, path, blocks, **options):
        path.touch()
        yield 1

    monkeypatch.setattr("faconv_cli.sample.navierstokes.blocks", blocks)
    monkeypatch.setattr("faconv_cli.sample.netcdf.write_navier_stokes", write)
    monkeypatch.setattr("torch.set_num_threads", lambda count: calls.update(threads=count))
    return calls


def test_defaults_of_flows_are_those_of_the_library(tmp_path, asked):
    assert flow(tmp_path / "a.nc", "--device", "cpu").exit_code == 0
    assert asked == {"config": NavierStokesConfig(), "device": "cpu", "batch": 8, "threads": 1}


def test_how_to_compute_reaches_the_solver(tmp_path, asked):
    assert flow(tmp_path / "a.nc", "--device", "cpu", "--batch", 3, "--threads", 2).exit_code == 0
    assert (asked["batch"], asked["threads"]) == (3, 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("samples", 3),
        ("steps", 4),
        ("interval", 0.25),
        ("resolution", 24),
        ("grid", 4),
        ("viscosity", 0.01),
        ("forcing", 0.2),
        ("wavenumber", 2),
        ("alpha", 2.5),
        ("tau", 5.0),
        ("amplitude", 2.0),
        ("dt", 0.05),
        ("seed", 3),
    ],
)
def test_each_option_reaches_the_flow(tmp_path, option, value):
    assert flow(tmp_path / "a.nc", *FLOW, f"--{option}", value).exit_code == 0
    expected = dict(
        zip(("samples", "steps", "interval", "resolution", "grid"), (2, 3, 0.5, 16, 8), strict=True)
    )
    found = flow_settings(tmp_path / "a.nc")
    assert {name: found[name] for name in (*expected, option)} == expected | {option: value}


def test_it_says_what_flows_it_wrote(tmp_path):
    result = flow(tmp_path / "a.nc", *FLOW)
    assert result.stdout == f"{tmp_path / 'a.nc'}: 2 flows, 3 frames of each, 0.0 MB\n"


def test_a_gpu_that_is_not_there_is_a_device_error(tmp_path):
    assert isinstance(flow(tmp_path / "a.nc", *FLOW, "--device", "cuda:63").exception, DeviceError)
    assert list(tmp_path.iterdir()) == []


def test_existing_flows_are_kept_unless_overwrite_is_given(tmp_path):
    path = tmp_path / "a.nc"
    flow(path, *FLOW)
    assert isinstance(flow(path, *FLOW, "--seed", 1).exception, OutputError)
    assert flow(path, *FLOW, "--seed", 1, "--overwrite").exit_code == 0
    assert flow_settings(path)["seed"] == 1


@pytest.mark.parametrize("wrong", [("--viscosity", 0), ("--grid", 5), ("--device", "tpu"), ("--dt", 100)])
def test_bad_settings_of_flows_are_usage_errors_and_write_nothing(tmp_path, wrong):
    fast = ("--amplitude", 100, *wrong)
    assert isinstance(flow(tmp_path / "a.nc", *FLOW, *fast).exception, UsageError)
    assert list(tmp_path.iterdir()) == []
