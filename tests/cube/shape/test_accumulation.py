"""Accumulations since the start of a forecast: recognised, told, and taken apart."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from faconv_cli.config import DataConfig
from faconv_cli.cube.constants import NEVER, Cycle
from faconv_cli.cube.pipeline import open_record
from faconv_cli.cube.read.readers import Held
from faconv_cli.cube.shape.accumulation import Differences
from faconv_cli.errors import InputError
from tests.cube.grib_files import write_grib

EACH_STEP = DataConfig(deaccumulate=True)
HOURS = 24 * 5


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rain(steps=HOURS, shape=(4, 5), seed=0):
    """Rain that falls in a third of the hours."""
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, 1.0, (steps, *shape)) * (rng.random((steps, *shape)) < 1 / 3)


def accumulated(hourly, first=1, cycle=24):
    """Accumulate what falls in each hour since ``first`` o'clock, from an hour of 0:00 on."""
    out, total = np.zeros_like(hourly), np.zeros(hourly.shape[1:])
    for step, field in enumerate(hourly):
        total = field + (0 if step % cycle == first % cycle else total)
        out[step] = total
    return out


def record(path, fields, start="2001-01-01T00:00", freq="1h", keep=None, **attributes):
    ds = xr.Dataset(
        {"tp": (("time", "lat", "lon"), fields.astype("f4"), {"units": "m", **attributes})},
        {
            "time": xr.date_range(start, periods=len(fields), freq=freq),
            "lat": ("lat", np.linspace(-10.0, 10, fields.shape[1]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0.0, 40, fields.shape[2]), {"units": "degrees_east"}),
        },
    )
    (ds if keep is None else ds.isel(time=keep)).to_netcdf(path)
    return path


def whole(cube):
    return cube.read(0, cube.shape[0])[:, 0]


def test_values_that_grow_through_the_day_are_told_and_taken_apart(tmp_path):
    path = record(tmp_path / "x.nc", accumulated(rain()))
    told = open_record([path], DataConfig())
    assert any(
        "tp is accumulated since the start of each forecast, over up to 24 hours" in n for n in told.notes
    )
    np.testing.assert_allclose(whole(told), accumulated(rain()), rtol=1e-6)
    cube = open_record([path], EACH_STEP)
    np.testing.assert_allclose(whole(cube)[1:], rain()[1:], atol=1e-5)
    assert np.isnan(whole(cube)[0]).all(), "its first hour holds the whole day before"
    assert any("1 steps at the start or after a gap are missing" in note for note in cube.notes)
    assert cube.constants.accumulated == {"tp": Cycle(24, 1)}


@pytest.mark.parametrize(("first", "cycle"), [(1, 24), (0, 24), (7, 24), (1, 12), (4, 6)])
def test_any_time_of_the_day_may_begin_an_accumulation(tmp_path, first, cycle):
    fields = accumulated(rain(), first, cycle)
    label = {"GRIB_stepType": "accum"} if cycle == 6 else {}
    cube = open_record([record(tmp_path / "x.nc", fields, **label)], EACH_STEP)
    known = np.isfinite(whole(cube)[:, 0, 0])
    assert known.sum() >= HOURS - 1
    np.testing.assert_allclose(whole(cube)[known], rain()[known], atol=1e-5)


