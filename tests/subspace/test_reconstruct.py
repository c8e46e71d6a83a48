from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.grid import Grid
from faconv_cli.errors import CheckpointError, InputError, OutputError, UsageError
from faconv_cli.subspace import fields as fields_module
from faconv_cli.subspace.fields import SubspaceFields
from faconv_cli.subspace.read import read_coordinates
from faconv_cli.subspace.reconstruct import write_reconstruction


def _written(path, checkpoint, source, modes=None, **options):
    rows = read_coordinates(source, checkpoint)
    rows = rows.first(modes) if modes else rows
    write_reconstruction(path, SubspaceFields(checkpoint), rows, command="faconv reconstruct", **options)
    with xr.open_dataset(path, decode_coords="all") as file:
        return file.load()


def _edited(source, path, edit):
    """Save what ``edit`` makes of a file, as a user would."""
    with xr.open_dataset(source) as file:
        attrs = file.attrs
        edit(file.load()).assign_attrs(attrs).to_netcdf(path)
    return path


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.nanmax(np.abs(expected)))


@pytest.fixture(scope="module")
def source(embed, linear, cube):
    return embed(linear, cube)


def test_an_eof_embedding_gives_back_the_truncated_fields(eofs, cube, embed, analysis, tmp_path, assert_cf):
    file = _written(tmp_path / "r.nc", eofs, embed(eofs, cube))
    _, kept, _ = analysis(4)
    for number, channel in enumerate(cube.channels):
        _close(file[channel.name].values, kept[:, number])
        assert file[channel.name].units == channel.units
    assert file.v0.attrs["units_metadata"] == "temperature: difference"
    np.testing.assert_array_equal(file.time.values, cube.time.values)
    assert file.attrs["faconv_checkpoint_sha256"] == eofs.sha256
    assert [line.split(" ", 1)[1] for line in file.attrs["history"].splitlines()] == [
        "faconv reconstruct",
        "faconv embed",
    ]
    assert_cf(tmp_path / "r.nc")


def test_the_first_modes_are_those_of_a_smaller_analysis(eofs, cube, embed, analysis, tmp_path):
    file = _written(tmp_path / "r.nc", eofs, embed(eofs, cube), modes=2)
    _close(file.v1.values, analysis(2)[1][:, 1])
    assert file.v1.attrs["comment"] == "from modes 1 to 2 of 4"
    fewer = _written(tmp_path / "cut.nc", eofs, embed(eofs, cube, modes=2))
    np.testing.assert_allclose(fewer.v1.values, file.v1.values, rtol=1e-5, atol=1e-6)


def test_the_climatology_comes_back_on_demand(trained, make_cube, embed, analysis, tmp_path):
    cube = make_cube(800, shape=(3, 4), noise=0.5)
    checkpoint = trained(cube, updates=0, hidden=2, objective="reconstruct", anomaly="monthly", detrend=True)
    path = embed(checkpoint, cube)
    anomaly = _written(tmp_path / "a.nc", checkpoint, path)
    full = _written(tmp_path / "f.nc", checkpoint, path, full=True)
    expected = checkpoint.climatology.expected(cube.time)
    np.testing.assert_allclose(full.v1.values - anomaly.v1.values, expected[:, 1], rtol=1e-4)
    assert full.v0.attrs["units_metadata"] == "temperature: on_scale"
    assert np.abs(full.v0.values - np.asarray(cube.fields[:, 0])).mean() < 1


