"""Time stamps with the noise of the numbers that hold them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.time.rounding import rounded
from faconv_cli.errors import InputError

SECOND = 10**9
STEPS = {600: "10 minutes", 3600: "1 hour", 10800: "3 hours", 86400: "1 day", 3 * 86400: "3 days"}
CALENDARS = ["standard", "noleap", "360_day"]


def save(path, name, numbers, units, calendar="standard", dtype="f8", first=0.0):
    fields = np.broadcast_to(first + np.arange(len(numbers), dtype="f4")[:, None, None], (len(numbers), 3, 4))
    time = ("time", np.asarray(numbers, dtype), {"units": units, "calendar": calendar})
    lat = ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"})
    lon = ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"})
    ds = xr.Dataset({name: (("time", "lat", "lon"), fields)}, {"time": time, "lat": lat, "lon": lon})
    ds.to_netcdf(path)
    return path


@given(
    st.sampled_from(sorted(STEPS)),
    st.sampled_from([0, 60, 1800, 43200]),
    st.integers(4, 60),
    st.integers(0, 2**31),
    st.data(),
)
def test_stamps_come_back_from_noise_of_a_thousandth_of_a_step(step, offset, count, seed, data):
    true = (np.arange(count) * step + offset + 86400 * data.draw(st.integers(-50000, 50000))) * SECOND
    most = min(step / 1000, 60, (60 if offset % 3600 else step if step < 3600 else 3600) / 25)
    noise = np.random.default_rng(seed).uniform(-most, most, count) * SECOND
    result = rounded([true + noise.astype(np.int64)], step, SECOND, 0.0)
    np.testing.assert_array_equal(result.keys[0], true)
    assert result.off_s == pytest.approx(np.abs(noise.astype(np.int64)).max() / SECOND)


@given(st.integers(1, 59), st.sampled_from(sorted(STEPS)))
def test_stamps_that_are_all_off_by_the_same_are_meant_so(seconds, step):
    """Daily means may well be stamped half a minute after midnight."""
    keys = (np.arange(20) * step + seconds) * SECOND
    result = rounded([keys], step, SECOND, 0.0)
    np.testing.assert_array_equal(result.keys[0], keys)
    assert result.off_s == 0


def test_irregular_stamps_stay():
    keys = np.cumsum(np.random.default_rng(0).integers(3000, 4000, 50)) * SECOND
    np.testing.assert_array_equal(rounded([keys], 3500, SECOND, 0.0).keys[0], keys)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_variables_whose_stamps_differ_by_milliseconds_share_all_of_them(tmp_path, calendar):
    hours = np.arange(80.0)
    noise = np.random.default_rng(0).choice([-2e-6, 0.0, 3e-6], 80)
    noise[::10] = 0
    since = "hours since 2001-02-20"
    paths = [
        save(tmp_path / "a.nc", "x", hours, since, calendar),
        save(tmp_path / "b.nc", "y", hours + noise, since, calendar),
    ]
    cube = open_cube(paths)
    assert (len(cube.time), cube.time.step, cube.time.irregular_steps) == (80, "1 hour", 0)
    assert all(label.endswith(":00:00") for label in cube.time.labels)
    assert any("multiples of 1 hour" in n and "off by up to 0.011 seconds" in n for n in cube.notes)


def test_the_same_steps_of_two_files_match_although_their_stamps_are_noisy(tmp_path):
    days = np.arange(10.0)
    paths = [
        save(tmp_path / "a.nc", "x", days, "days since 2001-01-01"),
        save(tmp_path / "b.nc", "x", days[:5] + 6 + 1e-8, "days since 2001-01-01", first=6.0),
    ]
    cube = open_cube(paths)
    np.testing.assert_array_equal(cube.read(0, 99)[:, 0, 0, 0], range(11))


def test_files_of_one_noisy_step_each_are_an_even_record(tmp_path):
    numbers = np.arange(6) / 24 + np.array([0, 1, -1, 1, 0, -1]) * 1e-6
    paths = [
        save(tmp_path / f"{i}.nc", "x", [number], "days since 2001-01-01") for i, number in enumerate(numbers)
    ]
    time = open_cube(paths).time
    assert (time.labels[5], time.step) == ("2001-01-01T05:00:00", "1 hour")


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("dtype", ["f4", "f8"], ids=["single precision", "through single precision"])
@pytest.mark.parametrize("step", [1, 3, 6, 24])
def test_days_in_single_precision_are_whole_hours(tmp_path, calendar, dtype, step):
    """Numbers near 54,000 are 5.6 minutes apart: hourly steps would come as 56 or 62 minutes."""
    days = (54000 + np.arange(200) * step / 24).astype("f4")
    cube = open_cube([save(tmp_path / "a.nc", "x", days, "days since 1850-01-01", calendar, dtype)])
    assert cube.time.step == ("1 day" if step == 24 else f"{step} hour{'s' if step > 1 else ''}")
    assert cube.time.irregular_steps == 0
    assert {int(label[11:13] or 0) % step for label in cube.time.labels} <= {0}
    assert all(label[14:] in ("", "00:00") for label in cube.time.labels)


def test_steps_that_single_precision_cannot_tell_are_said_to_be_doubtful(tmp_path):
    days = (54000 + np.arange(100) * 7 / 1440).astype("f4")
    with pytest.raises(InputError, match=r"single precision, which resolves only 5\.62 minutes"):
        open_cube(
            [
                save(
                    tmp_path / "a.nc",
                    "x",
                    (54000 + np.arange(100) / 1440).astype("f4"),
                    "days since 1850-01-01",
                )
            ]
        )
    cube = open_cube([save(tmp_path / "b.nc", "x", days, "days since 1850-01-01")])
    assert any("single precision, exact only to 5.62 minutes" in note for note in cube.notes)


def test_even_steps_of_no_round_length_are_not_doubted(write):
    """Eighths of hours fit into single precision, and are told apart."""
    cube = open_cube([write(units="hours since 1900-01-01", hours=900000 + np.arange(6) / 8)])
    assert cube.time.step == "450 seconds"
    assert not any("single precision" in note for note in cube.notes)


def test_stamps_that_are_clean_are_not_touched(write):
    cube = open_cube([write(hours=np.arange(6) * 24.0 + 0.5)])
    assert cube.time.labels[0] == "2001-01-01T00:30:00"
    assert not any("rounded" in note for note in cube.notes)
