from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.errors import InputError, OutputError
from faconv_cli.forecast.netcdf import variable_name
from faconv_cli.forecast.run import ForecastRun
from faconv_cli.forecast.verify import Verification
from faconv_cli.forecast.write import write_forecasts

CPU = torch.device("cpu")


def _write(path, checkpoint, cube, starts, *, steps=3, verify=False, **options):
    run = ForecastRun(checkpoint, cube, steps, CPU, truth=verify)
    normalizer = checkpoint.normalizer
    scores = (
        Verification(cube.grid.area, normalizer.std, normalizer.mean / normalizer.std) if verify else None
    )
    parts = list(
        write_forecasts(run, path, np.array(starts), "faconv forecast", verification=scores, **options)
    )
    return run, parts


def test_the_file_reads_back_as_it_was_forecast(checkpoint, cube, tmp_path, assert_cf):
    path = tmp_path / "f.nc"
    run, parts = _write(path, checkpoint, cube, [20, 50, 199], verify=True)
    fields = np.stack(
        [run.physical(int(s), a) for p in parts for s, a in zip(p.starts, p.anomalies, strict=True)]
    )
    with xr.open_dataset(path, decode_timedelta=True) as file:
        assert file.forecast_reference_time.values.tolist() == cube.time.values[[20, 50, 199]].tolist()
        for number, channel in enumerate(cube.channels):
            np.testing.assert_array_equal(file[channel.name].values, fields[:, :, number].astype(np.float32))
            assert file[channel.name].units == channel.units
        times = file.time.values
        np.testing.assert_array_equal(times[0], cube.time.values[21:24])
        ahead = times - file.forecast_reference_time.values[:, None]
        np.testing.assert_array_equal(ahead, np.broadcast_to(file.forecast_period.values, ahead.shape))
        assert file.attrs["faconv_checkpoint_sha256"] == checkpoint.sha256
    assert_cf(path)


def test_monthly_forecasts_have_a_period_of_their_own_for_each_start(make_cube, trained, tmp_path, assert_cf):
    cube = make_cube(120, freq="MS", calendar="noleap")
    path = tmp_path / "f.nc"
    _write(path, trained(cube, window=6, burn_in=2, teacher_forced=4, attention_every=2), cube, [30, 119])
    with xr.open_dataset(path, decode_timedelta=False) as file:
        assert file.forecast_period.dims == ("forecast_reference_time", "lead")
        np.testing.assert_array_equal(file.forecast_period.values, [[31, 62, 92], [31, 62, 90]])
        assert str(file.time.values[1, 0])[:10] == "2011-01-01"
    assert_cf(path)


def test_sub_daily_leads_are_told_in_hours(make_cube, trained, tmp_path):
    cube = make_cube(200, freq="6h")
    path = tmp_path / "f.nc"
    _write(path, trained(cube, anomaly="none"), cube, [100])
    with netCDF4.Dataset(path) as file:
        assert file["forecast_period"].units == "hours"
        assert file["forecast_period"][:].tolist() == [6, 12, 18]


def test_a_grid_is_given_back_in_the_order_of_its_file(trained, make_cube, tmp_path):
    cube = make_cube(120, shape=(5, 8), periodic=True)
    lat, lon = cube.grid.lat[::-1], (cube.grid.lon + 180) % 360 - 180
    flipped = replace(cube, grid=Grid.from_coordinates(lat, np.sort(lon)))
    path = tmp_path / "f.nc"
    run, parts = _write(path, trained(flipped, anomaly="none"), flipped, [100])
    with xr.open_dataset(path, decode_timedelta=False) as file:
        assert file.lat.values[0] > file.lat.values[-1]
        assert file.lon.values[0] == -180
        expected = run.physical(100, parts[0].anomalies[0])[:, 0]
        np.testing.assert_allclose(
            file.v0.sel(lat=cube.grid.lat, lon=(cube.grid.lon + 180) % 360 - 180).values[0],
            expected,
            rtol=1e-6,
        )


def test_a_file_that_exists_is_kept_unless_asked(checkpoint, cube, tmp_path):
    path = tmp_path / "f.nc"
    path.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        _write(path, checkpoint, cube, [20])
    assert path.read_text() == "mine"
    _write(path, checkpoint, cube, [20], overwrite=True)
    assert xr.open_dataset(path, decode_timedelta=False).sizes["lead"] == 3


def test_nothing_is_written_where_nothing_can_be_forecast_or_verified(checkpoint, cube, tmp_path):
    empty = replace(cube, fields=cube.fields * np.nan)
    with pytest.raises(InputError, match="none of 1 initial times has enough"):
        _write(tmp_path / "f.nc", checkpoint, empty, [20])
    with pytest.raises(InputError, match="the record ends with the initial times"):
        _write(tmp_path / "f.nc", checkpoint, cube, [len(cube.time) - 1], verify=True)
    assert not list(tmp_path.iterdir())


def test_a_channel_keeps_out_of_the_way_of_our_own_names():
    assert variable_name("z500") == "z500"
    assert variable_name("lead") == "lead_"
    assert variable_name("a/b") == "a_b"
