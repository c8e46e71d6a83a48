"""Streams and accumulations as a user chooses and takes them apart, through all commands."""

import json

import numpy as np
import pytest
import xarray as xr

from tests.cube.grib_files import LAT, LON, write_grib

QUICK = ["--window", 8, "--burn-in", 2, "--hidden", 4, "--bottleneck", 4, "--embedding", 4, "--updates", 2]
DAYS = 4


@pytest.fixture(scope="module")
def hourly():
    """What falls in each hour (t, y, x), in m."""
    rng = np.random.default_rng(0)
    return rng.gamma(1.0, 1e-3, (24 * DAYS, len(LAT), len(LON)))


@pytest.fixture(scope="module")
def sawtooth(hourly):
    return np.cumsum(hourly.reshape(DAYS, 24, *hourly.shape[1:]), axis=1).reshape(hourly.shape)


@pytest.fixture(scope="module")
def grib(sawtooth, tmp_path_factory):
    """Precipitation since midnight of two streams; that of enda is ten times as much."""
    local = {"setLocalDefinition": 1, "localDefinitionNumber": 1, "paramId": 228, "stepType": "accum"}
    return write_grib(
        tmp_path_factory.mktemp("grib") / "tp.grib",
        [
            {
                **local,
                "stream": stream,
                "day": 1 + step // 24,
                "stepRange": f"0-{1 + step % 24}",
                "values": factor * field,
            }
            for step, field in enumerate(sawtooth)
            for stream, factor in (("oper", 1), ("enda", 10))
        ],
    )


@pytest.fixture(scope="module")
def netcdf(sawtooth, grib):
    """The same precipitation of stream oper, without a word that it is accumulated."""
    axes = {
        "time": xr.date_range("2000-01-01T01:00", periods=len(sawtooth), freq="1h"),
        "lat": ("lat", LAT, {"units": "degrees_north"}),
        "lon": ("lon", LON, {"units": "degrees_east"}),
    }
    path = grib.with_suffix(".nc")
    xr.Dataset({"tp": (tuple(axes), sawtooth, {"units": "m"})}, axes).to_netcdf(path)
    return path


def test_inspect_asks_for_the_stream_and_tells_of_the_sawtooth(run, grib):
    code, _, err = run("inspect", grib)
    assert (code, "Choose one with --stream" in err) == (3, True)
    code, out, _ = run("inspect", grib, "--stream", "enda", "--data-type", "an", "--json")
    assert (code, "As a time series it is a sawtooth" in out) == (0, True)
    code, out, _ = run("inspect", grib, "--stream", "enda", "--deaccumulate", "--json")
    assert code == 0
    assert json.loads(out)["variables"][0]["max"] < 0.1


def test_a_training_on_messages_is_replayed_on_values_alone(run, grib, netcdf, hourly, tmp_path):
    chosen = ("--stream", "oper", "--deaccumulate")
    checkpoint = tmp_path / "m.pt"
    assert run("train", grib, "-o", checkpoint, *chosen, *QUICK, "--threads", 1)[0] == 0
    for name, data in (("grib", grib), ("netcdf", netcdf)):
        code, _, err = run("embed", "-c", checkpoint, data, tmp_path / f"{name}.nc", "--threads", 1)
        assert code == 0, err
        assert "is converted to amounts per time step" in err
    rows = [xr.open_dataset(tmp_path / f"{name}.nc").embedding.to_numpy() for name in ("grib", "netcdf")]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-3)
    enda = tmp_path / "enda.nc"
    assert run("embed", "-c", checkpoint, grib, enda, "--stream", "enda", "--threads", 1)[0] == 0
    assert np.abs(xr.open_dataset(enda).embedding.to_numpy() - rows[0]).max() > 0.1
    assert run("cluster", enda, "-k", 2, "-o", tmp_path / "r.nc", "--data", grib, *chosen)[0] == 0
    composite = xr.open_dataset(tmp_path / "r.nc").composite_tp
    assert 0.5 * hourly.mean() < float(composite.mean()) < 2 * hourly.mean()


def test_a_prepared_record_holds_what_each_step_adds(run, grib, hourly, tmp_path):
    store = tmp_path / "tp.zarr"
    assert run("prepare", grib, store, "--stream", "oper", "--deaccumulate")[0] == 0
    prepared = xr.open_zarr(store).tp.to_numpy()
    assert np.abs(np.sort(prepared.ravel()) - np.sort(hourly.ravel())).max() < 1e-6
    _, out, _ = run("inspect", store, "--json")
    assert "sawtooth" not in out
