"""Zarr stores that say one thing and hold another."""

import json
import shutil
import warnings

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError
from tests.cube.conftest import ramp

zarr = pytest.importorskip("zarr", minversion="3")


def record(steps, start=0, fields=None):
    fields = ramp(steps, 3, 4) if fields is None else fields
    return xr.Dataset(
        {"x": (("time", "lat", "lon"), fields, {"units": "mm"})},
        {
            "time": ("time", np.arange(start, start + steps), {"units": "days since 2001-01-01"}),
            "lat": ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"}),
        },
    )


def to_zarr(dataset, path, zarr_format, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata in format 3
        dataset.to_zarr(path, zarr_format=zarr_format, **more)
    return path


def grown(location, zarr_format):
    """A store whose consolidated metadata are of before it grew from 4 to 6 steps."""
    to_zarr(record(4).chunk(time=2), location, zarr_format, consolidated=True)
    copy = consolidated_copy(location, zarr_format)
    to_zarr(record(2, 4), location, zarr_format, append_dim="time", consolidated=False)
    put_back(location, zarr_format, copy)
    return location


def consolidated_copy(path, zarr_format):
    if zarr_format == 2:
        return (path / ".zmetadata").read_text()
    return json.loads((path / "zarr.json").read_text())["consolidated_metadata"]


def put_back(path, zarr_format, copy):
    if zarr_format == 2:
        (path / ".zmetadata").write_text(copy)
    else:
        own = json.loads((path / "zarr.json").read_text())
        (path / "zarr.json").write_text(json.dumps(own | {"consolidated_metadata": copy}))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_that_has_grown_since_it_was_consolidated_is_read_whole_and_told(tmp_path, zarr_format):
    location = grown(tmp_path / "x.zarr", zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert xr.open_zarr(location, decode_times=False).sizes["time"] == 4, "the store is not stale"
    cube = open_cube([location])
    assert cube.shape[0] == 6
    assert any("metadata are stale (time has 6 values, not 4)" in note for note in cube.notes)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_at_a_url_that_has_grown_is_read_whole(tmp_path, zarr_format):
    import fsspec

    grown(tmp_path / "x.zarr", zarr_format)
    url = f"memory://{tmp_path.name}-grown-{zarr_format}.zarr"
    fsspec.filesystem("memory").put(str(tmp_path / "x.zarr"), url, recursive=True)
    cube = open_cube([url])
    assert cube.shape[0] == 6
    assert any("stale" in note for note in cube.notes)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_that_consolidated_metadata_name_and_is_gone_is_no_matter(tmp_path, zarr_format):
    location = tmp_path / "x.zarr"
    to_zarr(record(4).assign(heights=("n", np.arange(3.0))), location, zarr_format, consolidated=True)
    shutil.rmtree(location / "heights")
    cube = open_cube([location])
    assert cube.shape[0] == 4
    assert any("stale (heights does not exist)" in note for note in cube.notes)


def test_a_store_that_has_grown_where_arrays_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    location = grown(tmp_path / "x.zarr", 2)
    monkeypatch.setattr(zarr.Group, "arrays", _unlisted(zarr.Group.arrays))
    with pytest.raises(InputError, match=r"stale.*Consolidate them again"):
        open_cube([location])


def _unlisted(arrays):
    return lambda group: arrays(group) if group.metadata.consolidated_metadata else iter(())


def rain(path, fill, dtype, attributes=None, values=None, zarr_format=2):
    """Daily rain that is 0 on every other day, with a fill value of Zarr's and attributes."""
    to_zarr(record(4).drop_vars("x"), path, zarr_format, consolidated=False)
    values = np.repeat(np.array([0, 3, 0, 7]), 12).reshape(4, 3, 4) if values is None else values
    array = zarr.open_group(path, mode="a").create_array(
        "pr",
        shape=(4, 3, 4),
        chunks=(1, 3, 4),
        dtype=dtype,
        fill_value=fill,
        dimension_names=None if zarr_format == 2 else ("time", "lat", "lon"),
    )
    array[:] = values.astype(dtype)
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "lat", "lon"]
    array.attrs.update({"units": "mm", **(attributes or {})})
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_a_fill_value_of_zero_is_a_value(tmp_path, dtype, zarr_format):
    cube = open_cube([rain(tmp_path / "x.zarr", 0, dtype, zarr_format=zarr_format)])
    np.testing.assert_array_equal(cube.read(0, 4)[:, 0, 0, 0], [0, 3, 0, 7])
    told = any("The fill value 0 of the Zarr store is read as a value of pr" in note for note in cube.notes)
    assert told == (zarr_format == 2), "format 3 never meant it"


def test_coordinates_of_zero_are_kept_beside_a_fill_value_of_zero(tmp_path):
    path = rain(tmp_path / "x.zarr", 0, "f4")
    for name in ("time", "lat", "lon"):
        metadata = json.loads((path / name / ".zarray").read_text())
        (path / name / ".zarray").write_text(json.dumps(metadata | {"fill_value": 0}))
    cube = open_cube([path])
    assert (cube.time.labels[0], cube.grid.lon[0]) == ("2001-01-01", 0)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("fill", "attributes"),
    [
        (float("nan"), {}),
        (-9999.0, {}),
        (1e20, {}),
        (0.0, {"_FillValue": -9999.0}),
        (0.0, {"missing_value": -9999.0}),
        (float("nan"), {"_FillValue": "NaN"}),
    ],
)
def test_what_is_declared_missing_is_missing(tmp_path, fill, attributes, zarr_format):
    """A fill value that somebody chose means something; of 0 only attributes can say so."""
    missing = next(iter(attributes.values()), fill)
    values = ramp(4, 3, 4)
    values[1] = float(missing)
    cube = open_cube([rain(tmp_path / "x.zarr", fill, "f4", attributes, values, zarr_format)])
    assert np.isnan(cube.read(0, 4)[1]).all()
    assert cube.read(0, 1)[0, 0, 0, 0] == 0


