import threading
import time

import numpy as np
import pytest
import torch

from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.windows.dataset import WindowReader, prefetched
from faconv_cli.windows.normalize import fit_normalizer
from faconv_cli.windows.plan import plan_windows


def _reader(cube, shape=None, steps=12, batch=3):
    climatology = fit_climatology(cube, "none", True)
    return WindowReader(
        cube, climatology, fit_normalizer(cube, climatology)[0], shape or cube.grid.shape, steps, batch
    )


def test_a_batch_holds_the_normalised_anomalies_of_its_windows(make_cube):
    cube = make_cube(land=0.3)
    reader = _reader(cube)
    windows = plan_windows([(0, 80)], window=12, stride=8, burn_in=4)[2:5]
    batch = reader.read(windows)
    for row, window in enumerate(windows):
        part = slice(window.start, window.stop)
        anomalies = reader.climatology.subtract(
            cube.read(window.start, window.stop), cube.time.slice(window.start, window.stop)
        )
        expected = reader.normalizer.apply(anomalies)
        valid = np.isfinite(expected)
        np.testing.assert_array_equal(batch.valid[row].numpy(), valid)
        np.testing.assert_allclose(batch.x[row].numpy(), np.where(valid, expected, 0), atol=1e-6)
        np.testing.assert_allclose(batch.year_fraction[row], cube.time.year_fraction[part], atol=1e-6)
        np.testing.assert_allclose(batch.day_fraction[row], cube.time.day_fraction[part], atol=1e-6)


def test_windows_past_the_end_are_filled_up_as_missing(make_cube):
    reader = _reader(make_cube(20), steps=16, batch=4)
    windows = plan_windows([(0, 20)], window=12, stride=8, burn_in=4)
    batch = reader.read(windows)
    assert batch.x.shape[:2] == (4, 16)
    assert len(batch.windows) == 2
    assert not batch.valid[1, 12:].any()
    assert not batch.valid[2:].any()
    assert batch.x[1, 12:].abs().sum() == 0


def test_targets_do_not_reach_beyond_the_segment(make_cube):
    reader = _reader(make_cube(40), steps=16)
    window = plan_windows([(0, 18)], window=12, stride=8, burn_in=4)[0]
    assert reader.read([window]).valid[0].any(dim=(1, 2, 3)).tolist() == [True] * 16
    window = plan_windows([(0, 13)], window=12, stride=8, burn_in=4)[0]
    assert reader.read([window]).valid[0].any(dim=(1, 2, 3)).tolist() == [True] * 13 + [False] * 3


def test_a_grid_is_filled_up_to_whole_patches(make_cube):
    cube = make_cube(shape=(5, 7))
    batch = _reader(cube, shape=(6, 8)).read(plan_windows([(0, 12)], window=12, stride=8, burn_in=4))
    assert batch.x.shape[-2:] == (6, 8)
    assert not batch.valid[..., 5, :].any()
    assert not batch.valid[..., 7].any()
    assert batch.valid[0, ..., :5, :7].all()


def test_batches_cover_the_windows_in_order_and_fields_are_their_steps(make_cube):
    cube = make_cube()
    reader = _reader(cube)
    windows = plan_windows([(0, 80)], window=12, stride=8, burn_in=4)
    batches = list(reader.batches(windows))
    assert [w for batch in batches for w in batch.windows] == windows
    torch.testing.assert_close(torch.from_numpy(reader.fields(0, 12)), batches[0].x[0])


def test_a_batch_moves_to_a_device_with_its_windows(make_cube):
    batch = _reader(make_cube()).read(plan_windows([(0, 12)], window=12, stride=8, burn_in=4))
    moved = batch.to(torch.device("cpu"))
    assert moved.windows == batch.windows
    torch.testing.assert_close(moved.x, batch.x)


def test_the_next_batch_is_made_while_one_is_in_use():
    made, started = [], threading.Event()

    def make(item):
        made.append(item)
        if item == 1:
            started.set()
        return item * 10

    results = prefetched(make, [0, 1, 2])
    assert next(results) == 0
    assert started.wait(5)
    time.sleep(0.05)
    assert made == [0, 1]
    assert list(results) == [10, 20]


def test_an_error_while_reading_ahead_reaches_the_reader():
    def make(item):
        if item:
            raise OSError("damaged")
        return item

    results = prefetched(make, [0, 1])
    assert next(results) == 0
    with pytest.raises(OSError, match="damaged"):
        next(results)
