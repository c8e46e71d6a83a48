from dataclasses import replace

import cftime
import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faconv_cli import schema
from faconv_cli.cube.grid import Grid
from faconv_cli.embed import append as append_module
from faconv_cli.embed import run as run_module
from faconv_cli.embed.run import Embedder
from faconv_cli.embed.write import write_embedding
from faconv_cli.errors import InputError, OutputError, UsageError
from faconv_cli.network import load_encoder
from faconv_cli.regimes.embedding import read_embedding
from faconv_cli.windows import fingerprint

CPU = torch.device("cpu")
QUERY = [(4, 5), (0, 2)]
PATTERN = [0.043816965, -0.0056733619, -0.050049208]


def _write(checkpoint, cube, path, rows=None, **options):
    choice = {"attention": True, "queries": QUERY, **options.pop("embedder", {})}
    embedder = Embedder(checkpoint, cube, CPU, batch=3, **choice)
    rows = rows or (0, len(cube.time))
    return sum(
        len(part.flag) for part in write_embedding(embedder, path, rows, "faconv embed ...", **options)
    )


def _all(path):
    with xr.open_dataset(path, engine="netcdf4") as file:
        return file.load()


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(80, land=0.2, shape=(8, 12))


@pytest.fixture(scope="module")
def checkpoint(trained, cube):
    return trained(cube)


def test_the_file_gives_back_what_was_computed(checkpoint, cube, tmp_path):
    assert _write(checkpoint, cube, tmp_path / "e.nc") == 80
    file = _all(tmp_path / "e.nc")
    parts = list(Embedder(checkpoint, cube, CPU, batch=3, attention=True, queries=QUERY).run(0, 80))
    for name, part in (
        (schema.EMBEDDING, "embedding"),
        (schema.EMBEDDING_FLAG, "flag"),
        (schema.TEMPORAL_ATTENTION, "temporal"),
        (schema.ATTENTION, "attention"),
    ):
        np.testing.assert_array_equal(file[name].values, np.concatenate([getattr(p, part) for p in parts]))
    expected = np.concatenate([p.teleconnection for p in parts])
    np.testing.assert_array_equal(file[schema.TELECONNECTION].values, expected)
    np.testing.assert_array_equal(file.time.values, cube.time.values)
    np.testing.assert_array_equal(file.attention_time.values, cube.time.values[::4])
    np.testing.assert_allclose(file.lat.values, cube.grid.file_lat)
    np.testing.assert_allclose(file.query_lat.values, cube.grid.lat[[4, 0]])


def test_the_file_explains_itself(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "e.nc")
    file = _all(tmp_path / "e.nc")
    assert file.attrs["faconv_checkpoint_sha256"] == checkpoint.sha256
    assert file.attrs["Conventions"] == "CF-1.11"
    assert file.attrs["faconv_time_step"] == read_embedding(tmp_path / "e.nc").data_step == cube.time.step
    assert "faconv embed ..." in file.attrs["history"]
    assert checkpoint.config.model_validate_json(file.attrs["faconv_config"]) == checkpoint.config
    for name, variable in file.variables.items():
        assert variable.attrs.get("long_name") or variable.attrs.get("standard_name"), name
    assert file.embedding_flag.attrs["flag_meanings"].split() == list(schema.FLAG_MEANINGS.values())


def test_the_file_keeps_to_the_conventions(checkpoint, cube, tmp_path, assert_cf):
    _write(checkpoint, cube, tmp_path / "e.nc")
    assert_cf(tmp_path / "e.nc")


def test_a_tiled_file_keeps_to_the_conventions_and_its_tiles_add_up(trained, cube, tmp_path, assert_cf):
    checkpoint = trained(cube, tile=6, halo=2, without=("temporal",))
    _write(checkpoint, cube, tmp_path / "e.nc")
    file = _all(tmp_path / "e.nc")
    centre = load_encoder(checkpoint).subspace.centre().numpy()
    assert schema.TEMPORAL_ATTENTION not in file
    np.testing.assert_allclose(
        file.tile_embedding.sum("tile").values - centre, file.embedding.values, rtol=1e-4, atol=1e-5
    )
    assert_cf(tmp_path / "e.nc")