@pytest.mark.parametrize(("calendar", "freq"), [("standard", "D"), ("noleap", "6h"), ("360_day", "MS")])
def test_a_lead_is_dated_and_has_the_climatology_of_its_date(
    trained, make_cube, embed, tmp_path, assert_cf, calendar, freq
):
    cube = make_cube(80, shape=(4, 5), calendar=calendar, freq=freq)
    checkpoint = trained(cube, updates=0, hidden=2, lead=(1, 3), anomaly="auto", embedding=2)
    path = embed(checkpoint, cube)
    file = _written(tmp_path / "f.nc", checkpoint, path, lead=3, full=True)
    assert (file.valid_time.values[:-3] == cube.time.values[3:]).all()
    assert (file.time.values == cube.time.values).all()
    assert file.time.encoding["calendar"] == calendar
    assert int(file.lead) == 3
    assert set(file.v0.coords) >= {"time", "valid_time", "lead"}
    anomaly = _written(tmp_path / "a.nc", checkpoint, path, lead=3)
    expected = checkpoint.climatology.expected(cube.time)[3:, 1]
    np.testing.assert_allclose((file.v1 - anomaly.v1).values[:-3], expected, rtol=1e-4)
    assert_cf(tmp_path / "f.nc")


def test_numbered_steps_stay_numbers(trained, make_cube, embed, tmp_path):
    cube = make_cube(80, shape=(4, 5))
    numbered = replace(cube, time=type(cube.time).from_values(np.arange(80.0)))
    checkpoint = trained(numbered, updates=0, hidden=2, lead=(1, 3))
    file = _written(tmp_path / "f.nc", checkpoint, embed(checkpoint, numbered), lead=3)
    np.testing.assert_array_equal(file.time.values, np.arange(80))
    np.testing.assert_array_equal(file.valid_time.values, np.arange(80) + 3)


def test_missing_rows_are_fill(linear, cube, embed, tmp_path):
    gappy = replace(cube, fields=cube.fields.where(np.arange(90)[:, None, None, None] != 7))
    file = _written(tmp_path / "r.nc", linear, embed(linear, gappy))
    missing = file.v0.isnull().all(("lat", "lon")).values
    np.testing.assert_array_equal(np.flatnonzero(missing), [7])
    with netCDF4.Dataset(tmp_path / "r.nc") as raw:
        raw.set_auto_mask(False)
        assert (raw["v0"][7] == netCDF4.default_fillvals["f4"]).all()


def test_blocks_in_time_do_not_change_the_file(linear, source, tmp_path, monkeypatch):
    whole = _written(tmp_path / "whole.nc", linear, source)
    told = []
    monkeypatch.setattr(fields_module, "BLOCK_NUMBERS", 7 * 70)
    pieces = _written(tmp_path / "pieces.nc", linear, source, advance=told.append)
    assert told == [7] * 12 + [6]
    np.testing.assert_allclose(pieces.v1.values, whole.v1.values, rtol=1e-5, atol=1e-4)


def test_a_filtered_embedding_gives_filtered_fields(linear, source, tmp_path):
    smooth = _edited(
        source, tmp_path / "smooth.nc", lambda f: f[["embedding"]].rolling(time=5, center=True).mean()
    )
    filtered = _written(tmp_path / "f.nc", linear, smooth)
    plain = _written(tmp_path / "p.nc", linear, source)
    expected = plain.v1.rolling(time=5, center=True).mean()
    _close(filtered.v1.values, expected.values)
    assert int(filtered.v1.isnull().all(("lat", "lon")).sum()) == 4


def test_one_mode_one_row_and_another_order_of_dimensions_are_taken_as_they_are(linear, source, tmp_path):
    third = _written(
        tmp_path / "3.nc", linear, _edited(source, tmp_path / "e3.nc", lambda f: f.isel(mode=[2]))
    )
    fields = SubspaceFields(linear)
    with xr.open_dataset(source) as file:
        z = file.embedding.values[:, 2] / fields.explained().standard_deviation[2]
    _close(third.v0.values, z[:, None, None] * fields.maps(2, 0)[0] + fields.mean(0)[0])
    assert third.v0.attrs["comment"] == "from modes 3 of 6"
    winter = _edited(source, tmp_path / "w.nc", lambda f: f.isel(time=[40]).transpose("mode", "time"))
    one = _written(tmp_path / "1.nc", linear, winter, lead=3, full=True)
    whole = _written(tmp_path / "p.nc", linear, source, lead=3, full=True)
    np.testing.assert_allclose(one.v1.values[0], whole.v1.values[40], rtol=1e-5)
    assert one.valid_time.values[0] == whole.valid_time.values[40]
    with pytest.raises(UsageError, match=r"--modes 2, but .* holds modes 3"):
        read_coordinates(tmp_path / "e3.nc", linear).first(2)


