from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.errors import InputError, UsageError
from faconv_cli.windows.plan import (
    clip_segments,
    default_patch,
    default_pool,
    default_stride,
    plan_tiles,
    plan_windows,
    training_windows,
)


@st.composite
def segments_and_tiling(draw):
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=4))
    edges = np.concatenate([[0], np.cumsum(lengths)])
    window = draw(st.integers(2, 20))
    burn_in = draw(st.integers(0, window - 1))
    stride = draw(st.integers(1, window - burn_in))
    segments = [(int(a), int(b)) for a, b in pairwise(edges)]
    return segments, {"window": window, "stride": stride, "burn_in": burn_in}


@given(segments_and_tiling())
def test_every_step_is_given_by_exactly_one_window(case):
    segments, tiling = case
    rows = [row for w in plan_windows(segments, **tiling) for row in range(w.first_row, w.stop)]
    assert rows == list(range(segments[-1][1]))


@given(segments_and_tiling())
def test_no_window_crosses_a_gap_or_is_longer_than_asked(case):
    segments, tiling = case
    for w in plan_windows(segments, **tiling):
        assert any(begin <= w.start and w.stop <= end == w.segment_stop for begin, end in segments)
        assert w.stop - w.start <= tiling["window"]


@given(segments_and_tiling())
def test_a_row_that_is_not_cold_has_at_least_the_burn_in_before_it(case):
    segments, tiling = case
    for w in plan_windows(segments, **tiling):
        for row in range(max(w.first_row, w.warm_from), w.stop):
            assert row - w.start >= tiling["burn_in"]


@given(segments_and_tiling(), st.integers(1, 30))
def test_a_record_that_grows_keeps_its_windows(case, more):
    segments, tiling = case
    *before, (begin, end) = segments
    old = plan_windows(segments, **tiling)
    new = plan_windows([*before, (begin, end + more)], **tiling)
    for a, b in zip(old, new, strict=False):
        assert (a.start, a.first_row, a.warm_from) == (b.start, b.first_row, b.warm_from)


def test_windows_are_those_of_a_drawing():
    windows = plan_windows([(0, 11)], window=6, stride=3, burn_in=2)
    assert [(w.start, w.first_row, w.stop) for w in windows] == [(0, 0, 6), (3, 6, 9), (6, 9, 11)]
    assert {w.warm_from for w in windows} == {2}


def test_training_windows_are_whole_and_shift_with_the_offset():
    plain = training_windows([(0, 20)], window=6, stride=4, burn_in=2)
    moved = training_windows([(0, 20)], window=6, stride=4, burn_in=2, offset=2)
    assert [w.start for w in plain] == [0, 4, 8, 12]
    assert [w.start for w in moved] == [2, 6, 10, 14]
    assert all(w.stop - w.start == 6 and w.first_row == w.start + 2 for w in plain + moved)


def test_a_segment_with_room_for_one_window_is_trained_on_at_every_offset():
    starts = {
        o: training_windows([(5, 12)], window=6, stride=4, burn_in=0, offset=o)[0].start for o in (0, 1, 2)
    }
    assert starts == {0: 5, 1: 6, 2: 5}


def test_a_record_shorter_than_a_window_is_refused():
    with pytest.raises(InputError, match=r"longest run without a gap has 5.*window has 6"):
        training_windows([(0, 5), (9, 12)], window=6, stride=1, burn_in=0)


def test_the_default_stride_skips_no_row_and_keeps_attended_steps_attended():
    assert default_stride(24, 8, 4) == 16
    assert default_stride(24, 9, 4) == 12
    with pytest.raises(UsageError, match="leaves 3 rows"):
        default_stride(10, 7, 4)


def test_segments_are_clipped_to_a_range():
    assert clip_segments([(0, 5), (5, 9), (9, 20)], 3, 12) == [(3, 5), (5, 9), (9, 12)]


@st.composite
def tilings(draw):
    multiple = draw(st.sampled_from([1, 2, 4]))
    shape = (draw(st.integers(1, 16)) * multiple, draw(st.integers(1, 16)) * multiple)
    tile = draw(st.integers(2 * multiple, 30))
    halo = draw(st.integers(0, (tile // multiple * multiple - 1) // 2))
    return plan_tiles(shape, tile=tile, halo=halo, periodic=draw(st.booleans()), multiple=multiple), multiple


@given(tilings())
def test_stitching_tiles_gives_back_the_field(case):
    tiles, _ = case
    field = np.random.default_rng(0).normal(size=(3, *tiles.shape))
    np.testing.assert_allclose(tiles.stitch(tiles.cut(field)), field, rtol=1e-12)


@given(tilings())
def test_blend_weights_add_up_to_one_everywhere(case):
    tiles, multiple = case
    np.testing.assert_allclose(tiles._add(tiles.blend()), 1.0, rtol=1e-12)
    assert all(y % multiple == 0 and x % multiple == 0 for y, x in tiles.origins)


def test_a_grid_no_larger_than_a_tile_is_one_tile():
    tiles = plan_tiles((17, 33), tile=None, halo=16, periodic=False)
    assert len(tiles) == 1
    assert np.all(tiles.blend() == 1)


def test_neighbouring_tiles_share_the_halo():
    narrow = plan_tiles((8, 64), tile=32, halo=4, periodic=False)
    wide = plan_tiles((8, 64), tile=32, halo=12, periodic=False)
    for tiles, halo in ((narrow, 4), (wide, 12)):
        columns = [set(tiles.index(i)[1]) for i in range(len(tiles))]
        assert min(len(a & b) for a, b in pairwise(columns)) >= halo


def test_tiles_wrap_around_a_grid_that_closes_the_circle():
    tiles = plan_tiles((8, 64), tile=32, halo=8, periodic=True)
    seen = np.concatenate([tiles.index(i)[1] for i in range(len(tiles))])
    assert np.any(np.diff(tiles.index(len(tiles) - 1)[1]) < 0)
    assert set(seen) == set(range(64))


def test_patch_and_pool_follow_the_size_of_the_grid():
    assert default_patch((17, 33), periodic=False) == 1
    assert default_patch((181, 360), periodic=True) == 2
    assert default_patch((721, 1440), periodic=True) == 4
    assert default_patch((721, 1442), periodic=True) == 2
    assert (default_pool((17, 33)), default_pool((90, 180))) == (1, 3)