def test_the_first_modes_may_be_written_alone_and_a_file_keeps_them(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "all.nc")
    _write(checkpoint, cube, tmp_path / "two.nc", rows=(0, 50), modes=2)
    _write(checkpoint, cube, tmp_path / "two.nc", append=True)
    two, whole = _all(tmp_path / "two.nc"), _all(tmp_path / "all.nc")
    assert two.mode.values.tolist() == [1, 2]
    np.testing.assert_array_equal(two.embedding.values, whole.embedding.values[:, :2])
    assert two.embedding.attrs["comment"] == "the first 2 of 4 modes"
    assert "comment" not in whole.embedding.attrs
    with pytest.raises(OutputError, match=r"holds 2 modes.*would add 3 modes.*Pass the --modes"):
        _write(checkpoint, cube, tmp_path / "two.nc", append=True, modes=3)
    with pytest.raises(UsageError, match=r"--modes 5 is too many\. The checkpoint has 4"):
        _write(checkpoint, cube, tmp_path / "five.nc", modes=5)


def test_a_file_whose_modes_were_taken_out_is_not_gone_on_with(checkpoint, cube, tmp_path):
    path = tmp_path / "e.nc"
    _write(checkpoint, cube, path, (0, 60))
    with xr.open_dataset(path, decode_times=False) as file:
        file.load().isel(mode=[1, 3]).to_netcdf(tmp_path / "some.nc")
    with pytest.raises(OutputError, match=r"holds the modes 2, 4"):
        _write(checkpoint, cube, tmp_path / "some.nc", append=True)