def test_values_that_were_rounded_are_recognised_and_their_sum_is_kept(tmp_path):
    """As each message of a GRIB file is packed on its own."""
    fields = accumulated(rain() / 1000)
    fields += np.random.default_rng(1).normal(scale=1e-5 * fields.max(), size=fields.shape)
    cube = open_record([record(tmp_path / "x.nc", fields)], EACH_STEP)
    np.testing.assert_allclose(whole(cube)[1:25].sum(0), fields[24], atol=1e-6)
    assert whole(cube)[1:].min() < 0, "rounding is not clipped, or sums would grow"


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        (rain(), {}),
        (rain(), {"GRIB_stepType": "accum"}),
        (
            np.clip(np.sin((np.arange(HOURS) - 6) * np.pi / 12), 0, None)[:, None, None] * rain()[:1],
            {"units": "J m-2"},
        ),
        (accumulated(rain()), {"units": "K"}),
        (accumulated(rain()), {"GRIB_stepType": "instant"}),
        (accumulated(rain()), {"cell_methods": "time: mean"}),
        (np.cumsum(rain(), axis=0), {"units": "K"}),
        (np.cumsum(rain() - 0.01, axis=0), {}),
        (np.zeros((HOURS, 4, 5)), {}),
    ],
)
def test_what_is_no_accumulation_is_not_taken_for_one(tmp_path, fields, attributes):
    path = record(tmp_path / "x.nc", fields, **attributes)
    assert not any("accumulated" in note for note in open_record([path], DataConfig()).notes)
    with pytest.raises(
        InputError, match="no channel is accumulated since the start of a forecast or of a run"
    ):
        open_record([path], EACH_STEP)


def test_values_read_to_tell_count_in_no_ledger(tmp_path):
    fields = accumulated(rain(shape=(40, 50)))
    fields[:, 5:15] = np.nan
    cube = open_record([record(tmp_path / "x.nc", fields)], DataConfig())
    assert any("accumulated" in note for note in cube.notes)
    assert not cube.masked
    assert not any(ledger.values for ledger in cube.ledgers)


def test_six_hourly_accumulations_without_a_word_are_told(tmp_path):
    """Hours 0, 6, 12 and 18 of ERA5-Land: accumulated since midnight."""
    hourly = rain(24 * 20)
    path = record(tmp_path / "x.nc", accumulated(hourly), keep=np.arange(0, 480, 6))
    cube = open_record([path], EACH_STEP)
    assert cube.constants.accumulated == {"tp": Cycle(24, 6)}
    in_six_hours = hourly[1:475].reshape(-1, 6, 4, 5).sum(1)
    np.testing.assert_allclose(whole(cube)[1:], in_six_hours, atol=1e-4)


def test_six_hourly_sums_are_not_taken_for_accumulations(tmp_path):
    hourly = rain(24 * 20)
    path = record(tmp_path / "x.nc", hourly.reshape(-1, 6, 4, 5).sum(1), freq="6h", cell_methods="time: sum")
    assert not any("accumulated" in note for note in open_record([path], DataConfig()).notes)


def test_daily_values_are_left_alone(tmp_path):
    path = record(tmp_path / "x.nc", rain(20), freq="1D", GRIB_stepType="accum")
    assert not any("accumulated" in note for note in open_record([path], DataConfig()).notes)


def test_fluxes_of_both_signs_are_recognised(tmp_path):
    """Sensible heat: upward by day, downward by night."""
    hour = np.arange(HOURS)[:, None, None]
    flux = 1.0 + 2 * np.sin((hour - 6) * np.pi / 12) + 0.1 * (rain() - 0.3)
    path = record(tmp_path / "x.nc", accumulated(flux), units="J m-2", GRIB_stepType="accum")
    np.testing.assert_allclose(whole(open_record([path], EACH_STEP))[1:], flux[1:], atol=1e-4)


def test_a_step_after_a_gap_is_missing_unless_it_begins_an_accumulation(tmp_path):
    """Hours 10 and 11, and the end of a day, are not in the file."""
    keep = [hour for hour in range(HOURS) if hour not in (10, 11, 47, 48)]
    fields = accumulated(rain())
    cube = open_record([record(tmp_path / "x.nc", fields, keep=keep)], EACH_STEP)
    hours = np.array(keep)
    missing = np.isnan(whole(cube)).all(axis=(1, 2))
    assert hours[missing].tolist() == [0, 12], "and 49 is 1 o'clock, which holds its own hour only"
    np.testing.assert_allclose(whole(cube)[~missing], rain()[hours[~missing]], atol=1e-5)


