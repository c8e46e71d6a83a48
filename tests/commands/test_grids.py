"""Every command that writes fields, on every kind of grid, and every reader of what it writes."""

import numpy as np
import pytest
import xarray as xr

from faconv_cli import schema
from faconv_cli.cube.join.source import open_cube
from faconv_cli.regimes import significance

STEPS, SHAPE = 24, (8, 10)
TINY = (
    *("--updates", "2", "--hidden", "4", "--bottleneck", "4", "--embedding", "4", "--window", "8"),
    *("--burn-in", "2", "--threads", "1", "--validation", "0"),
)
MAPPINGS = {
    "rotated_pole": {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    },
    "crs": {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": 50.0,
        "longitude_of_central_meridian": 10.0,
        "latitude_of_projection_origin": 50.0,
    },
}


def fields():
    return np.random.default_rng(0).normal(280, 5, (STEPS, *SHAPE)).astype(np.float32)


def bent():
    """Latitudes and longitudes that are no mesh of two axes."""
    y, x = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")
    return 50 + 8 * y - 2 * x**2, 10 + 14 * x + 3 * y * x


def regular(lat, lon):
    axes = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    return record(("lat", "lon"), axes)


def curved(y, x, axes=None, mapping=None):
    lat, lon = bent()
    coordinates = {
        "TLAT": ((y, x), lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "TLON": ((y, x), lon, {"units": "degrees_east", "standard_name": "longitude"}),
        **(axes or {}),
    }
    return record((y, x), coordinates, {"coordinates": "TLAT TLON"}, mapping)


def along(y, x, units="1", names=(None, None)):
    """Coordinates of the two dimensions."""
    return {
        dim: (dim, np.arange(size) * 1000.0, {"units": units} | ({"standard_name": name} if name else {}))
        for dim, size, name in zip((y, x), SHAPE, names, strict=True)
    }


def rotated():
    axes = {
        "rlat": (
            "rlat",
            np.linspace(-7, 7, SHAPE[0]),
            {"standard_name": "grid_latitude", "units": "degrees"},
        ),
        "rlon": (
            "rlon",
            np.linspace(-9, 9, SHAPE[1]),
            {"standard_name": "grid_longitude", "units": "degrees"},
        ),
    }
    return record(("rlat", "rlon"), axes, mapping="rotated_pole")


def points():
    """Points along one dimension, to be regridded."""
    lat, lon = (
        a.ravel() for a in np.meshgrid(np.linspace(40, 60, 10), np.linspace(0, 30, 15), indexing="ij")
    )
    values = np.random.default_rng(0).normal(280, 5, (STEPS, lat.size)).astype(np.float32)
    axes = {
        "lat": ("cell", lat, {"units": "degrees_north"}),
        "lon": ("cell", lon, {"units": "degrees_east"}),
        "time": xr.date_range("2000-01-01", periods=STEPS),
    }
    return xr.Dataset({"t": (("time", "cell"), values, {"units": "K"})}, axes)


def record(dims, coordinates, about=None, mapping=None):
    attrs = {"units": "K", "standard_name": "air_temperature"} | (about or {})
    made = xr.Dataset(coords={"time": xr.date_range("2000-01-01", periods=STEPS), **coordinates})
    if mapping:
        made[mapping] = ((), np.int32(0), MAPPINGS[mapping])
        attrs["grid_mapping"] = mapping
    made["t"] = (("time", *dims), fields(), attrs)
    return made


PROJECTED = along("y", "x", "m", ("projection_y_coordinate", "projection_x_coordinate"))
# name: how to make it, options of train, dimensions of a field in our files
KINDS = {
    "axes": (lambda: regular(np.linspace(-70, 70, 8), np.arange(0, 360, 36.0)), (), ("lat", "lon")),
    "axes turned round": (lambda: regular(np.linspace(70, 0, 8), np.arange(-9, 1.0)), (), ("lat", "lon")),
    "y, x": (lambda: curved("y", "x"), (), ("y", "x")),
    "j, i with numbers": (lambda: curved("j", "i", along("j", "i")), (), ("j", "i")),
    "nlat, nlon": (lambda: curved("nlat", "nlon"), (), ("nlat", "nlon")),
    "dimensions called lat and lon": (lambda: curved("lat", "lon"), (), ("y", "x")),
    "dimensions called as ours": (lambda: curved("mode", "query"), (), ("y", "x")),
    "a name that no file takes": (lambda: curved("grid-y", "grid-x"), (), ("y", "x")),
    "projection": (lambda: curved("y", "x", PROJECTED, "crs"), (), ("y", "x")),
    "rotated pole": (rotated, (), ("rlat", "rlon")),
    "patched": (lambda: curved("j", "i"), ("--patch", "2"), ("j", "i")),
    "tiled": (lambda: curved("j", "i"), ("--tile", "6", "--halo", "2"), ("j", "i")),
    "regridded": (points, ("--regrid", "3"), ("lat", "lon")),
}


@pytest.fixture(autouse=True)
def few_surrogates(monkeypatch):
    monkeypatch.setattr(significance, "SURROGATES", 3)  # p-values are no matter here


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory, run_code):
    """A folder with a record of one kind, all that is made of it, and the dimensions of its fields."""
    make, options, dims = KINDS[request.param]
    folder = tmp_path_factory.mktemp("grid")
    data, first = folder / "data.nc", make()
    first.to_netcdf(data)
    regrid = options if "--regrid" in options else ()
    lat, lon = (
        ("50", "10")
        if dims != ("lat", "lon") or regrid
        else map(str, (first.lat[3].item(), first.lon[4].item()))
    )
    embed = ("embed", "-c", folder / "m.pt", data)
    commands = [
        ("train", data, "-o", folder / "m.pt", *TINY, *options),
        (
            "train",
            data,
            "-o",
            folder / "f.pt",
            *TINY,
            *options,
            "--task",
            "forecast",
            "--encoder",
            "minconvgru",
        ),
        (*embed, folder / "e.nc", "--query", f"{lat},{lon}", "--threads", "1"),
        (*embed, folder / "plain.nc", "--no-attention", "--threads", "1"),
        ("forecast", "-c", folder / "f.pt", data, folder / "f.nc", "--steps", "2", "--threads", "1"),
        ("prepare", data, folder / "p.zarr", *regrid),
    ]
    for command in commands:
        assert run_code(*command) == 0, command
    return folder, dims, regrid


