"""What arguments stand for, and Zarr stores and URLs by which the same data come."""

import functools
import http.server
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.open.paths import beside, expand, is_url, local_files
from faconv_cli.errors import InputError, UsageError


def whole(cube):
    return cube.read(0, cube.shape[0])


@pytest.fixture
def record(write):
    """Six daily steps in a file."""
    return write("record.nc")


@pytest.fixture
def store(record):
    """Write the record as a Zarr store; give its location."""
    zarr = pytest.importorskip("zarr")
    if int(zarr.__version__.split(".")[0]) < 3:
        pytest.skip("Zarr 3 needs zarr-python 3")

    def _store(location: str | Path, zarr_format: int = 3, **more) -> str:
        with xr.open_dataset(record) as ds, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata in format 3
            ds.load().drop_encoding().chunk(time=2).to_zarr(str(location), zarr_format=zarr_format, **more)
        return str(location)

    return _store


@pytest.fixture
def served(tmp_path):
    """Serve the folder of the test over HTTP; give its URL."""
    pytest.importorskip("aiohttp")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# --- globs and folders ----------------------------------------------------------------------------


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"CDF\x01")


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("era5_*.nc", ["era5_1979.nc", "era5_1980.nc"]),
        ("*_197?.nc", ["era5_1979.nc"]),
        ("era5_19[89]0.nc", ["era5_1980.nc"]),
        ("**/*.nc", ["deep/era5_1981.nc", "era5_1979.nc", "era5_1980.nc"]),
    ],
)
def test_a_glob_that_the_shell_left_alone_is_matched_in_order(tmp_path, pattern, matched):
    touch(tmp_path, "era5_1980.nc", "era5_1979.nc", "deep/era5_1981.nc", "notes.txt")
    assert expand([str(tmp_path / pattern)]) == ([str(tmp_path / name) for name in matched], [])


def test_a_name_with_a_star_in_it_is_a_name(tmp_path):
    touch(tmp_path, "a*.nc", "ab.nc")
    assert expand([tmp_path / "a*.nc"])[0] == [str(tmp_path / "a*.nc")]


def test_a_glob_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"No file matches .*era5_\*\.nc"):
        expand([tmp_path / "era5_*.nc"])


def test_a_folder_stands_for_its_data_files_and_says_so(tmp_path):
    touch(tmp_path, "b.nc", "a.grib", "no_suffix", "deep/c.nc", ".hidden.nc")
    (tmp_path / "README.txt").write_text("no data")
    (tmp_path / "damaged.nc").write_bytes(b"")
    found, notes = expand([tmp_path])
    assert [Path(one).name for one in found] == ["a.grib", "b.nc", "damaged.nc", "no_suffix"]
    assert notes == [f"The folder {tmp_path} contains 4 data files; skipped: README.txt, deep."]


def test_a_folder_without_data_is_refused(tmp_path):
    (tmp_path / "README.txt").write_text("no data")
    with pytest.raises(InputError, match="contains no data files"):
        expand([tmp_path])


def test_a_file_named_twice_is_read_once_and_said(write):
    path = write()
    cube = open_cube([path, path.parent / "*.nc"])
    assert cube.shape[0] == 6
    assert any("is named twice; it is read once" in note for note in cube.notes)


def test_a_folder_of_files_is_one_record(write):
    folder = write("0.nc").parent
    write("1.nc", hours=np.arange(6, 12) * 24.0)
    cube = open_cube([folder])
    assert cube.shape[0] == 12
    assert cube.sources == (str(folder / "0.nc"), str(folder / "1.nc"))
    assert f"The folder {folder} contains 2 data files." in cube.notes


@pytest.mark.parametrize(
    ("argument", "output"),
    [
        ("data/sst.nc", "data/sst.pt"),
        ("s3://bucket/era5.zarr?x=1", "era5.pt"),
        ("simplecache::https://host/a/era5.nc", "era5.pt"),
        ("{}/winter.v2", "{}/winter.v2.pt"),
        ("{}/winter.v2/*.nc", "{}/winter.v2/a.pt"),
    ],
)
def test_an_output_is_named_after_the_argument(tmp_path, argument, output):
    touch(tmp_path, "winter.v2/a.nc")
    assert beside(argument.format(tmp_path), ".pt") == Path(output.format(tmp_path))