def test_tiles_are_written_in_the_same_modes(trained, cube, tmp_path):
    checkpoint = trained(cube, tile=6, halo=2, without=("temporal",))
    _write(checkpoint, cube, tmp_path / "e.nc", modes=3)
    file = _all(tmp_path / "e.nc")
    centre = load_encoder(checkpoint).subspace.centre().numpy()[:3]
    summed = file.tile_embedding.sum("tile").values - centre
    np.testing.assert_allclose(summed, file.embedding.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_the_calendar_is_kept(trained, make_cube, tmp_path, calendar):
    cube = make_cube(80, shape=(8, 12), calendar=calendar)
    _write(trained(cube), cube, tmp_path / "e.nc")
    file = _all(tmp_path / "e.nc")
    assert file.time.encoding["calendar"] == calendar
    assert isinstance(file.time.values[0], cftime.datetime)
    assert (file.time.values == cube.time.values).all()


def test_maps_are_left_out_on_request(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "e.nc", embedder={"attention": False, "queries": ()})
    file = _all(tmp_path / "e.nc")
    assert set(file.data_vars) == {schema.EMBEDDING, schema.EMBEDDING_FLAG, schema.FINGERPRINT}


def test_an_encoder_without_axial_attention_has_no_maps(trained, cube, tmp_path):
    checkpoint = trained(cube, without=("axial",))
    _write(checkpoint, cube, tmp_path / "e.nc", embedder={"queries": ()})
    assert schema.ATTENTION not in _all(tmp_path / "e.nc")


def test_maps_are_written_in_the_order_of_the_file(trained, make_cube, tmp_path):
    cube = make_cube(80, shape=(8, 12))
    checkpoint = trained(cube)
    _write(checkpoint, cube, tmp_path / "up.nc")
    grid = type(cube.grid).from_coordinates(cube.grid.lat[::-1], cube.grid.lon)
    object.__setattr__(cube, "grid", grid)
    _write(checkpoint, cube, tmp_path / "down.nc")
    up, down = _all(tmp_path / "up.nc"), _all(tmp_path / "down.nc")
    assert down.lat.values[0] > down.lat.values[-1]
    np.testing.assert_array_equal(down.attention.values[:, ::-1], up.attention.values)


def test_appending_is_bit_for_bit_writing_at_once(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "whole.nc")
    for stop in (61, 62, 80):
        _write(checkpoint, cube.slice(0, stop), tmp_path / "grown.nc", append=True)
    whole, grown = _all(tmp_path / "whole.nc"), _all(tmp_path / "grown.nc")
    xr.testing.assert_identical(whole.drop_attrs(), grown.drop_attrs())
    assert grown.attrs["history"].count("faconv embed") == 3
    assert _write(checkpoint, cube, tmp_path / "grown.nc", append=True) == 0


def test_maps_that_are_appended_lie_as_those_before_them_though_the_data_are_turned(
    checkpoint, cube, tmp_path
):
    _write(checkpoint, cube, tmp_path / "whole.nc")
    turned = replace(cube, grid=Grid.from_coordinates(cube.grid.lat[::-1], cube.grid.lon[::-1] - 360))
    _write(checkpoint, cube.slice(0, 61), tmp_path / "grown.nc")
    _write(checkpoint, turned, tmp_path / "grown.nc", append=True)
    whole, grown = _all(tmp_path / "whole.nc"), _all(tmp_path / "grown.nc")
    for name in (schema.ATTENTION, schema.TELECONNECTION):
        np.testing.assert_array_equal(grown[name].values, whole[name].values)


def test_appending_computes_the_new_steps_only(checkpoint, cube, tmp_path, monkeypatch):
    _write(checkpoint, cube.slice(0, 70), tmp_path / "e.nc")
    seen = []
    original = run_module.Embedder.run
    monkeypatch.setattr(
        run_module.Embedder, "run", lambda self, *rows: seen.append(rows) or original(self, *rows)
    )
    assert _write(checkpoint, cube, tmp_path / "e.nc", append=True) == 10
    assert seen == [(70, 80)]


def test_part_of_a_record_can_be_written_and_appended_to(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "whole.nc")
    _write(checkpoint, cube.slice(0, 60), tmp_path / "part.nc", (20, 60))
    _write(checkpoint, cube, tmp_path / "part.nc", (20, 80), append=True)
    whole, part = _all(tmp_path / "whole.nc"), _all(tmp_path / "part.nc")
    np.testing.assert_array_equal(part.embedding.values, whole.embedding.values[20:])


def test_what_does_not_fit_is_not_appended(trained, checkpoint, cube, tmp_path):
    path = tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 70), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="not written by this checkpoint"):
        _write(trained(cube, seed=1), cube, path, append=True)
    with pytest.raises(OutputError, match="are not the first ones of the data"):
        _write(checkpoint, cube.slice(5, 80), path, append=True)
    with pytest.raises(OutputError, match="2 query points"):
        _write(checkpoint, cube, path, append=True, embedder={"queries": ()})
    with pytest.raises(OutputError, match="looks ahead"):
        _write(trained(cube, causal=False), cube, path, append=True)
    assert path.read_bytes() == before
    xr.Dataset({"v": ("time", [1.0])}).to_netcdf(tmp_path / "foreign.nc")
    with pytest.raises(OutputError, match="not written by this checkpoint"):
        _write(checkpoint, cube, tmp_path / "foreign.nc", append=True)
    (tmp_path / "text.nc").write_text("not a file of ours")
    with pytest.raises(OutputError, match="--append needs an embedding file"):
        _write(checkpoint, cube, tmp_path / "text.nc", append=True)


def with_values(cube, change):
    """The cube with other values: ``change`` works in place."""
    fields = cube.fields.copy(deep=True)
    change(fields.values)
    return replace(cube, fields=fields)