def test_zero_that_an_attribute_declares_missing_is_missing(tmp_path):
    cube = open_cube([rain(tmp_path / "x.zarr", 0, "i2", {"_FillValue": 0})])
    np.testing.assert_array_equal(cube.read(0, 4)[:, 0, 0, 0], [np.nan, 3, np.nan, 7])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("encoding", [{"_FillValue": -99.0}, {"dtype": "i2", "scale_factor": 0.5}])
def test_what_xarray_writes_comes_back(tmp_path, zarr_format, encoding):
    fields = ramp(4, 3, 4)
    fields[2, 1, 1] = np.nan
    encoding = {"_FillValue": -32767} | encoding
    path = to_zarr(record(4, fields=fields), tmp_path / "x.zarr", zarr_format, encoding={"x": encoding})
    np.testing.assert_array_equal(open_cube([path]).read(0, 4)[:, 0], fields)


def test_chunks_that_were_never_written_are_told(tmp_path):
    path = rain(tmp_path / "x.zarr", 0, "f4", zarr_format=3)
    assert any("pr: 2 of 4 chunks were never written; they are read" in n for n in open_cube([path]).notes)
    assert not any("never written" in n for n in open_cube([rain(tmp_path / "y.zarr", np.nan, "f4")]).notes)


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_lost_chunks_of_a_field_without_a_fill_value_are_told(tmp_path, dtype):
    """As xarray writes whole numbers in format 2; they read as 0."""
    path = to_zarr((record(6) + 1).astype({"x": dtype}).chunk(time=1), tmp_path / "x.zarr", 2)
    metadata = json.loads((path / "x" / ".zarray").read_text())
    assert dtype == "f4" or metadata["fill_value"] is None
    (path / "x" / ".zarray").write_text(json.dumps(metadata | {"fill_value": None}))
    assert not any("never written" in note for note in open_cube([path]).notes)
    (path / "x" / "3.0.0").unlink()
    cube = open_cube([path])
    assert not cube.read(3, 4).any()
    assert "x: 1 of 6 chunks were never written; they are read as 0." in cube.notes


def test_lost_chunks_of_packed_values_are_told_to_be_the_offset(tmp_path):
    encoding = {"x": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 280.0, "_FillValue": None}}
    path = to_zarr(record(6).chunk(time=1), tmp_path / "x.zarr", 2, encoding=encoding)
    (path / "x" / "3.0.0").unlink()
    cube = open_cube([path])
    np.testing.assert_array_equal(cube.read(3, 4), 280)
    assert "x: 1 of 6 chunks were never written; they are read as 280.0." in cube.notes


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_groups_of_a_store_are_looked_into(tmp_path, zarr_format, consolidated):
    """With coordinates of their own, and with those of the group they lie in."""
    path = tmp_path / "x.zarr"
    to_zarr(record(4), path, zarr_format, consolidated=False)
    own = record(4).rename(x="y") + 1
    own = own.assign_coords(record(4).coords)
    to_zarr(own, path, zarr_format, group="own", mode="a", consolidated=False)
    bare = (record(4).rename(x="z") * 0).drop_vars(("time", "lat", "lon"))
    to_zarr(bare, path, zarr_format, group="inner/most", mode="a", consolidated=False)
    if consolidated:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(path)
    cube = open_cube([path])
    assert sorted(channel.name for channel in cube.channels) == ["x", "y", "z"]
    at = {channel.name: number for number, channel in enumerate(cube.channels)}
    np.testing.assert_array_equal(cube.read(0, 4)[:, at["y"]], ramp(4, 3, 4) + 1)
    assert not cube.read(0, 4)[:, at["z"]].any()


def test_groups_that_hold_the_same_steps_are_told_apart_by_their_paths(tmp_path):
    path = tmp_path / "x.zarr"
    for number, group in enumerate(("one", "other")):
        to_zarr(record(4) + number, path, 3, group=group, mode="a", consolidated=False)
    with pytest.raises(InputError, match=r"x\.zarr/one and .*x\.zarr/other both hold"):
        open_cube([path])


def test_a_store_of_groups_alone_is_read(tmp_path):
    path = to_zarr(record(4), tmp_path / "x.zarr", 3, group="daily/rain", consolidated=False)
    assert open_cube([path]).shape == (4, 1, 3, 4)


def test_a_group_whose_arrays_name_no_dimensions_is_passed_over_and_told(tmp_path):
    path = to_zarr(record(4), tmp_path / "x.zarr", 2, consolidated=False)
    zarr.open_group(path, mode="a").create_group("labels").create_array("a", shape=(3,), dtype="i4")
    cube = open_cube([path])
    assert cube.shape[0] == 4
    assert any(note.startswith("Group labels is skipped") for note in cube.notes)


@pytest.mark.parametrize("consolidated", [True, False])
def test_channels_have_one_order_however_the_folder_lists_them(tmp_path, consolidated):
    names = [f"v{number}" for number in np.random.default_rng(0).permutation(12)]
    fields = record(4).x
    store = to_zarr(
        xr.Dataset(dict.fromkeys(names, fields)), tmp_path / "a.zarr", 2, consolidated=consolidated
    )
    assert [channel.name for channel in open_cube([store]).channels] == sorted(names)