def test_missing_points_are_missing_after_and_before_alone(tmp_path):
    fields = accumulated(rain())
    fields[30, 1, 1] = np.nan
    got = whole(open_record([record(tmp_path / "x.nc", fields)], EACH_STEP))
    assert np.flatnonzero(np.isnan(got[:, 1, 1])).tolist() == [0, 30, 31]


def test_a_region_and_a_time_range_take_the_step_before_them(tmp_path):
    path = record(tmp_path / "x.nc", accumulated(rain()))
    data = DataConfig(deaccumulate=True, region="-10:4,0:25", time_range="2001-01-03T05:2001-01-04")
    cube = open_record([path], data)
    np.testing.assert_allclose(whole(cube), rain()[53:96, :3, :3], atol=1e-5)


def test_a_formula_reads_what_each_step_adds(tmp_path):
    path = record(tmp_path / "x.nc", accumulated(rain()))
    cube = open_record([path], DataConfig(deaccumulate=True, derive=("mm=tp*1000",), variables=("mm",)))
    np.testing.assert_allclose(whole(cube)[1:], 1000 * rain()[1:], atol=1e-2)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_how_a_record_is_cut_into_blocks_never_changes_a_value(data):
    steps = data.draw(st.integers(1, 30))
    continues = np.array(data.draw(st.lists(st.booleans(), min_size=steps, max_size=steps)))
    unknown = np.array(data.draw(st.lists(st.booleans(), min_size=steps, max_size=steps))) & ~continues
    continues[0] = False
    fields = np.random.default_rng(steps).normal(size=(steps, 2, 3)).astype("f4")
    reader = Differences(Held(fields), continues, unknown)
    expected = np.where(continues[:, None, None], np.diff(fields, axis=0, prepend=0), fields)
    expected[unknown] = np.nan
    edges = sorted({0, steps, *data.draw(st.lists(st.integers(0, steps), max_size=5))})
    got = np.empty_like(fields)
    for start, stop in pairwise(edges):
        reader.read_into(got[start:stop], start, stop)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_small_pieces_give_the_same_differences(monkeypatch):
    monkeypatch.setattr("faconv_cli.cube.read.readers._PIECE_BYTES", 50)
    fields = np.random.default_rng(0).normal(size=(9, 2, 3)).astype("f4")
    continues = np.arange(9) % 4 > 0
    got = np.empty_like(fields[2:])
    Differences(Held(fields), continues, np.zeros(9, bool)).read_into(got, 2, 9)
    np.testing.assert_allclose(got[1], fields[3] - fields[2], atol=1e-6)
    np.testing.assert_array_equal(got[2], fields[4])


# --- totals since the start of a run, which never begin anew --------------------------------------


def total(steps=HOURS, first=7.0):
    """What WRF calls RAINNC, of a run that began before."""
    return first + np.cumsum(rain(steps), axis=0)


RAINNC = {"units": "mm", "long_name": "ACCUMULATED TOTAL GRID SCALE PRECIPITATION"}
GROWS = "tp is accumulated since the start of the run and never restarts"


@pytest.mark.parametrize("freq", ["1h", "3h", "1D"])
@pytest.mark.parametrize(
    "about",
    [
        RAINNC,
        {"units": "mm"},
        {"units": "J m-2", "long_name": "ACCUMULATED DOWNWELLING SHORTWAVE FLUX AT BOTTOM"},
        {"units": "kg m-2", "cell_methods": "time: sum"},
    ],
)
def test_totals_of_a_run_are_told_and_taken_apart(tmp_path, freq, about):
    path = record(tmp_path / "x.nc", total(), freq=freq, **about)
    assert any(GROWS in note for note in open_record([path], DataConfig()).notes)
    cube = open_record([path], EACH_STEP)
    np.testing.assert_allclose(whole(cube)[1:], rain()[1:], atol=1e-4)
    assert np.isnan(whole(cube)[0]).all(), "it holds what fell before the record"
    assert any("tp was accumulated since the start of the run and is conv" in note for note in cube.notes)
    assert cube.constants.accumulated == {"tp": NEVER}