def test_fields_lie_on_the_dimensions_of_the_data(made):
    folder, dims, _ = made
    with xr.open_dataset(folder / "e.nc") as file:
        assert file[schema.ATTENTION].dims == (schema.ATTENTION_TIME, *dims)
        assert file[schema.TELECONNECTION].dims == (schema.ATTENTION_TIME, schema.QUERY, *dims)
        assert {"lat", "lon"} <= set(file[schema.ATTENTION].coords)
    with xr.open_dataset(folder / "f.nc") as file:
        assert file.t.dims == (schema.FORECAST_REFERENCE_TIME, schema.LEAD, *dims)
        assert {"lat", "lon"} <= set(file.t.coords)


def test_a_prepared_store_is_the_record(made, run_code):
    folder, dims, regrid = made
    with xr.open_zarr(folder / "p.zarr") as store, xr.open_dataset(folder / "data.nc") as data:
        assert store.t.dims == ("time", *dims)
        if not regrid:
            np.testing.assert_array_equal(store.t.values, data.t.values)
    if not regrid:  # as a regular grid it is another record than the points
        assert (
            run_code("embed", "-c", folder / "m.pt", folder / "p.zarr", folder / "again.nc", "--threads", "1")
            == 0
        )
        with xr.open_dataset(folder / "again.nc") as again, xr.open_dataset(folder / "e.nc") as first:
            np.testing.assert_allclose(again.embedding.values, first.embedding.values, rtol=0, atol=1e-6)
            np.testing.assert_allclose(again.attention.values, first.attention.values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("dims", "told"),
    [
        (("mode", "query"), "Dimensions mode and query are called y and x in the output of faconv."),
        (("grid-y", "grid-x"), "Dimensions grid-y and grid-x are called y and x in the output of faconv."),
        (("j", "i"), ""),
        (("y", "x"), ""),
    ],
)
def test_dimensions_that_are_renamed_are_told(tmp_path, dims, told):
    curved(*dims).to_netcdf(tmp_path / "data.nc")
    notes = [note for note in open_cube([tmp_path / "data.nc"]).notes if "are called" in note]
    assert notes == [told] * bool(told)


@pytest.mark.parametrize("embedding", ["e.nc", "plain.nc"])
def test_regimes_have_composites_on_the_grid_of_the_data(made, run_code, embedding):
    folder, dims, regrid = made
    data = folder / ("p.zarr" if regrid else "data.nc")
    command = ("cluster", folder / embedding, "-k", "2", "--data", data, "--overwrite")
    assert run_code(*command, "-o", folder / "r.nc", "--figure", folder / "r.png") == 0
    with xr.open_dataset(folder / "r.nc") as file, xr.open_dataset(folder / "data.nc") as source:
        assert file.composite_t.dims == (schema.CLUSTER, *dims)
        assert {"lat", "lon"} <= set(file.composite_t.coords)
        if not regrid:
            first = source.t.values[file.regime.values == 1].mean(axis=0)
            np.testing.assert_allclose(file.composite_t.values[0], first, rtol=1e-6)
    assert (folder / "r.png").stat().st_size > 1000


