"""The pipeline of a training, replayed on other files: what a checkpoint is run on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.checkpoint import read_checkpoint
from faconv_cli.config import DataConfig, RunConfig
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.pipeline import open_record
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import CheckpointError, InputError
from faconv_cli.fit.loop import Training
from faconv_cli.fit.prepare import prepare
from faconv_cli.forecast.run import ForecastRun
from faconv_cli.match import match_cube, open_matching

CPU = torch.device("cpu")
LAT, LON = np.arange(80.0, -81, -20), np.arange(0.0, 360, 30)
STEPS = 800
QUICK = {
    "window": 12,
    "burn_in": 4,
    "hidden": 6,
    "bottleneck": 4,
    "embedding": 4,
    "batch": 4,
    "updates": 2,
    "validation": "0",
}
EVERY_OPTION = {
    "variables": ("t2m",),
    "derive": ("wind=hypot(u10,v10)", "warmth=exp(0.05*(t2m-280))"),
    "region": "-70:70,90:-30",
    "coarsen": 2,
    "smooth": 5.0,
    "season": "NDJFM",
    "anomaly": "daily",
    "detrend": True,
}


@pytest.fixture(scope="module")
def dataset():
    """Winds and a temperature, daily on the globe; some values are missing."""
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * (np.arange(STEPS)[:, None, None] / 9 + LON / 120 + LAT[:, None] / 200))
    fields = {
        "t2m": 285 + 10 * wave + rng.normal(size=wave.shape),
        "u10": 5 + 3 * wave + rng.normal(size=wave.shape),
        "v10": 4 * np.roll(wave, 2, 0) + rng.normal(size=wave.shape),
    }
    fields["t2m"][rng.uniform(size=wave.shape) < 0.1] = np.nan
    data = xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype(np.float32)) for name, values in fields.items()},
        {"time": xr.date_range("2000-10-01", periods=STEPS), "lat": LAT, "lon": LON},
    )
    data.lat.attrs["units"], data.lon.attrs["units"] = "degrees_north", "degrees_east"
    for name, units in (("t2m", "K"), ("u10", "m s-1"), ("v10", "m s-1")):
        data[name].attrs["units"] = units
    return data


@pytest.fixture(scope="module")
def fixed():
    """A land-sea mask and an orography on the same globe."""
    rng = np.random.default_rng(1)
    land = (rng.uniform(size=(9, 12)) > 0.3).astype(np.int8)
    height = rng.gamma(1, 800, (9, 12)).astype(np.float32)
    coords = {"lat": ("lat", LAT, {"units": "degrees_north"}), "lon": ("lon", LON, {"units": "degrees_east"})}
    return xr.Dataset({"lsm": (("lat", "lon"), land), "oro": (("lat", "lon"), height)}, coords)


@pytest.fixture(scope="module")
def checkpoint(dataset, fixed, tmp_path_factory):
    """Train with every option on; data, mask and static fields are gone afterwards."""
    folder = tmp_path_factory.mktemp("trained")
    fixed.to_netcdf(folder / "fixed.nc")
    dataset.to_netcdf(folder / "data.nc")
    path = str(folder / "fixed.nc")
    options = EVERY_OPTION | {"mask": f"{path}:lsm", "static": (f"{path}:oro,lsm",)}
    trained = _train(folder, folder / "data.nc", **options)
    for name in ("fixed.nc", "data.nc"):
        (folder / name).unlink()
    return trained


def _train(folder, data, **options):
    unused = ("embedding", "points") if options.get("task") == "forecast" else ()
    quick = {name: value for name, value in QUICK.items() if name not in unused}
    config = RunConfig.build(None, quick | options)
    prepared = prepare(open_record([data], config.data), config)
    for _ in Training(prepared, folder / "m.pt", CPU).run():
        pass
    return read_checkpoint(folder / "m.pt")


def _embed(checkpoint, cube, *, batch=3):
    embedder = Embedder(checkpoint, cube, CPU, batch=batch, attention=False)
    return np.concatenate([rows.embedding for rows in embedder.run(0, len(cube.time))])


def _write(path, dataset, chunks=None):
    encoding = {name: {"chunksizes": chunks} for name in dataset.data_vars} if chunks else None
    dataset.to_netcdf(path, encoding=encoding)
    return path


@pytest.fixture(scope="module")
def embedding(checkpoint, dataset, tmp_path_factory):
    path = _write(tmp_path_factory.mktemp("data") / "data.nc", dataset)
    return _embed(checkpoint, open_matching(checkpoint, [path]))


def _shuffled(dataset, order, folder):
    """The same record, otherwise laid out."""
    if order == "turned":
        dataset = dataset.isel(lat=slice(None, None, -1))
    if order == "rolled":
        dataset = dataset.assign_coords(lon=(dataset.lon + 180) % 360 - 180).sortby("lon")
        dataset.lon.attrs["units"] = "degrees_east"
    if order == "split":
        cuts = (slice(0, 333), slice(333, None))
        return [_write(folder / f"{i}.nc", dataset.isel(time=cut)) for i, cut in enumerate(cuts)]
    chunks = {"long": (STEPS, 2, 2), "short": (1, 9, 12), "odd": (37, 4, 5)}.get(order)
    return [_write(folder / "data.nc", dataset, chunks)]


@pytest.mark.parametrize("order", ["turned", "rolled", "split", "long", "short", "odd"])
def test_no_chunking_and_no_order_of_the_files_changes_a_bit(checkpoint, dataset, embedding, order, tmp_path):
    cube = open_matching(checkpoint, _shuffled(dataset, order, tmp_path))
    np.testing.assert_array_equal(_embed(checkpoint, cube), embedding)
    np.testing.assert_array_equal(_embed(checkpoint, cube.cached()), embedding)


def test_fields_are_the_same_bits_whatever_is_read_with_them(checkpoint, dataset, tmp_path):
    cube = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset, (37, 4, 5))])
    whole = cube.read(0, len(cube.time))
    for step in range(0, len(cube.time), 7):
        np.testing.assert_array_equal(cube.read(step, step + 1)[0], whole[step])
    np.testing.assert_array_equal(cube.fields.to_numpy(), whole)


@pytest.mark.parametrize("steps", [500, 750])
def test_a_record_that_grows_keeps_its_old_rows_bit_for_bit(checkpoint, dataset, embedding, steps, tmp_path):
    early = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset.isel(time=slice(steps)))])
    rows = _embed(checkpoint, early)
    np.testing.assert_array_equal(rows, embedding[: len(rows)])


def _by_hand(*given):
    """What `EVERY_OPTION` says, in numpy and float64, but for anomalies and trend."""
    east = [90, 120, 150, 180, 210, 240, 270, 300, 330]
    data, constant = (one.sel(lat=slice(70, -70), lon=east).isel(lat=slice(None, None, -1)) for one in given)
    t2m, u10, v10 = (data[name].values.astype(float) for name in ("t2m", "u10", "v10"))
    fields = np.stack([t2m, np.hypot(u10, v10), np.exp(0.05 * (t2m - 280))], 1)
    fields[:, :, constant.lsm.values == 0] = np.nan
    edges = np.append(data.lat.values - 10, 70)
    area = np.diff(np.sin(np.radians(edges)))[:, None] * np.ones(9)
    coarse = np.full((STEPS, 3, 4, 5), np.nan)
    for y in range(4):
        for x in range(5):
            block = np.s_[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            weight = np.isfinite(fields[block]) * area[block]
            share, total = weight.sum((2, 3)), (np.nan_to_num(fields[block]) * weight).sum((2, 3))
            enough = share > 0.4999 * area[block].sum()
            coarse[..., y, x] = np.where(enough, total / np.maximum(share, 1e-9), np.nan)
    smooth = np.full_like(coarse, np.nan)
    for step in range(STEPS):
        window = coarse[max(0, step - 4) : step + 1]
        count = np.isfinite(window).sum(0)
        mean = np.nan_to_num(window).sum(0) / np.maximum(count, 1)
        smooth[step] = np.where(count >= len(window) / 2, mean, np.nan)
    winter = data.time.dt.month.isin([11, 12, 1, 2, 3]).values
    lat = [data.lat.values[2 * y : 2 * y + 2].mean() for y in range(4)]
    names = ("t2m", "wind", "warmth")
    made = xr.Dataset(
        {name: (("time", "lat", "lon"), smooth[winter, i]) for i, name in enumerate(names)},
        {"time": data.time.values[winter], "lat": lat, "lon": [105.0, 165, 225, 285, 330]},
    ).astype(np.float32)
    made.lat.attrs["units"], made.lon.attrs["units"] = "degrees_north", "degrees_east"
    return made


def test_the_pipeline_is_what_numpy_makes_of_the_data_by_hand(
    checkpoint, dataset, fixed, embedding, tmp_path
):
    made = _by_hand(dataset, fixed)
    for channel in checkpoint.channels:
        made[channel.name].attrs["units"] = channel.units
    plain = RunConfig.model_validate(checkpoint.config.model_dump() | {"data": {}})
    constants = replace(checkpoint.constants, mask=None, input_units={})
    bare = replace(checkpoint, config=plain, constants=constants)
    by_hand = open_matching(bare, [_write(tmp_path / "made.nc", made)])
    replayed = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset)])
    assert by_hand.time.labels == replayed.time.labels
    assert by_hand.time.segments == replayed.time.segments
    ours, theirs = (cube.read(0, len(cube.time)) for cube in (replayed, by_hand))
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)
    np.testing.assert_allclose(_embed(bare, by_hand), embedding, rtol=1e-3, atol=1e-4)


def test_what_was_done_is_noted(checkpoint, dataset, tmp_path):
    cube = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset)])
    told = " ".join(cube.notes)
    for words in (
        "Region -70:70,90:-30: 7 x 9 of 9 x 12 points.",
        "wind is hypot(u10,v10), in m s-1.",
        "Mask: ",
        "Means over blocks of 2 x 2 points: 4 x 5 of 7 x 9.",
        "Running means over 5 steps",
        "Season NDJFM: 341 of 800 time steps",
        "Static channels: oro, lsm.",
    ):
        assert words in told
    assert checkpoint.record["training"]["notes"] == list(cube.notes)


@pytest.mark.parametrize("units", [{"t2m": "degC"}, {"u10": "knots", "v10": "knots"}])
def test_other_units_are_converted_in_channels_and_in_what_formulas_read(
    checkpoint, dataset, embedding, units, tmp_path
):
    other = dataset.copy()
    for name, unit in units.items():
        values = dataset[name].astype(float)
        changed = values - 273.15 if unit == "degC" else values / (1852 / 3600)
        other[name] = changed.astype(np.float32).assign_attrs(units=unit)
    cube = open_matching(checkpoint, [_write(tmp_path / "data.nc", other)])
    np.testing.assert_allclose(_embed(checkpoint, cube), embedding, rtol=1e-3, atol=1e-3)
    if "t2m" in units:
        assert "t2m is converted from degC to K." in cube.notes


def test_another_quantity_is_refused_in_channels_and_in_what_formulas_read(checkpoint, dataset, tmp_path):
    for name in ("t2m", "u10"):
        other = dataset.copy()
        other[name] = dataset[name].assign_attrs(units="Pa")
        path = _write(tmp_path / f"{name}.nc", other)
        with pytest.raises(CheckpointError, match=rf"{name} is in Pa.*trained in (K|m s-1)"):
            open_matching(checkpoint, [path])


def test_anomalies_are_another_quantity_than_what_they_are_of(checkpoint, dataset, tmp_path):
    anomalies = dataset.copy()
    anomalies["t2m"].attrs["standard_name"] = "air_temperature_anomaly"
    path = _write(tmp_path / "data.nc", anomalies)
    with pytest.raises(CheckpointError, match=r"t2m holds anomalies .*trained on the quantity itself"):
        open_matching(checkpoint, [path])
    channels = tuple(replace(one, difference=one.name == "t2m") for one in checkpoint.channels)
    constants = replace(checkpoint.constants, input_differences=frozenset({"t2m"}))
    about_zero = replace(checkpoint.climatology, coefficients=0 * checkpoint.climatology.coefficients)
    of_anomalies = replace(checkpoint, channels=channels, constants=constants, climatology=about_zero)
    anomalies["t2m"].attrs["units"] = "degC"
    cube = open_matching(of_anomalies, [_write(tmp_path / "c.nc", anomalies)])
    unchanged = open_matching(checkpoint, [_write(tmp_path / "k.nc", dataset)])
    np.testing.assert_array_equal(cube.read(0, 30)[:, 0], unchanged.read(0, 30)[:, 0])


def test_anomalies_that_nothing_calls_so_are_refused_in_other_units_than_those_of_the_training(
    checkpoint, dataset, tmp_path
):
    other = dataset.copy()
    other["t2m"] = (dataset["t2m"] - 285).assign_attrs(units="degC")
    about_zero = replace(checkpoint.climatology, coefficients=0 * checkpoint.climatology.coefficients)
    trained = replace(checkpoint, climatology=about_zero)
    with pytest.raises(
        InputError, match=r"t2m is read as a temperature, but its values are about .* K\. Such"
    ):
        open_matching(trained, [_write(tmp_path / "c.nc", other)])


def test_salinity_in_thousandths_has_the_numbers_of_the_training_in_one(tmp_path):
    """Trained on psu in a unit of 1; a training on ratios of masses, in 1 as well, is told by its values."""
    psu = 35 + np.random.default_rng(0).normal(size=(60, len(LAT), len(LON)))

    def path(name, units, factor=1.0):
        axes = {"time": xr.date_range("2000-01-01", periods=60), "lat": LAT, "lon": LON}
        salt = xr.DataArray((psu * factor).astype("f4"), axes, ("time", "lat", "lon"), "so", {"units": units})
        salt.lat.attrs["units"], salt.lon.attrs["units"] = "degrees_north", "degrees_east"
        return _write(tmp_path / name, salt.to_dataset())

    for factor in (1.0, 1e-3):
        trained = _train(tmp_path, path(f"{factor}.nc", "1", factor), anomaly="none")
        for units in ("psu", "1e-3", "g kg-1"):
            cube = open_matching(trained, [path(f"{factor} {units}.nc", units)])
            np.testing.assert_allclose(cube.read(0, 60)[:, 0, ::-1], factor * psu, rtol=1e-6)


def test_formulas_read_the_kind_of_data_they_read_in_training(checkpoint, dataset, tmp_path):
    assert checkpoint.constants.input_differences == frozenset()
    anomalies = dataset.copy()
    anomalies["u10"].attrs["long_name"] = "anomaly of the wind"
    path = _write(tmp_path / "data.nc", anomalies)
    with pytest.raises(CheckpointError, match=r"u10 holds anomalies .*trained on the quantity itself"):
        open_matching(checkpoint, [path])
    unsaid = replace(checkpoint, constants=replace(checkpoint.constants, input_differences=None))
    assert len(open_matching(unsaid, [path]).channels) == 3


@pytest.mark.parametrize("kept", [{}, {"levels": (500.0,)}, {"variables": ("z500", "z850")}])
def test_levels_in_other_units_are_those_of_the_training(kept, tmp_path):
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(60, 2, len(LAT), len(LON))).astype(np.float32)
    data = xr.Dataset(
        {"z": (("time", "plev", "lat", "lon"), fields, {"units": "m"})},
        {
            "time": xr.date_range("2000-10-01", periods=60),
            "plev": ("plev", [850.0, 500.0], {"units": "hPa"}),
            "lat": ("lat", LAT, {"units": "degrees_north"}),
            "lon": ("lon", LON, {"units": "degrees_east"}),
        },
    )
    config = RunConfig.build(
        None, {"encoder": "eof", "embedding": 2, "updates": 0, "validation": "0", **kept}
    )
    prepared = prepare(open_record([_write(tmp_path / "hpa.nc", data)], config.data), config)
    for _ in Training(prepared, tmp_path / "m.pt", CPU).run():
        pass
    trained = read_checkpoint(tmp_path / "m.pt")
    pascals = data.assign_coords(plev=("plev", [85000.0, 50000.0], {"units": "Pa"}))
    cubes = [
        open_matching(trained, [path]) for path in (tmp_path / "hpa.nc", _write(tmp_path / "pa.nc", pascals))
    ]
    assert cubes[0].channels == cubes[1].channels
    np.testing.assert_array_equal(cubes[0].read(0, 60), cubes[1].read(0, 60))
    assert any("levels of z are converted from Pa to hPa" in note for note in cubes[1].notes)


def test_data_of_another_grid_are_refused(checkpoint, dataset, tmp_path):
    path = _write(tmp_path / "data.nc", dataset.isel(lon=slice(None, None, 2)))
    with pytest.raises(CheckpointError, match=r"7 x 4 points.*mask of the checkpoint has 7 x 9"):
        open_matching(checkpoint, [path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("turned", "latitudes are those of the checkpoint in another order"),
        ("moved", r"latitudes run from .* Those of the checkpoint run from"),
        ("axes", "grid of the data has 2-D coordinates.*trained on one of two axes"),
    ],
)
def test_data_on_other_points_than_the_checkpoints_are_refused(checkpoint, make_cube, change, message):
    """Of 2-D coordinates points in another order, of both kinds other places, and one kind for the other."""
    h, w = checkpoint.grid_shape
    cube = make_cube(40, len(checkpoint.channels), (h, w))
    named = replace(cube, channels=checkpoint.channels)
    lat, lon = np.meshgrid(checkpoint.lat, checkpoint.lon, indexing="ij")
    lat = lat + lon / 100
    data, trained = {
        "turned": ((lat[::-1], lon), (lat, lon)),
        "moved": ((lat + 1, lon), (lat, lon)),
        "axes": ((lat, lon), (checkpoint.lat, checkpoint.lon)),
    }[change]
    named = replace(named, grid=Grid.from_coordinates(*data))
    with pytest.raises(CheckpointError, match=message):
        match_cube(replace(checkpoint, grid=Grid.from_coordinates(*trained)), named)


def test_variables_may_be_named_anew(checkpoint, dataset, embedding, tmp_path):
    path = _write(tmp_path / "data.nc", dataset.rename(t2m="tas"))
    with pytest.raises(InputError, match="no variable 't2m'"):
        open_matching(checkpoint, [path])
    cube = open_matching(checkpoint, [path], variables=("t2m=tas",))
    np.testing.assert_array_equal(_embed(checkpoint, cube), embedding)


def _with_statics(checkpoint, statics):
    return replace(checkpoint, constants=replace(checkpoint.constants, statics=statics))


def test_static_channels_are_seen_by_the_network_and_not_by_the_eofs(checkpoint, dataset, tmp_path):
    cube = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset)])
    turned = _with_statics(checkpoint, -checkpoint.constants.statics)
    assert np.abs(_embed(turned, cube) - _embed(checkpoint, cube)).max() > 1e-6
    assert checkpoint.encoder["eofs.on_x"].shape[2] == len(checkpoint.channels)


@pytest.mark.parametrize("options", [{"patch": 2}, {"tile": 8, "halo": 2}, {"encoder": "convgru"}])
def test_static_channels_go_with_patches_tiles_and_other_encoders(dataset, fixed, options, tmp_path):
    fixed.to_netcdf(tmp_path / "fixed.nc")
    data = _write(tmp_path / "data.nc", dataset[["u10"]].isel(time=slice(200)))
    options = {"static": (f"{tmp_path}/fixed.nc:oro",), "anomaly": "none", **options}
    trained = _train(tmp_path, data, **options)
    assert np.isfinite(_embed(trained, open_matching(trained, [data]))).all()


def test_a_forecast_sees_static_channels_too(dataset, fixed, tmp_path):
    fixed.to_netcdf(tmp_path / "fixed.nc")
    data = _write(tmp_path / "data.nc", dataset[["u10"]].isel(time=slice(200)))
    options = {"static": (f"{tmp_path}/fixed.nc:oro",), "anomaly": "none", "task": "forecast", "smooth": 3.0}
    trained = _train(tmp_path, data, **options)
    cube = open_matching(trained, [data])

    def forecast(checkpoint):
        run = ForecastRun(checkpoint, cube, 3, CPU)
        return next(iter(run.run(run.starts(100, 101)))).anomalies

    turned = _with_statics(trained, -trained.constants.statics)
    assert np.abs(forecast(turned) - forecast(trained)).max() > 1e-6


def test_channels_are_matched_by_name_and_unit(checkpoint, dataset, tmp_path):
    cube = open_matching(checkpoint, [_write(tmp_path / "data.nc", dataset)])
    turned = match_cube(checkpoint, cube.pick([2, 0, 1]))
    assert turned.channels == cube.channels
    np.testing.assert_array_equal(turned.read(0, 9), cube.read(0, 9))


def test_a_setting_of_the_training_is_replayed_unless_another_is_given():
    data = DataConfig(variables=("t",), region="0:10,0:10", time_range="2001:2002")
    assert data.replayed(variables=("t=x",)) == DataConfig(variables=("t=x",), region="0:10,0:10")


def test_months_stamped_elsewhere_than_in_training_are_told(dataset, tmp_path):
    def monthly(name, days):
        months = xr.date_range("2000-01-01", periods=60, freq="MS") + np.timedelta64(days, "D")
        data = dataset[["u10"]].isel(time=slice(60)).assign_coords(time=months)
        return _write(tmp_path / name, data)

    trained = _train(tmp_path, monthly("a.nc", 0), updates=0)

    def told(days):
        cube = open_matching(trained, [monthly("b.nc", days)])
        return [note for note in cube.notes if "than in training" in note]

    assert told(0) == told(4) == []
    assert "another time of the month (2000-01-16) than in training (2000-01-01)" in told(15)[0]


@pytest.mark.parametrize(("anomaly", "told"), [("diurnal", 1), ("hourly", 0), ("none", 1)])
def test_a_diurnal_cycle_that_is_left_in_is_told_of_the_record_that_is_embedded(
    dataset, tmp_path, anomaly, told
):
    """A checkpoint of one month takes the diurnal cycle of that month off a year."""
    times = xr.date_range("2001-01-01", periods=480, freq="6h")
    data = dataset[["u10"]].isel(time=slice(480)).assign_coords(time=times)
    month, year = data.isel(time=slice(120)), data.isel(time=slice(None, None, 4))
    trained = _train(tmp_path, _write(tmp_path / "month.nc", month), updates=0, anomaly=anomaly)
    year = year.assign_coords(time=times[:120] + np.arange(120) // 4 * np.timedelta64(11, "D"))
    notes = open_matching(trained, [_write(tmp_path / "year.nc", year)]).notes
    assert sum("diurnal cycle is not removed" in note for note in notes) == told
