from dataclasses import replace

import numpy as np
import pytest
import torch

from faconv_cli import schema
from faconv_cli.checkpoint import describe
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.embed.run import Embedder
from faconv_cli.errors import CheckpointError, InputError
from faconv_cli.match import match_cube

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained()


@pytest.fixture(scope="module")
def cube(make_cube):
    return make_cube(80, land=0.2, shape=(8, 12))


def _embed(checkpoint, cube, rows=None, *, batch=3, **options):
    embedder = Embedder(checkpoint, cube, CPU, batch=batch, **{"attention": False, **options})
    parts = list(embedder.run(*(rows or (0, len(cube.time)))))
    return np.concatenate([p.embedding for p in parts]), np.concatenate([p.flag for p in parts]), parts


def test_each_time_step_has_its_row(checkpoint, cube):
    embedding, flag, parts = _embed(checkpoint, cube)
    assert embedding.shape == (80, 4)
    assert [p.start for p in parts] == np.cumsum([0, *(len(p.embedding) for p in parts)])[:-1].tolist()
    assert np.isfinite(embedding).all()
    assert flag.tolist() == [schema.COLD_START] * 4 + [schema.OK] * 76


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_the_batch_size_changes_nothing_but_rounding(checkpoint, cube, batch):
    expected = _embed(checkpoint, cube)[0]
    np.testing.assert_allclose(_embed(checkpoint, cube, batch=batch)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [(0, 1), (13, 50), (79, 80)])
def test_part_of_a_record_is_bit_for_bit_what_the_whole_gives(checkpoint, cube, rows):
    whole = _embed(checkpoint, cube)[0]
    np.testing.assert_array_equal(_embed(checkpoint, cube, rows)[0], whole[slice(*rows)])


@pytest.mark.parametrize("steps", [61, 62, 75])
def test_a_record_that_grows_keeps_its_old_rows_bit_for_bit(checkpoint, cube, steps):
    old = _embed(checkpoint, cube.slice(0, steps), attention=True)
    new = _embed(checkpoint, cube, attention=True)
    np.testing.assert_array_equal(old[0], new[0][:steps])
    maps = [
        np.concatenate([p.attention for p in parts if p.attention is not None]) for _, _, parts in (old, new)
    ]
    np.testing.assert_array_equal(maps[0], maps[1][: len(maps[0])])


def test_after_a_gap_the_state_starts_cold(checkpoint, cube):
    kept = np.r_[0:30, 45:80]
    gappy = cube.take(kept)
    embedding, flag, _ = _embed(checkpoint, gappy)
    assert np.flatnonzero(flag == schema.COLD_START).tolist() == [0, 1, 2, 3, 30, 31, 32, 33]
    alone = _embed(checkpoint, cube.slice(45, 80))[0]
    np.testing.assert_allclose(embedding[30:], alone, rtol=1e-4, atol=1e-5)


def test_a_step_without_input_is_flagged_and_holds_fill(checkpoint, cube):
    fields = cube.fields.values.copy()
    fields[40] = np.nan
    fields[41, 1] = np.nan
    fields[42, :, :2] = np.nan
    embedding, flag, _ = _embed(checkpoint, replace(cube, fields=cube.fields.copy(data=fields)))
    assert flag[39:44].tolist() == [
        schema.OK,
        schema.MISSING_INPUT,
        schema.MISSING_INPUT,
        schema.OK,
        schema.OK,
    ]
    assert np.isnan(embedding[40:42]).all()
    assert np.isfinite(embedding[42:]).all()


def test_an_embedding_that_is_not_finite_is_refused_with_its_time(checkpoint, cube):
    fields = cube.fields.values.copy()
    fields[30] = 1e29
    odd = _with(cube, fields=cube.fields.copy(data=fields), series=None)
    with pytest.raises(InputError, match=r"the embedding of \S+ is not finite"):
        _embed(checkpoint, odd)