def test_modes_and_reconstructed_fields_lie_on_the_grid_of_the_data(made, run_code):
    folder, dims, regrid = made
    checkpoint, modes = folder / "m.pt", ("modes", folder / "m.pt", "-o", folder / "modes.nc")
    assert run_code(*modes, "--figure", folder / "modes.png") == 0
    assert run_code("reconstruct", folder / "plain.nc", folder / "back.nc", "-c", checkpoint, "--full") == 0
    assert run_code("cluster", folder / "plain.nc", "-k", "2", "-o", folder / "two.nc") == 0
    assert run_code("reconstruct", folder / "two.nc", folder / "maps.nc", "-c", checkpoint) == 0
    with xr.open_dataset(folder / "modes.nc") as file, xr.open_dataset(folder / "data.nc") as source:
        assert file.mode_t.dims == (schema.MODE, schema.LEAD, *dims)
        assert {"lat", "lon"} <= set(file.mode_t.coords)
        with xr.open_dataset(folder / "back.nc") as back:
            assert back.t.dims == ("time", *dims)
            if not regrid:  # in the order of the data: the fields are alike, if smoother
                assert back.t.attrs["standard_name"] == "air_temperature"
                pairs = zip(back.t.values, source.t.values, strict=True)
                assert np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]) > 0.2
        assert (folder / "modes.png").stat().st_size > 1000
    with xr.open_dataset(folder / "maps.nc") as file:
        assert file.t.dims == (schema.CLUSTER, *dims)


def test_inspect_reads_what_the_others_write(made, run_code):
    folder, _, _ = made
    for name in ("p.zarr", "m.pt", "f.pt"):
        assert run_code("inspect", folder / name) == 0
    for name in ("e.nc", "f.nc"):  # a record of maps, or an error in a sentence
        assert run_code("inspect", folder / name) in (0, 3)


@pytest.mark.parametrize("name", ["j, i with numbers", "rotated pole", "projection", "tiled"])
def test_files_on_two_dimensional_grids_are_cf(name, tmp_path, run_code, assert_cf):
    make, options, _ = KINDS[name]
    make().to_netcdf(tmp_path / "data.nc")
    train = ("train", tmp_path / "data.nc", *TINY, *options)
    assert run_code(*train, "-o", tmp_path / "m.pt") == 0
    assert run_code(*train, "-o", tmp_path / "f.pt", "--task", "forecast", "--encoder", "minconvgru") == 0
    embed = ("embed", "-c", tmp_path / "m.pt", tmp_path / "data.nc", tmp_path / "e.nc", "--query", "50,10")
    assert run_code(*embed, "--threads", "1") == 0
    forecast = ("forecast", "-c", tmp_path / "f.pt", tmp_path / "data.nc", tmp_path / "f.nc", "--steps", "2")
    assert run_code(*forecast, "--threads", "1") == 0
    regimes = (
        "cluster",
        tmp_path / "e.nc",
        "-k",
        "2",
        "--data",
        tmp_path / "data.nc",
        "-o",
        tmp_path / "r.nc",
    )
    assert run_code(*regimes) == 0
    assert run_code("modes", tmp_path / "m.pt", "-o", tmp_path / "modes.nc", "--modes", "2") == 0
    back = ("reconstruct", tmp_path / "e.nc", tmp_path / "back.nc", "-c", tmp_path / "m.pt", "--lead", "2")
    assert run_code(*back, "--full") == 0
    for written in ("e.nc", "f.nc", "r.nc", "modes.nc", "back.nc"):
        assert_cf(tmp_path / written)


def test_coordinates_of_a_projection_and_its_mapping_stay(tmp_path, run_code):
    KINDS["projection"][0]().to_netcdf(tmp_path / "data.nc")
    assert run_code("prepare", tmp_path / "data.nc", tmp_path / "p.zarr", "--region", "46:54,5:15") == 0
    with xr.open_zarr(tmp_path / "p.zarr", decode_coords="all") as store:
        assert store.crs.attrs["grid_mapping_name"] == "lambert_conformal_conic"
        rows = xr.open_dataset(tmp_path / "data.nc").y.sel(y=store.y)
        assert store.y.attrs["standard_name"] == "projection_y_coordinate"
        assert 0 < len(rows) < SHAPE[0]