@pytest.mark.parametrize("check", ["auto", "all"])
@pytest.mark.parametrize("held", [True, False])
def test_old_data_that_changed_are_named_and_nothing_is_appended(
    checkpoint, cube, tmp_path, monkeypatch, check, held
):
    monkeypatch.setattr(append_module, "HELD_BYTES", 2**30 if held else 0)
    path = tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 70), path)
    before = path.read_bytes()

    def reprocess(values):
        values[33:50, 0, 4, 5] += 2.0  # one point of one channel

    with pytest.raises(OutputError, match=f"the data of {cube.time.labels[33]} are not those"):
        _write(checkpoint, with_values(cube, reprocess), path, append=True, check=check)
    assert path.read_bytes() == before
    told = []
    assert (
        _write(checkpoint, with_values(cube, reprocess), path, append=True, check="none", tell=told.append)
        == 10
    )
    assert len(told) == 1
    assert "--check none" in told[0]


def test_a_sample_of_a_long_record_is_compared_and_what_it_finds_is_traced_back(monkeypatch):
    monkeypatch.setattr(fingerprint, "SAMPLE", 5)
    monkeypatch.setattr(fingerprint, "LATEST", 2)
    kept, now, seen = np.zeros(100), np.zeros(100), set()

    def read(start, stop):
        seen.update(range(start, stop))
        return now[start:stop]

    assert fingerprint.first_change(kept, read, whole=False, at_once=7) is None
    assert seen == {0, 24, 49, 74, 98, 99}
    now[60:80] = 1
    assert fingerprint.first_change(kept, read, whole=False, at_once=7) == 60
    now[:] = 0
    now[40] = 1  # between the steps of the sample
    assert fingerprint.first_change(kept, read, whole=False, at_once=7) is None
    assert fingerprint.first_change(kept, read, whole=True, at_once=7) == 40


def test_the_rounding_of_a_conversion_is_no_change_and_a_missing_value_is(checkpoint, cube, tmp_path):
    path = tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 70), path)

    def convert(values):
        values[:, 0] = (values[:, 0] - np.float32(273.15)).astype(np.float32) + np.float32(273.15)

    assert _write(checkpoint, with_values(cube, convert), path, append=True) == 10

    def lose(values):
        values[12, 1][tuple(np.argwhere(np.isfinite(values[12, 1]))[7])] = np.nan

    with pytest.raises(OutputError, match=cube.time.labels[12]):
        _write(checkpoint, with_values(cube, lose), path, append=True)


def packed(values, least):
    """Round every value to a multiple of ``least``, as 16 bits do."""
    values[:] = np.round(values / least) * least


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("least", [3e-3, 3e-4])
def test_another_packing_of_the_same_data_is_no_change_and_is_told(
    checkpoint, cube, tmp_path, monkeypatch, least, held
):
    monkeypatch.setattr(append_module, "HELD_BYTES", 2**30 if held else 0)
    path, told = tmp_path / "e.nc", []
    _write(checkpoint, cube.slice(0, 70), path)
    spread = float(checkpoint.normalizer.std[0])

    def pack(values):
        for channel, std in enumerate(checkpoint.normalizer.std):
            packed(values[:, channel], least * float(std))

    def pack_and_change(values):
        pack(values)
        values[41, 0] += 0.1 * spread

    def shift(values):  # by as little, but always the same way
        values += (least * checkpoint.normalizer.std[:, None, None]).astype("f4")

    before = path.read_bytes()
    for change in (pack_and_change, shift):
        with pytest.raises(OutputError, match="are not those that"):
            _write(checkpoint, with_values(cube, change), path, append=True)
    assert path.read_bytes() == before
    assert _write(checkpoint, with_values(cube, pack), path, append=True, tell=told.append) == 10
    assert "only by rounding" in told[0]


def test_a_file_without_fingerprints_is_appended_to_and_it_is_told(checkpoint, cube, tmp_path):
    path = tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 70), path)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable(schema.FINGERPRINT, "something_else")
    told = []
    assert _write(checkpoint, cube, path, append=True, tell=told.append) == 10
    assert "has no fingerprints" in told[0]