def test_rain_in_mm_is_told_by_its_dry_steps_alone(tmp_path):
    """And not by growing: a level of the sea may, and a snow pack, dry steps and all."""
    ds = xr.open_dataset(record(tmp_path / "total.nc", total(), units="mm")).load()
    level = np.arange(HOURS)[:, None, None] * (1 + rain()[:1])
    cases = {
        "x": (ds.tp, True),
        "sl": (ds.tp * 0 + level, False),
        "ramp": (ds.tp * 0 + level[:, :1, :1], False),
        "t": (ds.tp.assign_attrs(long_name="snow water equivalent"), False),
        "zos": (ds.tp.assign_attrs(units="m"), False),
        "co2": (ds.tp.assign_attrs(units="1e-6"), False),
        "lead": (ds.tp.assign_attrs(units="hours"), False),
        "pr": ((ds.tp * 0 + rain()).assign_attrs(long_name="precipitation"), False),
        "rain": ((ds.tp * 0 + 3).assign_attrs(long_name="precipitation"), False),
    }
    for name, (values, grows) in cases.items():
        path = tmp_path / f"{name}.nc"
        values.assign_attrs({"units": "mm"} | values.attrs).rename(name).to_netcdf(path)
        told = any("never restarts" in note for note in open_record([path], DataConfig()).notes)
        assert told == grows, name


