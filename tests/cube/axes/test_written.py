"""Time stamps that were never written."""

import netCDF4
import numpy as np
import pytest

from faconv_cli.cube.axes.written import written
from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError

FILL = netCDF4.default_fillvals


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (np.array([0.0, 6, 12, np.nan, np.nan]), 3),
        (np.array([0.0, 6, FILL["f8"]]), 2),
        (np.array([0, 6, FILL["f4"]], np.float32), 2),
        (np.array([0, 6, FILL["i4"], FILL["i4"]], np.int32), 2),
        (np.array([18, 24, 30, 0]), 3),
        (np.array([6, 12, 18, 0, 0]), 3),
        (np.array([6.0, 0, 0]), 1),
        (np.array([0, 6, 12, 18, 0, 0, 0]), 4),  # the first is 0, and cannot be there again
        (np.array([0.0, 6, 0]), 2),
        (np.array([0, 6, 12, -9999]), 3),
        (np.array([-48.0, -42, -36, -9999, -9999]), 3),
        (np.array([100, 124, 148, -32768], np.int16), 3),
        (np.array(["2001-01-01", "NaT"], "datetime64[ns]"), 1),
        (np.array([b"2001-01-01_00:00:00", b"\0\0\0", b""]), 1),
        (np.array(["20010101", " "], object), 1),
    ],
)
def test_what_was_never_written_at_the_end_is_cut_off_and_told(raw, count):
    kept, note = written(raw, "x.nc: time")
    np.testing.assert_array_equal(kept, raw[:count])
    assert "never written" in note


@pytest.mark.parametrize(
    "raw",
    [
        *([-12.0, -6, 0], [12.0, 6, 0], [6, 12, 18, 0], [0, 6, 12], [6.0, 0], [3, 2, 1, 0], [0.0, 1e9]),
        *([-9998, -9997, -9996, -9999], [-9997, -9998, -9999], [-10001, -10000, -9999], [0, 6, 12, -6]),
    ],
)
def test_a_zero_that_may_be_meant_is_kept(raw):
    kept, note = written(np.array(raw), "x.nc: time")
    assert (kept.tolist(), note) == (raw, "")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ([np.nan, 0.0], "number 1 of 2"),
        ([0.0, np.nan, 2.0], "number 2 of 3"),
        ([np.nan] * 3, "none of 3 was ever"),
    ],
)
def test_a_stamp_missing_before_the_last_is_refused(raw, told):
    with pytest.raises(InputError, match=rf"missing stamps.*{told}.*--time-index"):
        written(np.array(raw), "x.nc: time")


def test_a_record_whose_model_died_is_read_up_to_there(write):
    """Space for eight steps was reserved, five were run."""
    fields = np.full((8, 3, 4), FILL["f4"], np.float32)
    fields[:5] = np.arange(5)[:, None, None]
    hours = [0.0, 6, 12, 18, 24, FILL["f8"], FILL["f8"], FILL["f8"]]
    path = write(variables={"x": fields}, hours=hours)
    cube = open_cube([path])
    assert cube.time.labels[-1] == "2001-01-02T00:00:00"
    np.testing.assert_array_equal(cube.read(0, 99)[:, 0, 0, 0], range(5))
    assert any("the last 3 of 8 time stamps were never written" in note for note in cube.notes)
    assert open_cube([path], time_index=True).shape[0] == 8
