from types import SimpleNamespace

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from faconv_cli.cube.read.lazy import Series
from faconv_cli.cube.read.readers import Masked
from faconv_cli.prepare.layout import _COPIES, CHUNK_BYTES, Layout, plan_layout


class _Variable:
    dims = ("time", "lat", "lon")
    dtype = np.dtype("f4")

    def __init__(self, chunk):
        self.encoding = {"preferred_chunks": {"time": chunk, "lat": 1, "lon": 1}}


class _File:
    dims = ("time", "lat", "lon")

    def __init__(self, steps, chunk):
        self.steps, self.chunk_steps, self.variable = steps, chunk, _Variable(chunk)


def planned(shape, chunk, memory, made=False):
    """The layout of a record of some shape whose files have chunks of ``chunk`` steps."""
    series = Series((_File(shape[0], chunk),), np.zeros(shape[0], int), np.arange(shape[0]))
    reader = Masked(series, np.ones(shape[2:], bool)) if made else series
    cube = SimpleNamespace(shape=shape, readers=[reader], grid=SimpleNamespace(regular=True))
    return plan_layout(cube, memory)


SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 3), st.integers(1, 60), st.integers(1, 60))


@given(SIZES, st.integers(1, 4000), st.integers(10, 24))
@example((1, 1, 3, 15), 1, 10)  # a step is too large
@example((2, 3, 3, 8), 1, 10)  # and so is a row of all steps
def test_pieces_cover_the_record_once_in_whole_chunks_within_memory(shape, chunk, memory_bits):
    memory = 2**memory_bits
    steps, channels, height, width = shape
    layout = planned(shape, min(chunk, steps), memory)
    covered = np.zeros((steps, height), int)
    for piece in layout.pieces:
        covered[piece.start : piece.stop, piece.top : piece.bottom] += 1
        assert piece.start % layout.chunk_steps == 0
        assert piece.top % layout.chunk_rows == 0
        values = (piece.stop - piece.start) * (piece.bottom - piece.top) * width * channels
        smallest = min(height * width, steps * width) * channels
        assert 4 * _COPIES * values <= max(memory, 4 * _COPIES * smallest)
    assert (covered == 1).all()
    assert 4 * layout.chunk_steps * layout.chunk_rows * width <= max(CHUNK_BYTES, 4 * height * width)


def test_short_chunks_are_read_as_runs_of_steps_and_long_ones_as_bands():
    short = planned((4000, 1, 90, 180), 10, 2**26)
    assert {piece.bottom - piece.top for piece in short.pieces} == {90}
    long = planned((4000, 1, 90, 180), 4000, 2**26)
    assert {piece.stop - piece.start for piece in long.pieces} == {4000}
    assert len(long.pieces) > 1


def test_a_layout_comes_back_from_json():
    layout = planned((100, 2, 9, 18), 100, 2**16)
    assert Layout.from_json(layout.as_json()) == layout


def test_what_is_made_of_the_fields_is_read_as_runs_of_steps():
    bands, runs = (planned((4000, 1, 90, 180), 4000, 2**26, made) for made in (False, True))
    assert {piece.bottom - piece.top for piece in runs.pieces} == {90}
    assert {piece.stop - piece.start for piece in bands.pieces} == {4000}
