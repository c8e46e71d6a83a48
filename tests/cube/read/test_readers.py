from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.read import readers
from faconv_cli.cube.read.readers import Held, Masked, Picked, Scaled, Taken, take, to_dask
from faconv_cli.cube.shape.coarsen import Coarsened
from faconv_cli.cube.shape.derive import Derived, parse_all
from faconv_cli.cube.shape.smooth import Smoothed

RNG = np.random.default_rng(0)
FIELDS = RNG.normal(280, 5, (40, 6, 8)).astype(np.float32)
FIELDS[RNG.uniform(size=FIELDS.shape) < 0.2] = np.nan
AREA = RNG.uniform(0.5, 1, (6, 8))
KEEP = RNG.uniform(size=(6, 8)) > 0.3


@dataclass(frozen=True, eq=False)
class Counted(Held):
    """Fields in memory, and how many steps were asked for at a time."""

    asked: list[int] = field(default_factory=list)

    def read_into(self, out, start, stop):
        self.asked.append(stop - start)
        super().read_into(out, start, stop)


def _whole(reader):
    out = np.empty(reader.shape, np.float32)
    reader.read_into(out, 0, reader.shape[0])
    return out


KINDS = {
    "taken": lambda inner: take(inner, np.r_[0:10, 12:13, 20:38]),
    "masked": lambda inner: Masked(inner, KEEP[: inner.shape[1], : inner.shape[2]]),
    "picked": lambda inner: Picked(inner, np.arange(inner.shape[1])[::-1], np.arange(1, inner.shape[2])),
    "scaled": lambda inner: Scaled(inner, 1.8, -459.67),
    "coarsened": lambda inner: Coarsened(inner, 2, AREA[: inner.shape[1], : inner.shape[2]]),
    "smoothed": lambda inner: Smoothed(inner, 5, ((0, 11), (11, inner.shape[0]))),
    "derived": lambda inner: Derived(inner, parse_all(["x=log(abs(a))*b"])[0], (inner, inner)),
}


@given(
    kinds=st.lists(st.sampled_from(sorted(set(KINDS) - {"taken"})), max_size=4),
    taken=st.booleans(),
    data=st.data(),
)
def test_whatever_is_put_on_top_of_each_other_reads_the_same_bits_in_any_part(kinds, taken, data):
    reader = Held(FIELDS)
    for kind in [*kinds, *(["taken"] if taken else [])]:
        if min(reader.shape[1:]) > 2:
            reader = KINDS[kind](reader)
    whole = _whole(reader)
    start = data.draw(st.integers(0, reader.shape[0] - 1))
    stop = data.draw(st.integers(start, reader.shape[0]))
    part = np.empty((stop - start, *reader.shape[1:]), np.float32)
    reader.read_into(part, start, stop)
    np.testing.assert_array_equal(part, whole[start:stop])
    np.testing.assert_array_equal(to_dask(reader, 7).compute(scheduler="synchronous"), whole)


def test_steps_are_taken_in_runs_and_may_be_taken_again():
    inner = Counted(FIELDS)
    reader = take(take(inner, np.r_[0:10, 12:13, 20:38]), np.r_[5:15])
    assert isinstance(reader, Taken)
    np.testing.assert_array_equal(_whole(reader), FIELDS[np.r_[5:10, 12:13, 20:24]])
    assert inner.asked == [5, 1, 4]


def test_points_are_masked_picked_and_scaled():
    np.testing.assert_array_equal(_whole(Masked(Held(FIELDS), KEEP)), np.where(KEEP, FIELDS, np.nan))
    rows, columns = np.array([4, 2, 3]), np.array([7, 0, 1])
    np.testing.assert_array_equal(_whole(Picked(Held(FIELDS), rows, columns)), FIELDS[:, rows][:, :, columns])
    expected = (FIELDS.astype(float) * 1.8 - 459.67).astype(np.float32)
    np.testing.assert_array_equal(_whole(Scaled(Held(FIELDS), 1.8, -459.67)), expected)


@pytest.mark.parametrize("kind", ["coarsened", "picked", "derived"])
def test_what_lies_behind_is_read_a_few_steps_at_a_time(kind, monkeypatch):
    monkeypatch.setattr(readers, "_PIECE_BYTES", 4 * 48 * 3)
    inner = Counted(FIELDS)
    _whole(KINDS[kind](inner))
    assert set(inner.asked) == {3, 1}


def test_a_running_mean_reads_what_it_looks_back_on_and_no_more():
    inner = Counted(FIELDS)
    out = np.empty((4, 6, 8), np.float32)
    Smoothed(inner, 5, ((0, 11), (11, 40))).read_into(out, 13, 17)
    assert inner.asked == [6]  # two steps since the gap, and four