def test_another_calendar_is_refused_and_another_name_of_the_same_is_not(trained, make_cube, tmp_path):
    cube = make_cube(80, shape=(8, 12), start="2003-12-25")
    checkpoint, path = trained(cube), tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 30), path)
    other = make_cube(80, shape=(8, 12), start="2003-12-25", calendar="noleap")
    with pytest.raises(OutputError, match="in calendar standard, but the data are in noleap"):
        _write(checkpoint, replace(cube, time=other.time), path, append=True)
    named = make_cube(80, shape=(8, 12), start="2003-12-25", calendar="proleptic_gregorian")
    _write(checkpoint, replace(cube, time=named.time), path, append=True)
    _write(checkpoint, cube, tmp_path / "whole.nc")
    np.testing.assert_array_equal(_all(path).time.values, _all(tmp_path / "whole.nc").time.values)


def test_the_first_stamp_that_differs_is_named(checkpoint, cube, tmp_path):
    path = tmp_path / "e.nc"
    _write(checkpoint, cube.slice(0, 70), path)
    steps = np.array([*range(20), *range(21, 80)])
    with pytest.raises(OutputError, match="step 21 is 2001-01-22, in the file 2001-01-21"):
        _write(checkpoint, cube.take(steps), path, append=True)
    with pytest.raises(OutputError, match="they end after 50 steps, in the file 2001-02-20"):
        _write(checkpoint, cube.slice(0, 50), path, append=True)


@given(
    arrays(np.float32, (6, 2, 3, 4), elements=st.floats(-5, 5, width=32)),
    st.integers(0, 5),
    st.integers(0, 23),
)
def test_a_change_of_any_point_changes_the_fingerprint_of_its_step_alone(x, step, point):
    one, other = fingerprint.fingerprints(x), x.copy()
    other[step].flat[point] += 0.5
    changed = np.abs(fingerprint.fingerprints(other) - one) > fingerprint.TOLERANCE * np.maximum(
        1, np.abs(one)
    )
    assert changed.tolist() == [number == step for number in range(6)]


def test_the_pattern_of_fingerprints_stays_what_it_is():
    """Files that are gone on with for years compare with it."""
    pattern = fingerprint._pattern(1000)
    np.testing.assert_allclose(pattern[:3], PATTERN, rtol=1e-5)
    assert pattern.mean() == pytest.approx(1e-3, rel=1e-3)
    assert pattern.std() == pytest.approx(1000**-0.5, rel=0.05)


def test_looking_ahead_has_lags_of_both_signs(trained, cube, tmp_path):
    _write(trained(cube, causal=False), cube, tmp_path / "e.nc")
    assert _all(tmp_path / "e.nc").lag.values.tolist() == list(range(-4, 5))


def test_a_record_without_any_input_is_refused_and_a_step_without_is_not(checkpoint, cube, tmp_path):
    empty = replace(cube, fields=cube.fields * np.nan)
    with pytest.raises(InputError, match="none of 80 time steps has enough valid values"):
        _write(checkpoint, empty, tmp_path / "e.nc")
    assert list(tmp_path.iterdir()) == []
    last = replace(cube, fields=cube.fields.copy())
    last.fields[79] = np.nan
    _write(checkpoint, last, tmp_path / "e.nc", rows=(0, 79))
    assert _write(checkpoint, last, tmp_path / "e.nc", append=True) == 1
    assert _all(tmp_path / "e.nc").embedding_flag.values[-1] == schema.MISSING_INPUT


def test_an_error_on_the_way_leaves_nothing_behind(checkpoint, cube, tmp_path, monkeypatch):
    def fail(self, start, stop):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(cube), "read", fail)
    with pytest.raises(KeyboardInterrupt):
        _write(checkpoint, cube, tmp_path / "e.nc")
    assert list(tmp_path.iterdir()) == []


def test_time_grows_without_limit_in_the_file(checkpoint, cube, tmp_path):
    _write(checkpoint, cube, tmp_path / "e.nc")
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert file.dimensions["time"].isunlimited()
        assert file.dimensions["attention_time"].isunlimited()
