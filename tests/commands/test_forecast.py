"""Training to forecast and forecasting, as a user types them."""

import numpy as np
import pytest
import xarray as xr

SMALL = ["--task", "forecast", "--encoder", "convgru", "--hidden", "6", "--window", "8", "--burn-in", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_code):
    folder = tmp_path_factory.mktemp("forecast")
    assert run_code("sample", "planted", folder / "cube.nc", "--steps", 300, "--lat", 8, "--lon", 16) == 0
    assert run_code("train", folder / "cube.nc", "-o", folder / "m.pt", *SMALL, "--updates", 2) == 0
    return folder


def test_forecasts_are_verified_by_lead(folder, run_code, capfd):
    arguments = ["-c", folder / "m.pt", folder / "cube.nc", folder / "f.nc", "--from", "2000-09"]
    assert run_code("forecast", *arguments, "--steps", 3, "--every", 10, "--verify") == 0
    out = capfd.readouterr().out
    assert "3 forecasts of 3 steps of 1 day" in out
    assert "RMSE persistence" in out
    with xr.open_dataset(folder / "f.nc", decode_timedelta=False) as file:
        starts = file.forecast_reference_time.dt.day.values
        assert np.diff(starts).tolist() == [10, 10]
        assert file.sizes["lead"] == 3
        assert (file.rmse_t2m.values > 0).all()
        assert file.verified_t2m.values.tolist() == [3, 3, 3]


def test_without_options_the_last_step_is_gone_on_from(folder, run_code, capfd):
    assert run_code("forecast", "-c", folder / "m.pt", folder / "cube.nc", folder / "last.nc") == 0
    assert "1 forecasts of 2 steps" in capfd.readouterr().out
    with xr.open_dataset(folder / "last.nc", decode_timedelta=False) as file:
        assert str(file.forecast_reference_time.values[0])[:10] == "2000-10-26"
        assert "rmse_t2m" not in file


def test_flows_are_forecast_frame_by_frame_as_far_as_asked(folder, run_code):
    model = ["-o", folder / "flow.pt", *SMALL, "--closed-loop", "--updates", 2]
    assert run_code("train", folder / "cube.nc", *model) == 0
    arguments = ["-c", folder / "flow.pt", folder / "cube.nc", folder / "flow.nc"]
    assert run_code("forecast", *arguments, "--from", "2000-09", "--steps", 12, "--verify") == 0
    with xr.open_dataset(folder / "flow.nc", decode_timedelta=False) as file:
        assert file.sizes["lead"] == 12
        assert np.isfinite(file.rmse_t2m.values).all()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["forecast", "-c", "{m}", "{cube}", "{new}", "--from", "1999"], 3, "no time step lies in"),
        (["forecast", "-c", "{m}", "{cube}", "{new}", "--from", "2000-01-02"], 3, "steps before it"),
        (
            ["forecast", "-c", "{m}", "{cube}", "{new}", "--verify"],
            3,
            "the record ends with the initial times",
        ),
        (["forecast", "-c", "{m}", "{new}"], 2, "takes data files and then the output"),
        (["embed", "-c", "{m}", "{cube}", "{new}"], 4, "trained to forecast"),
        (["train", "{cube}", "-o", "{new}", *SMALL, "--teacher-forced", "8"], 2, "nothing to forecast"),
        (
            ["train", "{cube}", "-o", "{new}", *SMALL, "--lead", "2"],
            2,
            "--lead was given with --task forecast",
        ),
        (["train", "{cube}", "-o", "{new}", "--no-skip"], 2, "--skip was given with --task embed"),
        (["train", "{cube}", "-o", "{new}", *SMALL, "--validation", "0.01"], 3, "run of validation steps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_short_message_and_its_exit_code(arguments, code, told, folder, run_code, capfd):
    places = {"m": folder / "m.pt", "cube": folder / "cube.nc", "new": folder / "new"}
    assert run_code(*(argument.format(**places) for argument in arguments)) == code
    assert told in " ".join(capfd.readouterr().err.split())
    assert not (folder / "new").exists()
