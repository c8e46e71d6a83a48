"""Values no file should hold, from the file to the checkpoint and the embedding."""

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from faconv_cli.app import main
from faconv_cli.checkpoint import read_checkpoint

STEPS, SHAPE = 60, (6, 8)
QUICK = [
    *("--window", "12", "--burn-in", "4", "--hidden", "4", "--bottleneck", "4", "--embedding", "4"),
    *("--updates", "2", "--batch", "2", "--threads", "1"),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Land, ice that comes and goes, deserts without rain, fill, infinities, packing, 1e-5 beside 1e5."""
    path, rng = tmp_path_factory.mktemp("odd") / "odd.nc", np.random.default_rng(0)
    waves = np.sin(np.arange(STEPS)[:, None, None] / 3 + np.arange(48).reshape(SHAPE) / 5)
    noise = lambda: waves + 0.1 * rng.normal(size=(STEPS, *SHAPE))  # noqa: E731
    pressure, flux, rain, ice = 1e5 + 500 * noise(), 1e-5 + 1e-6 * noise(), noise().clip(0), noise()
    pressure[7, 2, 3] = 9.96921e36
    pressure[8, 2, 3] = np.inf
    rain[:, :3] = 0
    ice[np.arange(STEPS) % 20 < 8, 4:] = np.nan
    ice[:, 0, :2] = np.nan
    packed = np.round(noise() * 1000).astype("i2")
    packed[9, 1, 1] = netCDF4.default_fillvals["i2"]
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (
            ("time", np.arange(STEPS), "days since 2001-01-01"),
            ("lat", np.linspace(-25, 25, 6), "degrees_north"),
            ("lon", np.linspace(0, 70, 8), "degrees_east"),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = units
        fields = {
            "p": pressure,
            "flux": flux,
            "rain": rain,
            "ice": ice,
            "packed": packed,
            "nothing": 0 * rain,
        }
        for name, values in fields.items():
            kind = "i2" if name == "packed" else "f4"
            variable = file.createVariable(name, kind, ("time", "lat", "lon"), fill_value=False)
            variable.set_auto_maskandscale(False)
            variable[:] = values
            variable.units = "1"
        file["packed"].setncatts({"scale_factor": np.float32(1e-3), "add_offset": np.float32(2)})
    return path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert not stopped.value.code, captured.err
    return captured


@pytest.fixture(scope="module")
def checkpoint(odd):
    path = odd.with_name("odd.pt")
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(odd), "-o", str(path), *QUICK])
    assert not stopped.value.code
    return path


TOLD = (
    "p: 1 values in 1 fields are fill values that the file does not declare; they count as missing.",
    "p: 1 values in 1 fields are infinite; they count as missing.",
    "packed: 1 values in 1 fields are fill values that the file does not declare; they count as missing.",
)


def test_inspect_tells_what_was_masked(capsys, odd):
    seen = json.loads(run(capsys, "inspect", odd, "--json").out)
    assert set(TOLD) <= set(seen["notes"])
    ranges = {one["name"]: (one["min"], one["max"]) for one in seen["variables"]}
    assert max(map(abs, ranges["p"])) < 1.1e5
    assert max(map(abs, ranges["packed"])) < 4


def test_a_checkpoint_records_what_was_masked_and_left_out(checkpoint):
    trained = read_checkpoint(checkpoint)
    assert set(TOLD) <= set(trained.record["notes"])
    assert any("nothing is constant" in note for note in trained.record["notes"])
    assert [channel.name for channel in trained.channels] == ["p", "flux", "rain", "ice", "packed"]
    assert trained.normalizer.std[0] > 100
    assert trained.normalizer.std[1] < 1e-5
    assert np.isfinite(trained.normalizer.std).all()
    assert all(np.isfinite(tensor.numpy()).all() for tensor in trained.encoder.values())


def test_an_embedding_is_finite_and_says_what_was_masked(capsys, odd, checkpoint, tmp_path):
    said = run(capsys, "embed", "-c", checkpoint, odd, tmp_path / "e.nc", "--threads", 1).err
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert np.isfinite(file["embedding"][:].filled(np.nan)).all()
        for text in TOLD:
            assert text in said
            assert text in file.faconv_notes


def test_a_regridded_record_is_trained_on_and_embedded_as_it_was(capsys, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "points.nc"
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 600))), rng.uniform(0, 360, 600)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", STEPS), ("ncol", 600)):
            file.createDimension(name, size)
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createVariable(name, "f8", ("ncol",))[:] = values
            file[name].units = units
        file.createVariable("time", "f8", ("time",))[:] = np.arange(STEPS)
        file["time"].units = "days since 2001-01-01"
        waves = np.sin(np.arange(STEPS)[:, None] / 3 + np.radians(lon)) + 0.1 * rng.normal(size=(STEPS, 600))
        file.createVariable("x", "f4", ("time", "ncol"))[:] = waves
    run(capsys, "train", path, "-o", tmp_path / "m.pt", "--regrid", 30, *QUICK)
    said = run(capsys, "embed", "-c", tmp_path / "m.pt", path, tmp_path / "e.nc", "--threads", 1).err
    assert "600 points along ncol are regridded to 6 x 12 cells of 30 degrees" in said
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert np.isfinite(file["embedding"][:].filled(np.nan)).all()
        assert (len(file.dimensions["lat"]), len(file.dimensions["lon"])) == (6, 12)


def _write_filled(path, fill):
    """Temperatures with land in one corner that holds ``fill``."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(STEPS)[:, None, None] / 3 + np.arange(48).reshape(SHAPE) / 5)
    values = (280 + waves + 0.1 * rng.normal(size=(STEPS, *SHAPE))).astype(np.float32)
    values[:, :2, :3] = fill
    axes = {
        "time": ("time", np.arange(STEPS), {"units": "days since 2001-01-01"}),
        "lat": ("lat", np.linspace(-25, 25, 6), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 70, 8), {"units": "degrees_east"}),
    }
    data = xr.Dataset({"t": (("time", "lat", "lon"), values, {"units": "K"})}, axes)
    data.to_netcdf(path, encoding={"t": {"_FillValue": np.float32(np.nan) if np.isnan(fill) else None}})
    return path