def test_attention_is_at_every_kth_step_and_nan_where_never_valid(checkpoint, cube):
    _, _, parts = _embed(checkpoint, cube, attention=True, queries=[(4, 5)])
    assert np.concatenate([p.attended for p in parts]).tolist() == list(range(0, 80, 4))
    maps = np.concatenate([p.attention for p in parts])
    land = checkpoint.normalizer.valid.max(0) == 0
    assert np.isnan(maps[:, land]).all()
    area = np.where(land, 0, cube.grid.area)
    np.testing.assert_allclose((np.nan_to_num(maps) * area).sum((1, 2)) / area.sum(), 1.0, rtol=1e-4)
    assert parts[0].teleconnection.shape == (len(parts[0].attended), 1, 8, 12)
    lags = np.concatenate([p.temporal for p in parts])
    np.testing.assert_allclose(np.nansum(lags, axis=1), 1.0, rtol=1e-5)


def test_maps_of_an_attention_that_is_not_in_use_are_left_out_with_a_note(trained, cube):
    used = Embedder(trained(), cube, CPU, batch=None, attention=True, queries=[(3, 4)])
    assert used.has_maps
    assert used.lags
    assert used.notes == ()
    rows, *_ = used.run(0, 12)
    assert rows.teleconnection is not None
    untrained = Embedder(trained(updates=0), cube, CPU, batch=None, attention=True, queries=[(3, 4)])
    (note,) = untrained.notes
    assert note.startswith(
        "attention maps and weights of the past are not written: the embedding does not depend"
    )
    rows, *_ = untrained.run(0, 12)
    assert rows.attention is rows.teleconnection is rows.temporal is None
    assert Embedder(trained(updates=0), cube, CPU, batch=None, attention=False).notes == ()


@pytest.mark.parametrize("kept", ["axial", "temporal"])
def test_each_attention_is_shown_where_it_is_in_use(trained, cube, kept):
    made = trained()
    weights = {name: tensor.clone() for name, tensor in made.encoder.items()}
    unused = ["temporal.out.weight"] if kept == "axial" else ["correction.weight"]
    for name in unused:
        weights[name].zero_()
    embedder = Embedder(replace(made, encoder=weights), cube, CPU, batch=None, attention=True)
    assert (embedder.has_maps, bool(embedder.lags)) == (kept == "axial", kept == "temporal")
    (note,) = embedder.notes
    assert ("weights of the past are" if kept == "axial" else "attention maps are") in note


def test_a_query_on_land_is_refused(checkpoint, cube):
    y, x = np.argwhere(checkpoint.normalizer.valid.max(0) == 0)[0]
    with pytest.raises(InputError, match=r"the query point .* never holds a value"):
        Embedder(checkpoint, cube, CPU, batch=3, attention=True, queries=[(4, 5), (int(y), int(x))])


@pytest.mark.parametrize("options", [{"encoder": "convgru"}, {"without": ("axial",)}])
def test_a_query_without_axial_attention_is_refused(trained, cube, options):
    with pytest.raises(CheckpointError, match="has no axial attention"):
        Embedder(trained(cube, **options), cube, CPU, batch=3, attention=True, queries=[(4, 5)])


def test_a_tiled_grid_gives_what_each_tile_adds(trained, cube):
    checkpoint = trained(tile=6, halo=2)
    embedder = Embedder(checkpoint, cube, CPU, batch=3, attention=True)
    part = next(iter(embedder.run(0, 80)))
    assert embedder.tiles == len(embedder.tile_centres()) == 6
    assert part.tiles.shape == (12, 6, 4)
    assert part.attention.shape == (3, 8, 12)


def test_a_grid_that_is_no_whole_number_of_patches_is_cropped_again(trained, make_cube):
    cube = make_cube(80, shape=(7, 9))
    checkpoint = trained(cube, patch=2)
    _, _, parts = _embed(checkpoint, cube, attention=True)
    assert parts[0].attention.shape[-2:] == (7, 9)