def test_urls_are_told_from_paths(tmp_path):
    assert [is_url(one) for one in ("s3://b/x", "simplecache::http://x", "a.nc", Path("a.nc"), "/a:b")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert local_files(["a.nc", "s3://b/x"]) == [Path("a.nc")]


# --- Zarr and URLs --------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_a_zarr_store_holds_the_same_cube_as_the_file(record, store, tmp_path, zarr_format, consolidated):
    location = store(tmp_path / "record.zarr", zarr_format, consolidated=consolidated)
    cube = open_cube([location])
    np.testing.assert_array_equal(whole(cube), whole(open_cube([record])))
    assert (cube.file_chunk_steps, cube.channels[0].units) == (2, "K")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_store_at_a_url_holds_the_same_cube(record, store, tmp_path, served, zarr_format):
    store(tmp_path / "record.zarr", zarr_format)
    memory = store(f"memory://{tmp_path.name}-{zarr_format}.zarr", zarr_format)
    for location in (memory, f"file://{tmp_path}/record.zarr", f"{served}/record.zarr"):
        np.testing.assert_array_equal(whole(open_cube([location])), whole(open_cube([record])))


def test_stores_and_files_make_one_record(record, store, write, tmp_path):
    location = store(tmp_path / "record.zarr")
    later = write("later.nc", hours=np.arange(6, 12) * 24.0)
    assert open_cube([later, location]).shape[0] == 12
    record.unlink()
    assert open_cube([tmp_path]).shape[0] == 12


def test_netcdf4_at_a_url_is_read_in_pieces(record, served, write):
    pytest.importorskip("h5netcdf")
    write(
        "big.nc", {"x": np.zeros((64, 64, 128), "f4")}, lat=range(64), lon=range(128), chunksizes=(1, 64, 128)
    )
    np.testing.assert_array_equal(whole(open_cube([f"{served}/record.nc"])), whole(open_cube([record])))
    assert not open_cube([f"{served}/big.nc"]).read(3, 5).any()


@pytest.mark.parametrize("name", ["classic.nc", "ostia_monthly.grib"])
def test_what_cannot_be_read_in_pieces_is_fetched_whole_when_asked(
    served, write, sample_data, tmp_path, name
):
    write("classic.nc", format="NETCDF3_CLASSIC")
    (tmp_path / "ostia_monthly.grib").write_bytes((sample_data / "ostia_monthly.grib").read_bytes())
    with pytest.raises(InputError, match=r"is (NetCDF-3|GRIB)\. .*put simplecache:: before the URL"):
        open_cube([f"{served}/{name}"])
    fetched = open_cube([f"simplecache::{served}/{name}"])
    np.testing.assert_array_equal(whole(fetched), whole(open_cube([tmp_path / name])))


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("memory://nothing-there", InputError, "cannot be opened"),
        ("nobody://speaks/this", UsageError, "must support the protocol"),
        ("{}/none.nc", InputError, "cannot be opened"),
        ("{}/page.nc", InputError, "neither Zarr nor NetCDF"),
        ("{}/empty.zarr", InputError, "no variable has latitude"),
    ],
)
def test_a_url_without_data_is_refused(served, tmp_path, url, kind, message):
    (tmp_path / "page.nc").write_text("<html>404 Not Found</html>")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(kind, match=message):
        open_cube([url.format(served)])


def test_a_glob_in_a_url_is_matched(store, tmp_path):
    first = store(f"memory://{tmp_path.name}/a.zarr")
    assert expand([f"memory://{tmp_path.name}/*.zarr"])[0] == [first.replace("memory://", "memory:///")]


def test_a_missing_package_is_named(store, tmp_path, monkeypatch):
    location = store(tmp_path / "record.zarr")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"zarr is not installed.*pip install 'faconv\[zarr\]'"):
        open_cube([location])


# --- engines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_an_engine_opens_what_it_is_told_to(record, engine):
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    np.testing.assert_array_equal(whole(open_cube([record], engine=engine)), whole(open_cube([record])))


def test_an_engine_that_is_not_there_is_refused(record):
    with pytest.raises(UsageError, match=r"--engine ferret is not an .*Installed engines are .*netcdf4"):
        open_cube([record], engine="ferret")


def test_an_engine_that_cannot_read_the_file_says_so(write):
    with pytest.raises(InputError, match=r"data\.nc cannot be read"):
        open_cube([write(format="NETCDF3_CLASSIC")], engine="h5netcdf")