def test_centroids_become_maps_of_regimes(linear, tmp_path, assert_cf):
    z = np.random.default_rng(0).normal(size=(3, 4))
    about = {"faconv_checkpoint_sha256": linear.sha256}
    regimes = xr.Dataset({"centroid": (("cluster", "mode"), z)}, {"cluster": [1, 2, 3]}, about)
    regimes.to_netcdf(tmp_path / "regimes.nc")
    file = _written(tmp_path / "r.nc", linear, tmp_path / "regimes.nc", lead=1)
    fields = SubspaceFields(linear)
    np.testing.assert_allclose(file.v0.values, fields.anomalies(z, 1)[:, 0], rtol=1e-5, atol=1e-5)
    assert file.v0.dims == ("cluster", "lat", "lon")
    assert_cf(tmp_path / "r.nc")
    with pytest.raises(UsageError, match="--full was given with regimes"):
        _written(tmp_path / "f.nc", linear, tmp_path / "regimes.nc", full=True)


def test_fields_are_in_the_order_of_the_file(trained, cube, embed, tmp_path):
    turned = replace(cube, grid=Grid.from_coordinates(cube.grid.lat[::-1], cube.grid.lon))
    checkpoint = trained(turned, updates=0, hidden=2)
    file = _written(tmp_path / "r.nc", checkpoint, embed(checkpoint, turned))
    assert file.lat.values[0] > file.lat.values[-1]
    fields = SubspaceFields(checkpoint)
    with xr.open_dataset(embed(checkpoint, turned)) as rows:
        _close(file.v0.sel(lat=cube.grid.lat).values, fields.anomalies(rows.embedding.values, 0)[:, 0])


def test_files_of_another_origin_are_refused(eofs, linear, source, tmp_path):
    with pytest.raises(CheckpointError, match="was made with another checkpoint"):
        read_coordinates(source, eofs)
    with xr.open_dataset(source) as file:
        bare = file[["embedding"]].drop_attrs()
        bare.to_netcdf(tmp_path / "bare.nc")
        wrong = file[["embedding"]].assign_coords(mode=np.arange(6))
        wrong.to_netcdf(tmp_path / "wrong.nc")
        file[["embedding_flag"]].to_netcdf(tmp_path / "none.nc")
        time = file.time.values.copy()
        time[3] = np.datetime64("NaT")
        file[["embedding"]].assign_coords(time=time).to_netcdf(tmp_path / "nat.nc")
    with pytest.raises(CheckpointError, match=r"does not say which checkpoint.*Copy the global attributes"):
        read_coordinates(tmp_path / "bare.nc", linear)
    with pytest.raises(InputError, match="the modes 1 to 6, each once"):
        read_coordinates(tmp_path / "wrong.nc", linear)
    with pytest.raises(InputError, match=r"no variable embedding.*embedding_flag"):
        read_coordinates(tmp_path / "none.nc", linear)
    with pytest.raises(InputError, match="times are missing"):
        read_coordinates(tmp_path / "nat.nc", linear)


def test_what_was_taken_off_before_cannot_be_added(linear, source, tmp_path):
    prepared = replace(
        linear, channels=tuple(replace(channel, anomaly="trend") for channel in linear.channels)
    )
    with pytest.raises(UsageError, match="v0 was prepared as anomalies"):
        _written(tmp_path / "r.nc", prepared, source, full=True)


def test_a_file_that_exists_is_kept_unless_asked(linear, source, tmp_path):
    (tmp_path / "r.nc").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        _written(tmp_path / "r.nc", linear, source)
    assert _written(tmp_path / "r.nc", linear, source, overwrite=True).sizes["time"] == 90