def test_a_total_that_falls_once_is_none_of_a_run(tmp_path):
    fields = total()
    fields[HOURS // 2 :] -= fields[HOURS // 2]
    path = record(tmp_path / "x.nc", fields, **RAINNC)
    assert not any("accumulated" in note for note in open_record([path], DataConfig()).notes)


def test_a_total_is_not_told_of_a_few_steps(tmp_path):
    path = record(tmp_path / "x.nc", total(8), **RAINNC)
    assert not any("accumulated" in note for note in open_record([path], DataConfig()).notes)


def test_a_step_of_a_total_after_a_gap_is_missing(tmp_path):
    keep = [hour for hour in range(HOURS) if hour not in (50, 51)]
    cube = open_record([record(tmp_path / "x.nc", total(), keep=keep, **RAINNC)], EACH_STEP)
    missing = np.isnan(whole(cube)).all(axis=(1, 2))
    assert np.array(keep)[missing].tolist() == [0, 52]


def test_a_total_is_taken_apart_as_in_training_however_short_the_data(tmp_path):
    training = open_record([record(tmp_path / "x.nc", total(), **RAINNC)], EACH_STEP)
    short = record(tmp_path / "short.nc", total(4), start="2003-05-01", **RAINNC)
    cube = open_record([short], EACH_STEP, training.constants)
    np.testing.assert_allclose(whole(cube)[1:], rain(4)[1:], atol=1e-4)
    hourly = record(tmp_path / "hourly.nc", rain(seed=3), **RAINNC)
    with pytest.raises(
        InputError, match="tp was accumulated since the start of forecasts in training, but is not"
    ):
        open_record([hourly], EACH_STEP, training.constants)


# --- a training that is replayed ------------------------------------------------------------------


def test_a_day_too_dry_to_tell_is_taken_apart_as_in_training(tmp_path):
    training = open_record([record(tmp_path / "x.nc", accumulated(rain()))], EACH_STEP)
    hourly = np.zeros((30, 4, 5))
    hourly[20, 2, 2] = 3.0
    dry = record(tmp_path / "dry.nc", accumulated(hourly), start="2003-05-01")
    cube = open_record([dry], EACH_STEP, training.constants)
    np.testing.assert_allclose(whole(cube)[1:], hourly[1:], atol=1e-6)


def test_other_data_than_the_trainings_are_refused(tmp_path):
    training = open_record([record(tmp_path / "x.nc", accumulated(rain()))], EACH_STEP)
    hourly = record(tmp_path / "hourly.nc", rain(seed=3))
    with pytest.raises(
        InputError, match="tp was accumulated since the start of forecasts in training, but is not"
    ):
        open_record([hourly], EACH_STEP, training.constants)
    unknown = replace(training.constants, accumulated={"tp": None})
    with pytest.raises(InputError, match="tp was accumulated"):
        open_record([hourly], EACH_STEP, unknown)


# --- GRIB, which says how far a step reaches back -------------------------------------------------


def grib(path, periods, days=3, step_type="accum", param=228):
    """Each message holds as many thousandths as it is hours long, and its day."""
    return write_grib(
        path,
        [
            {
                "paramId": param,
                "day": day,
                "stepType": step_type,
                "stepRange": f"{start}-{end}",
                "values": (end - start) * day,
            }
            for day in range(1, days + 1)
            for start, end in periods
        ],
    )


def test_steps_since_the_start_of_forecasts_are_told_by_their_messages(tmp_path):
    path = grib(tmp_path / "x.grib", [(0, hour) for hour in range(1, 25)])
    assert any(
        "over up to 24 hours, and restarts every 24" in n for n in open_record([path], DataConfig()).notes
    )
    cube = open_record([path], EACH_STEP)
    np.testing.assert_allclose(whole(cube)[:, 0, 0], np.repeat([1, 2, 3], 24), atol=1e-4)
    assert cube.constants.accumulated == {"tp": Cycle(24, 1)}
    assert cube.channels[0].units == "m"
    assert not cube.left_out


def test_a_cut_out_region_of_messages_is_taken_apart(tmp_path):
    path = grib(tmp_path / "x.grib", [(0, hour) for hour in range(1, 25)])
    cube = open_record([path], DataConfig(deaccumulate=True, region="-20:60,0:100"))
    np.testing.assert_allclose(whole(cube)[:, 0, 0], np.repeat([1, 2, 3], 24), atol=1e-4)


def test_buckets_that_grow_are_taken_apart(tmp_path):
    """As of GFS: the last three hours, then the last six."""
    path = grib(
        tmp_path / "x.grib", [(0, 3), (0, 6), (6, 9), (6, 12), (12, 15), (12, 18), (18, 21), (18, 24)]
    )
    cube = open_record([path], EACH_STEP)
    np.testing.assert_allclose(whole(cube)[:, 0, 0], np.repeat([3, 6, 9], 8), atol=1e-4)


@pytest.mark.parametrize("periods", [[(h - 1, h) for h in range(1, 25)], [(0, 24)]])
def test_steps_that_reach_back_to_the_step_before_are_no_sawtooth(tmp_path, periods):
    path = grib(tmp_path / "x.grib", periods)
    cube = open_record([path], DataConfig())
    assert not any("accumulated" in note for note in cube.notes)
    training = replace(cube.constants, accumulated={"tp": Cycle(24, 1)})
    np.testing.assert_array_equal(whole(open_record([path], EACH_STEP, training)), whole(cube))


def test_a_lead_of_its_own_is_no_sawtooth(tmp_path):
    path = grib(tmp_path / "x.grib", [(0, hour) for hour in range(1, 25)])
    cube = open_record([path], DataConfig(step="24"))
    assert not any("sawtooth" in note for note in cube.notes)
    np.testing.assert_allclose(whole(cube)[:, 0, 0], [24, 48, 72], atol=1e-3)


def test_means_since_the_start_are_told_and_left_as_they_are(tmp_path):
    path = grib(tmp_path / "x.grib", [(0, hour) for hour in range(1, 25)], step_type="avg", param=167)
    cube = open_record([path], DataConfig())
    assert any("is a mean or an extreme since the start of each forecast" in note for note in cube.notes)
