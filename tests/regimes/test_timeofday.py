"""Whether regimes are times of the day."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.shape.season import parse_season
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.analysis import find_regimes
from faconv_cli.regimes.timeofday import told_by_hour
from tests.regimes.planted import embedding


def of_steps(count, hours=6.0, start="2001-01-01"):
    every = np.timedelta64(round(3600 * hours), "s")
    return TimeAxis.from_values(np.datetime64(start, "ns") + np.arange(count) * every)


def red_noise(steps, modes, memory, seed):
    noise = np.random.default_rng(seed).standard_normal((steps, modes))
    for step in range(1, steps):
        noise[step] = memory * noise[step - 1] + np.sqrt(1 - memory**2) * noise[step]
    return noise


def regimes_of(kind, season=None):
    """Regimes of one year, six-hourly, whose diurnal cycle is 1 K in winter and 7 K in summer."""
    time = of_steps(1460)
    cycle = 4 - 3 * np.cos(2 * np.pi * time.year_fraction)
    fields = 1.2 * red_noise(1460, 4, 0.9, 0) + (cycle * np.cos(2 * np.pi * time.day_fraction - 0.8))[:, None]
    array = xr.DataArray(fields[:, None, None].astype(np.float32), dims=("time", "channel", "y", "x"))
    cube = Cube(array, (Channel("t"),), time, Grid.from_coordinates(np.zeros(1), np.arange(4.0)))
    anomalies = fit_climatology(cube, kind, False).subtract(cube.read(0, 1460), time)
    return find_regimes(replace(embedding(anomalies[:, 0, 0]), time=time), season=parse_season(season))


def share_at(found, months):
    """Share (k, 4) of the steps of each hour of a season that are in each regime."""
    time, inside = found.embedding.time, np.isin(found.embedding.time.month, months)
    hours = np.round(24 * time.day_fraction)
    return np.array(
        [
            [(found.labels[inside & (hours == hour)] == k).mean() for hour in (0, 6, 12, 18)]
            for k in range(1, 5)
        ]
    )


def said(found):
    return [note for note in found.notes if "they are the diurnal cycle" in note]


@pytest.mark.parametrize("months", [(12, 1, 2), (6, 7, 8)])
def test_regimes_of_one_year_are_not_times_of_the_day(months):
    mended, left = (share_at(regimes_of(kind), months) for kind in ("seasonal-diurnal", "diurnal"))
    assert np.ptp(mended, axis=1).max() < 0.2  # of 90 steps each hour
    assert np.ptp(left, axis=1).max() > 0.4


@pytest.mark.parametrize(
    ("kind", "season", "told"),
    [
        ("mean", None, True),
        ("diurnal", None, True),
        ("diurnal", "DJF", True),
        ("seasonal-diurnal", None, False),
        ("seasonal-diurnal", "DJF", False),
    ],
)
def test_a_diurnal_cycle_that_changes_its_sign_with_the_season_is_told(kind, season, told):
    notes = said(regimes_of(kind, season))
    assert len(notes) == told
    if season and told:
        assert "most in DJF" in notes[0]


@pytest.mark.parametrize("season", ["DJF", "MAM", "JJA", "SON"])
def test_months_of_opposite_sign_do_not_cancel(season):
    """Regimes are the time of the day in one season alone, the other way round in its last month."""
    time = of_steps(2920)
    months = parse_season(season).months
    daytime = np.isin(np.round(24 * time.day_fraction), (6, 12)) ^ (time.month == months[-1])
    chance = np.random.default_rng(0).integers(1, 3, 2920)
    assert told_by_hour(np.where(np.isin(time.month, months), 1 + daytime, chance), time) == season
    assert told_by_hour(chance, time) == ""


@pytest.mark.parametrize(("hours", "days"), [(1, 10), (1, 60), (3, 365), (6, 10), (6, 365), (12, 40)])
@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_noise_is_no_diurnal_cycle(hours, days, memory):
    time = of_steps(days * 24 // hours)
    for seed in range(8):
        x = red_noise(len(time), 2, memory, seed)
        assert told_by_hour(1 + 2 * (x[:, 0] > 0.3) + (x[:, 1] > 0), time) == ""


def test_steps_within_an_hour_are_no_new_evidence():
    """Ten minutes apart, weather that lasts an hour: each hour of ten days has a regime of its own."""
    time = of_steps(10 * 144, 1 / 6)
    labels = np.repeat(np.random.default_rng(1).integers(1, 5, 240), 6)
    assert told_by_hour(labels, time) == ""
    assert told_by_hour(1 + (time.day_fraction < 0.5), time) == "DJF"


@pytest.mark.parametrize("labels", [np.zeros(40, int), np.ones(40, int), np.r_[np.zeros(39, int), 1]])
def test_labels_that_tell_nothing(labels):
    assert told_by_hour(labels, of_steps(40)) == ""
