"""Calendars by the names that models write."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.time.calendars import CALENDARS, canonical
from faconv_cli.errors import InputError

WRITTEN = {
    "THIRTY_DAY_MONTHS": "360_day",
    "360": "360_day",
    "360 days": "360_day",
    "NO_LEAP": "noleap",
    "365_days": "noleap",
    "365-day": "noleap",
    "366_Day": "all_leap",
    "Gregorian": "standard",
    "proleptic": "proleptic_gregorian",
    "gregorian_proleptic": "proleptic_gregorian",
    "360days": "360_day",
    "360_day_year": "360_day",
    "365_day_year": "noleap",
    "365days": "noleap",
    "noleap_calendar": "noleap",
    "Calendar: no leap".replace(":", ""): "noleap",
    "all_leap_year": "all_leap",
    "JULIAN": "julian",
    "day": "day",
    "": "standard",
    None: "standard",
}


@pytest.mark.parametrize(("written", "name"), WRITTEN.items())
def test_a_calendar_has_one_name_whatever_a_model_calls_it(written, name):
    assert canonical(written) == name


@given(st.sampled_from(CALENDARS), st.data())
def test_case_and_spaces_do_not_matter(name, data):
    written = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in name)
    assert canonical(f" {written.replace('_', data.draw(st.sampled_from(['_', ' ', '-'])))} ") == name


@pytest.mark.parametrize(("written", "name"), list(WRITTEN.items())[:5])
def test_files_are_dated_in_the_calendar_meant(write, written, name):
    hours = 24.0 * np.arange(360, 366)
    time = open_cube([write(calendar=written, hours=hours)]).time
    assert (time.calendar, time.labels[0]) == (name, "2002-01-01" if name == "360_day" else "2001-12-27")


def test_two_names_of_one_calendar_are_no_two_calendars(write):
    paths = [
        write("a.nc", calendar="noleap"),
        write("b.nc", calendar="365_DAY", hours=np.arange(6) * 24 + 144.0),
    ]
    assert open_cube(paths).shape[0] == 12


@pytest.mark.parametrize("calendar", ["mayan", "none", "perpetual_july"])
def test_an_unknown_calendar_is_named_beside_those_known(write, calendar):
    with pytest.raises(
        InputError,
        match=rf"has the unknown calendar '{calendar}'\. Known calendars are standard",
    ) as caught:
        open_cube([write(calendar=calendar)])
    assert "cftime" not in str(caught.value)


def test_the_gregorian_calendars_differ_before_they_began(write):
    since = "days since 1500-01-01"
    paths = [
        write("a.nc", units=since, hours=np.arange(6.0)),
        write("b.nc", units=since, hours=np.arange(6.0) + 6, calendar="proleptic_gregorian"),
    ]
    with pytest.raises(InputError, match=r"has calendar standard, .* has proleptic_gregorian"):
        open_cube(paths)