def test_untrained_the_embedding_is_the_eof_analysis(trained, cube):
    checkpoint = trained(updates=0, validation="0", objective="reconstruct")
    embedding = _embed(checkpoint, cube)[0]
    anomalies = checkpoint.normalizer.apply(checkpoint.climatology.subtract(cube.read(0, 80), cube.time))
    weighted = np.nan_to_num(anomalies) * np.sqrt(cube.grid.area)
    u, s, _ = np.linalg.svd((weighted - weighted.mean(0)).reshape(80, -1), full_matrices=False)
    for mode in range(4):
        assert abs(np.corrcoef(embedding[:, mode], u[:, mode])[0, 1]) > 0.9999
    ratio = embedding.std(0) / s[:4]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_an_embedding_of_before_that_sees_no_changes_is_read_as_it_was(trained, cube):
    made = trained(without=("changes",))
    encoder = made.config.encoder.model_copy(update={"without": ()})
    before = replace(made, config=made.config.model_copy(update={"encoder": encoder}))
    np.testing.assert_array_equal(_embed(before, cube)[0], _embed(made, cube)[0])


def test_channels_are_picked_by_name_whatever_their_order(checkpoint, cube):
    turned = cube.pick([1, 0])
    np.testing.assert_array_equal(
        _embed(checkpoint, match_cube(checkpoint, turned))[0], _embed(checkpoint, cube)[0]
    )


def _with(cube, **changes):
    return replace(cube, **changes)


def test_data_that_do_not_fit_are_refused_with_the_difference(checkpoint, cube, make_cube):
    with pytest.raises(CheckpointError, match=r"the data have no v1 \(they have v0\)"):
        match_cube(checkpoint, cube.pick([0]))
    pressure = (Channel("v0", "Pa"), cube.channels[1])
    with pytest.raises(CheckpointError, match=r"v0 is in Pa.*trained in K"):
        match_cube(checkpoint, _with(cube, channels=pressure))
    hours = cube.time.values[0] + np.arange(80) * np.timedelta64(6, "h")
    with pytest.raises(CheckpointError, match=r"step of 6 hours.*steps of 1 day"):
        match_cube(checkpoint, _with(cube, time=TimeAxis.from_values(hours)))
    with pytest.raises(CheckpointError, match=r"8 x 11 points.*8 x 12"):
        match_cube(checkpoint, make_cube(80, shape=(8, 11)))
    moved = make_cube(80, shape=(8, 12), periodic=True)
    with pytest.raises(CheckpointError, match="longitudes run from 0 to 330"):
        match_cube(checkpoint, moved)


def test_points_weigh_as_in_training_whatever_areas_the_data_have(trained, make_cube):
    plain = make_cube(80, land=0.2, shape=(8, 12))
    area = np.random.default_rng(1).uniform(0.5, 1.5, (8, 12))
    measured = replace(plain, grid=replace(plain.grid, cell_area=area))
    checkpoint = trained(measured)
    np.testing.assert_array_equal(checkpoint.cell_area, area)
    expected = _embed(checkpoint, match_cube(checkpoint, measured))[0]
    matched = match_cube(checkpoint, plain)
    np.testing.assert_array_equal(_embed(checkpoint, matched)[0], expected)
    assert "Points are weighted as in training, by the cell areas of its files." in matched.notes
    without = trained(plain)
    np.testing.assert_array_equal(
        _embed(without, match_cube(without, measured))[0], _embed(without, match_cube(without, plain))[0]
    )
    assert not np.allclose(_embed(without, match_cube(without, plain))[0], expected)


def test_a_swath_is_matched_by_the_places_it_has(trained, make_cube):
    cube = make_cube(80, shape=(8, 12))
    lat, lon = np.meshgrid(cube.grid.lat, cube.grid.lon, indexing="ij")
    lat[0, 0] = lon[0, 0] = np.nan
    swath = replace(cube, grid=Grid.from_coordinates(lat, lon, "y", "x"))
    checkpoint = trained(swath)
    assert match_cube(checkpoint, swath).shape == swath.shape
    for there, value in (((0, 0), 0.0), ((3, 3), np.nan), ((3, 3), 89.0)):
        moved = lat.copy()
        moved[there] = value
        other = replace(cube, grid=Grid.from_coordinates(moved, lon, "y", "x"))
        with pytest.raises(CheckpointError, match="the data's latitudes"):
            match_cube(checkpoint, other)
    assert np.isfinite(describe(checkpoint)["grid"]["lat"]).all()
