"""Records that are not plain, from the command line through to their outputs."""

import json

import numpy as np
import pytest
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from tests.commands.test_bad_input import IN_USE, QUICK

LAT = ("lat", np.linspace(-25, 25, 6), {"units": "degrees_north"})
LON = ("lon", np.linspace(0, 70, 8), {"units": "degrees_east"})


@pytest.fixture
def save(tmp_path):
    """Write a random record on some leading dimensions."""

    def _save(sizes, coordinates, name="data.nc"):
        values = np.random.default_rng(0).normal(280, 5, (*sizes.values(), 6, 8)).astype(np.float32)
        height = (("lat", "lon"), np.zeros((6, 8)))
        fields = {"t": ((*sizes, "lat", "lon"), values, {"units": "K"}), "height": height}
        xr.Dataset(fields, {"lat": LAT, "lon": LON} | coordinates).to_netcdf(tmp_path / name)
        return tmp_path / name

    return _save


def days(steps, dim="time", **attrs):
    return dim, np.arange(float(steps)), {"units": "days since 2001-01-01"} | attrs


def test_an_ensemble_is_trained_on_whole_and_embedded_one_by_one(run, save, tmp_path):
    path = save({"time": 40, "number": 2}, {"time": days(40), "number": [3, 7]})
    code, _, err = run("train", path, "-o", tmp_path / "m.pt", "--member", "all", *QUICK)
    assert code == 0, err
    assert "2 members are joined one after another" in err
    assert "Left out: height (no time axis" in err
    checkpoint = read_checkpoint(tmp_path / "m.pt")
    assert checkpoint.record["training"]["steps"] == 64
    assert any("2 members" in note for note in checkpoint.record["notes"])
    embed = ["embed", "-c", tmp_path / "m.pt", path]
    code, _, err = run(*embed, tmp_path / "all.nc")
    assert code == 2
    assert "2 ensemble members" in err
    assert "--member" in err
    for member in "37":
        assert run(*embed, tmp_path / f"{member}.nc", "--member", member)[0] == 0
    with xr.open_dataset(tmp_path / "3.nc") as three, xr.open_dataset(tmp_path / "7.nc") as seven:
        assert three.sizes["time"] == 40
        assert not np.allclose(three.embedding, seven.embedding)
        assert "Member 3 of 2 is selected" in three.faconv_notes
        assert json.loads(three.faconv_left_out)["height"].startswith("no time axis")


def test_a_lead_is_picked_in_training_and_again_in_embedding(run, save, tmp_path):
    leads = ("step", [0.0, 24.0], {"standard_name": "forecast_period", "units": "hours"})
    starts = days(40, standard_name="forecast_reference_time")
    path = save({"time": 40, "step": 2}, {"time": starts, "step": leads})
    assert run("train", path, "-o", tmp_path / "m.pt", "--step", "1d", *QUICK)[0] == 0
    assert run("embed", "-c", tmp_path / "m.pt", path, tmp_path / "e.nc")[0] == 0
    with xr.open_dataset(tmp_path / "e.nc") as file:
        assert str(file.time.values[0])[:10] == "2001-01-02"


def test_numbered_steps_go_through_to_the_regimes(run, save, tmp_path):
    path = save({"time": 48}, {"time": ("time", np.zeros(48), {"units": "fortnights after tea"})})
    code, _, err = run("train", path, "-o", tmp_path / "m.pt", *QUICK)
    assert code == 3
    assert "--time-index" in err
    code, _, err = run("train", path, "-o", tmp_path / "m.pt", "--time-index", "--time-range", "0:39", *QUICK)
    assert code == 0, err
    assert "subtracted: the mean of each point" in err
    embed = ["embed", "-c", tmp_path / "m.pt", path, tmp_path / "e.nc"]
    assert run(*embed, "--time-range", "0:29")[0] == 0
    assert run(*embed, "--append")[0] == 0
    with xr.open_dataset(tmp_path / "e.nc") as file:
        np.testing.assert_array_equal(file.time, np.arange(48))
        assert file.time.attrs["units"] == "1"
    assert run("prepare", path, tmp_path / "n.zarr", "--time-index")[0] == 0
    code, out, _ = run("inspect", tmp_path / "n.zarr", "--json")
    assert (code, json.loads(out)["time"]["step"]) == (0, "1 step")
    small = list(QUICK)
    forecast = ["--time-index", "--task", "forecast", "--validation", "0.25", *small]
    code, _, err = run("train", path, "-o", tmp_path / "f.pt", *forecast)
    assert code == 0, err
    code, _, err = run(
        "forecast", "-c", tmp_path / "f.pt", path, tmp_path / "f.nc", "--steps", 3, "--from", 40
    )
    assert code == 0, err
    with xr.open_dataset(tmp_path / "f.nc", decode_timedelta=False) as file:
        assert file.time.values.tolist() == [[41, 42, 43]]
        assert file.forecast_reference_time.values.tolist() == [40]
        assert "forecast_period" not in file
    cluster = ["cluster", tmp_path / "e.nc", "-o", tmp_path / "r.nc", "-k", "2"]
    assert run(*cluster, "--season", "DJF")[0] == 2
    assert run(*cluster, "--data", path)[0] == 3
    code, _, err = run(*cluster, "--data", path, "--time-index")
    assert code == 0, err
    with xr.open_dataset(tmp_path / "r.nc") as file:
        assert file.sizes["time"] == 48
        assert file.faconv_sources == str(path)
        assert "numbered (--time-index)" in file.faconv_notes


def test_places_are_written_in_the_files_own_convention(run, tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 6, 8)).cumsum(axis=2).astype(np.float32)
    axes = {"time": days(40), "lat": LAT, "lon": ("lon", np.arange(0.0, 360, 45), {"units": "degrees_east"})}
    data = xr.Dataset({"t": (("time", "lat", "lon"), values, {"units": "K"})}, axes)
    turned = data.assign_coords(lon=("lon", (data.lon.values + 180) % 360 - 180, data.lon.attrs)).sortby(
        "lon"
    )
    for name, ds in (("east", data), ("west", turned.sortby("lat", ascending=False))):
        ds.to_netcdf(tmp_path / f"{name}.nc")
    assert run("train", tmp_path / "east.nc", "-o", tmp_path / "m.pt", *QUICK, *IN_USE)[0] == 0
    maps = {}
    for name in ("east", "west"):
        arguments = [tmp_path / f"{name}.nc", tmp_path / f"{name}_e.nc", "--query=-25,-90"]
        code, _, err = run("embed", "-c", tmp_path / "m.pt", *arguments)
        assert code == 0, err
        with (
            xr.open_dataset(tmp_path / f"{name}_e.nc") as file,
            xr.open_dataset(tmp_path / f"{name}.nc") as data,
        ):
            np.testing.assert_array_equal(file.lon, data.lon)
            np.testing.assert_array_equal(file.lat, data.lat)
            maps[name] = file[["attention", "teleconnection"]].load()
    west = maps["west"].assign_coords(lon=maps["west"].lon % 360).sortby(["lat", "lon"])
    xr.testing.assert_allclose(west, maps["east"])