@pytest.mark.parametrize(("fill", "option"), [(1e20, []), (-9999, ["--missing-value", "-9999"])])
def test_fill_that_is_known_or_named_gives_what_missing_data_give(capsys, tmp_path, fill, option):
    embedded = []
    for name, value, options in (("plain", np.nan, []), ("filled", fill, option)):
        data = _write_filled(tmp_path / f"{name}.nc", value)
        paths = [tmp_path / f"{name}{suffix}" for suffix in (".pt", ".z.nc", ".r.nc")]
        run(capsys, "train", data, "-o", paths[0], *QUICK, *options)
        run(capsys, "embed", "--checkpoint", paths[0], data, paths[1], "--threads", "1")
        run(capsys, "cluster", paths[1], "-o", paths[2], "-k", "2", "--data", data, *options)
        run(capsys, "prepare", data, tmp_path / f"{name}.zarr", *options)
        with (
            xr.open_dataset(paths[1]) as z,
            xr.open_dataset(paths[2]) as regimes,
            xr.open_dataset(tmp_path / f"{name}.zarr", consolidated=True) as store,
        ):
            embedded.append((z.embedding.values, regimes.composite_t.values, store.t.values))
    for plain, filled in zip(*embedded, strict=True):
        np.testing.assert_array_equal(filled, plain)


def test_fill_that_nothing_declares_is_told_of_by_inspect_and_in_the_log(capsys, tmp_path):
    data = _write_filled(tmp_path / "data.nc", -9999)
    notes = json.loads(run(capsys, "inspect", "--json", data).out)["notes"]
    assert any(note.startswith("t: -9999 is the lowest value, with 12 % of the values") for note in notes)
    told = run(capsys, "train", data, "-o", tmp_path / "m.pt", *QUICK).err
    assert "use --missing-value -9999 or" in told
    assert "Warning" not in told
    named = json.loads(run(capsys, "inspect", "--json", data, "--missing-value", "-9999").out)
    assert named["variables"][0]["missing_share"] == 0.125
