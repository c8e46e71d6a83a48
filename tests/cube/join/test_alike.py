"""Whether files of one variable, and variables of one cube, are one record."""

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.config import DataConfig
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import InputError

DAYS = np.arange(365.0)
FIRSTS = np.array([0.0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
MIDDLES = FIRSTS + 15


@pytest.fixture
def save(tmp_path):
    def _save(name, days, variable="x", seed=0, attrs=None, scale=1.0, **coordinates):
        """Write red noise of a seed at some days of 2001, the same at the same days."""
        noise = np.random.default_rng(seed).normal(size=(800, 3, 4)).astype("f4")
        fields = noise[np.asarray(days).astype(int)] * scale
        ds = xr.Dataset(
            {variable: (("time", "lat", "lon"), fields, {"units": "K"})},
            {
                "time": ("time", np.asarray(days, float), {"units": "days since 2001-01-01"}),
                "lat": ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"}),
                "lon": ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"}),
            }
            | coordinates,
            attrs or {},
        )
        ds.to_netcdf(tmp_path / name)
        return tmp_path / name

    return _save


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("monthly", [FIRSTS, MIDDLES + 0.5, FIRSTS + 365], ids=["firsts", "middles", "later"])
def test_daily_and_monthly_files_are_no_record(save, monthly, turned):
    paths = [save("day.nc", DAYS), save("month.nc", monthly, seed=1)]
    paths = paths[::-1] if turned else paths
    with pytest.raises(InputError, match=r"(day|month)\.nc.*(day|month)\.nc"):
        open_cube(paths)


def test_other_steps_are_named_with_their_files(save):
    with pytest.raises(
        InputError,
        match=r"x has a time step of 1 day in .*day\.nc but of 1 month in .*month\.nc\. All files of",
    ):
        open_cube([save("day.nc", DAYS), save("month.nc", FIRSTS + 365)])


def test_parts_of_a_record_that_fit_into_each_other_are_one(save):
    """Even days in one file, the first two hundred and the odd ones in others."""
    paths = [save("even.nc", DAYS[::2]), save("first.nc", DAYS[:200]), save("odd.nc", DAYS[1::2])]
    time = open_cube(paths).time
    assert (len(time), time.step) == (365, "1 day")
    with pytest.raises(InputError, match="step of 2 days in"):
        open_cube(paths[:2])


@pytest.mark.parametrize("later", [0, 365])
def test_mid_month_and_first_of_month_are_no_record(save, later):
    paths = [save("first.nc", FIRSTS), save("middle.nc", MIDDLES + later)]
    with pytest.raises(
        InputError,
        match=r"x is stamped at another time of the month in .*first\.nc \(2001-01-01\) than in .*middle\.nc",
    ):
        open_cube(paths)


def test_the_fifteenth_and_the_middle_of_the_month_go_together(save):
    other = FIRSTS + 365 + np.diff([*FIRSTS, 365]) / 2
    assert open_cube([save("a.nc", FIRSTS + 14), save("b.nc", other)]).time.step == "1 month"


def test_years_stamped_at_their_beginning_and_middle_are_no_record(save, tmp_path):
    def shifted(name, first):
        path = save(name, np.arange(5))
        with xr.open_dataset(path, decode_times=False) as ds:
            ds = ds.load()
        ds["time"] = (
            "time",
            first + 365.0 * np.arange(5),
            {"units": "days since 2001-01-01", "calendar": "noleap"},
        )
        ds.to_netcdf(path)
        return path

    assert open_cube([shifted("a.nc", 0.0), shifted("b.nc", 1825.0)]).time.step == "1 year"
    with pytest.raises(InputError, match=r"another time of the year in .*a\.nc .*than in .*b\.nc"):
        open_cube([shifted("a.nc", 0.0), shifted("b.nc", 1825.0 + 182)])


def test_two_runs_that_overlap_are_no_record(save):
    paths = [save("a.nc", DAYS[:200]), save("b.nc", DAYS[150:], seed=1)]
    with pytest.raises(
        InputError, match=r"a\.nc and .*b\.nc share 50 time steps of x, but their values differ by 1"
    ):
        open_cube(paths)


@pytest.mark.parametrize(("scale", "another"), [(1.1, False), (1.4, False), (2.5, True), (0.4, True)])
def test_runs_and_editions_are_divided_by_a_third_of_the_change_from_step_to_step(save, scale, another):
    """Of white noise, which changes by the root of two of its deviation."""
    paths = [save("a.nc", DAYS[:200]), save("b.nc", DAYS[150:], scale=scale)]
    if another:
        with pytest.raises(InputError, match="to be two runs or members"):
            open_cube(paths)
    else:
        assert len(open_cube(paths).time) == 365


def test_what_persists_is_held_against_its_own_variation(save):
    """A slow cycle changes by little from day to day, and a tenth of it is an edition all the same."""

    def slow(name, days, extra):
        path = save(name, days)
        with xr.open_dataset(path, decode_times=False) as ds:
            ds = ds.load()
        ds["x"] = ds.x * 0 + np.sin(2 * np.pi * ds.time / 365) + extra
        ds.to_netcdf(path)
        return path

    assert len(open_cube([slow("a.nc", DAYS[:200], 0), slow("b.nc", DAYS[150:], 0.05)]).time) == 365
    with pytest.raises(InputError, match="to be two runs or members"):
        open_cube([slow("a.nc", DAYS[:200], 0), slow("b.nc", DAYS[150:], 0.3)])


MONTH_STARTS = np.concatenate([FIRSTS + 365 * year for year in range(12)])  # of noleap years


@pytest.mark.parametrize(
    "days", [MONTH_STARTS, np.arange(800.0), np.arange(0, 600, 0.25)], ids=["months", "days", "6 hours"]
)
@pytest.mark.parametrize("another", [False, True])
def test_members_are_told_apart_though_the_seasons_are_much_larger(save, days, another):
    """Anomalies of 0.5 K beside a cycle of 8 K: another run differs by little of the cycle."""
    cycle = 290 + 8 * np.cos(2 * np.pi * days / 365) + 5 * np.cos(2 * np.pi * days)
    own, others = np.random.default_rng(0).normal(size=(2, len(days), 3, 4)) * 0.5
    edition = others if another else own + 0.1 * others
    cut = len(days) * 5 // 6

    def part(name, anomalies, steps):
        path = save(name, np.arange(len(days[steps])) % 800)
        with xr.open_dataset(path, decode_times=False) as ds:
            ds = ds.load()
        ds["x"] = ds.x * 0 + (cycle[:, None, None] + anomalies)[steps]
        ds["time"] = ("time", days[steps], {"units": "days since 2001-01-01", "calendar": "noleap"})
        ds.to_netcdf(path)
        return path

    paths = [part("a.nc", own, slice(0, cut)), part("b.nc", edition, slice(cut - 20, None))]
    if another:
        with pytest.raises(InputError, match="to be two runs or members"):
            open_cube(paths)
    else:
        cube = open_cube(paths)
        assert len(cube.time) == len(days)
        assert any("the values differ (by 0.0" in note for note in cube.notes)


def test_an_overlap_that_one_file_has_no_values_for_is_taken_from_the_first_named(save):
    path = save("b.nc", DAYS[150:])
    with xr.open_dataset(path, decode_times=False) as ds:
        ds = ds.load()
    ds["x"][:50] = np.nan
    ds.to_netcdf(path)
    cube = open_cube([save("a.nc", DAYS[:200]), path])
    assert np.isfinite(cube.read(0, 400)).all()
    assert any("the values differ (no point has a value in both)." in note for note in cube.notes)


def test_a_later_edition_of_the_same_data_goes_on_with_a_note(save):
    """Preliminary data differ from final ones by far less than the weather does."""
    paths = [save("final.nc", DAYS[:200]), save("preliminary.nc", DAYS[150:], scale=1.1)]
    cube = open_cube(paths)
    assert len(cube.time) == 365
    assert any(
        "50 time steps of x are also in files named before it" in n and "values differ (by 0." in n
        for n in cube.notes
    )


@pytest.mark.parametrize("key", ["variant_label", "member_id", "realization", "source_id", "model_id"])
def test_files_that_name_other_runs_are_no_record_even_one_after_the_other(save, key):
    paths = [save("a.nc", DAYS[:200], attrs={key: "r1"}), save("b.nc", DAYS[200:], attrs={key: "r2"})]
    with pytest.raises(InputError, match=r"x comes from (model|member) r1 in .*a\.nc but from r2 in .*b\.nc"):
        open_cube(paths)
    same = [save("a.nc", DAYS[:200], attrs={key: "r1"}), save("b.nc", DAYS[200:], attrs={key: "r1"})]
    assert len(open_cube(same).time) == 365


def test_a_run_that_says_it_goes_on_from_another_does(save):
    child = {"variant_label": "r4", "parent_variant_label": "r1", "source_id": "A"}
    paths = [save("a.nc", DAYS[:200], attrs={"variant_label": "r1"}), save("b.nc", DAYS[200:], attrs=child)]
    assert len(open_cube(paths).time) == 365


def test_experiments_that_go_on_from_one_another_are_joined_and_told(save):
    attrs = [{"experiment_id": "historical", "parent_experiment_id": "piControl"}]
    attrs.append({"experiment_id": "ssp585", "parent_experiment_id": "historical"})
    days = DAYS[:200], DAYS[200:]
    paths = [save(f"{n}.nc", d, attrs=a) for n, d, a in zip("ab", days, attrs, strict=True)]
    cube = open_cube(paths)
    assert len(cube.time) == 365
    assert any("several experiments" in n and "historical in" in n and "ssp585 in" in n for n in cube.notes)


def test_experiments_that_go_on_from_the_same_third_are_no_record(save):
    attrs = [{"experiment_id": f"ssp{n}", "parent_experiment_id": "historical"} for n in (126, 585)]
    days = DAYS[:200], DAYS[200:]
    paths = [save(f"{n}.nc", d, attrs=a) for n, d, a in zip("ab", days, attrs, strict=True)]
    with pytest.raises(InputError, match=r"x comes from experiment ssp126 in .*a\.nc but from ssp585 in"):
        open_cube(paths)


@pytest.mark.parametrize("key", ["experiment_id", "case"])
def test_experiments_that_do_not_say_where_they_come_from_are_joined_and_told(save, key):
    paths = [save("a.nc", DAYS[:200], attrs={key: "hist"}), save("b.nc", DAYS[200:], attrs={key: "rcp85"})]
    cube = open_cube(paths)
    assert len(cube.time) == 365
    assert any("several experiments" in note for note in cube.notes)


def test_variables_of_several_members_are_told(save):
    attrs = [{"variant_label": "r1"}, {"variant_label": "r2"}, {"variant_label": "r2", "source_id": "A"}]
    paths = [save(f"{n}.nc", DAYS, n, attrs=one) for n, one in zip("xyz", attrs, strict=True)]
    notes = open_cube(paths).notes
    assert "The variables come from different members: x from r1, z from r2." in notes
    assert not any("models" in note for note in notes)


@given(st.data())
def test_any_part_of_a_monthly_record_in_any_calendar_is_alike(tmp_path_factory, data):
    """Whole, winters alone, or cut into files of any length, stamped anywhere in the month, in any order."""
    folder = tmp_path_factory.mktemp("months")
    calendar = data.draw(st.sampled_from(["standard", "noleap", "all_leap", "360_day", "julian"]))
    months = range(data.draw(st.integers(3, 40)))
    place = data.draw(st.sampled_from(["first", "middle", "fifteenth", "last"]))
    if data.draw(st.booleans()):
        months = [m for m in months if m % 12 in (0, 1, 11)]
    begins = [cftime.datetime(1999 + m // 12, m % 12 + 1, 1, calendar=calendar) for m in range(41)]
    edges = cftime.date2num(begins, "days since 1999-01-01", calendar).astype(float)
    lengths = np.diff(edges)
    shift = {"first": 0 * lengths, "middle": lengths / 2, "fifteenth": 14 + 0 * lengths, "last": lengths - 1}
    days = (edges[:-1] + shift[place])[list(months)]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(days) - 1, 1)), max_size=6)))
    paths = []
    for number, part in enumerate(np.split(np.arange(len(days)), cuts)):
        if not len(part):
            continue
        fields = np.broadcast_to(part.astype("f4")[:, None, None], (len(part), 3, 4))
        time = ("time", days[part], {"units": "days since 1999-01-01", "calendar": calendar})
        axes = {"time": time, "lat": [-10.0, 0.0, 10.0], "lon": [0.0, 10.0, 20.0, 30.0]}
        paths.append(folder / f"{number}.nc")
        xr.Dataset({"x": (("time", "lat", "lon"), fields)}, axes).to_netcdf(paths[-1])
    cube = open_cube(data.draw(st.permutations(paths)))
    np.testing.assert_array_equal(cube.read(0, 99)[:, 0, 0, 0], range(len(days)))
    np.testing.assert_array_equal(cube.time.month, np.array(months) % 12 + 1)


def test_files_of_one_month_each_stamped_at_two_places_are_no_record(save):
    paths = [save(f"first{i}.nc", [day]) for i, day in enumerate(FIRSTS)]
    assert len(open_cube(paths).time) == 12
    paths += [save(f"middle{i}.nc", [day + 365]) for i, day in enumerate(MIDDLES)]
    with pytest.raises(
        InputError, match=r"another time of the month in .*first\d+\.nc.* than in .*middle\d+\.nc"
    ):
        open_cube(paths)


def test_scalar_members_are_not_joined_unless_all_are_taken(save):
    paths = [save("a.nc", DAYS[:50], number=((), 0)), save("b.nc", DAYS[:50] + 50, number=((), 1))]
    with pytest.raises(InputError, match=r"from member 0 in .*a\.nc but from 1 in .*b\.nc"):
        open_cube(paths)


def test_monthly_and_daily_variables_are_no_cube(save):
    """The first of each month would be left: one day of the one, a mean of the other."""
    with pytest.raises(
        InputError, match=r"y has a time step of 1 month, but x has 1 day\. All variables must have"
    ):
        open_cube([save("day.nc", DAYS), save("month.nc", FIRSTS, "y")])


def test_hourly_and_six_hourly_variables_are_a_cube_of_their_common_steps(save):
    time = open_cube([save("a.nc", DAYS[:24] / 24), save("b.nc", DAYS[:24:6] / 24, "y")]).time
    assert (time.step, len(time)) == ("6 hours", 4)


def test_variables_that_share_steps_by_chance_are_no_cube(save):
    """The fifteenth of each month and its middle are the same in February alone."""
    lengths = np.diff([*FIRSTS, 365])
    years = np.concatenate([FIRSTS, FIRSTS + 365]), np.tile(lengths / 2, 2)
    paths = [save("a.nc", years[0] + 14), save("b.nc", years[0] + years[1], "y")]
    with pytest.raises(
        InputError, match=r"share only 2 of 24 time steps, 1 year apart \(their own steps are 1 month"
    ):
        open_cube(paths)


@pytest.mark.parametrize("later", [0, 365])
def test_daily_files_and_monthly_files_of_one_step_each_are_no_record(save, later):
    monthly = [save(f"month{n}.nc", [day + later + 0.5], seed=1) for n, day in enumerate(FIRSTS)]
    with pytest.raises(InputError, match=r"of 1 (day|month) in .*but of 1 (day|month) in"):
        open_cube([save("day.nc", DAYS), *monthly])


def test_a_year_and_files_of_one_month_each_are_compared_in_where_they_are_stamped(save):
    middles = [save(f"month{n}.nc", [day + 365]) for n, day in enumerate(MIDDLES)]
    with pytest.raises(InputError, match="stamped at another time of the month"):
        open_cube([save("year.nc", FIRSTS), *middles])


def test_files_of_one_day_each_go_on_from_a_daily_file(save):
    days = [save(f"day{n}.nc", [365.0 + n]) for n in range(5)]
    time = open_cube([save("year.nc", DAYS), *days]).time
    assert (len(time), time.step) == (370, "1 day")


@pytest.mark.parametrize("day", [0.0, 17.0, -4000.0])
def test_a_variable_of_one_step_that_is_asked_for_is_to_be_given_as_static(save, day):
    record = save("record.nc", DAYS[:30])
    mask = save("mask.nc", [0], variable="lsm")
    with xr.open_dataset(mask, decode_times=False) as ds:
        ds = ds.load().assign_coords(time=("time", [day], {"units": "days since 2001-01-01"}))
    ds.to_netcdf(mask)
    with pytest.raises(InputError, match=r"share (only 1 of 30|no) time step.*--static.*one time step: lsm"):
        open_cube([record, mask], variables=["x", "lsm"])
    static = open_record([record], DataConfig(static=(str(mask),))).constants
    assert static.static_names == ("lsm",)


@pytest.mark.parametrize(
    "days",
    [[365 + 14, 396 + 14], [365 + 14], [365 + 30], [365 + 31 + 27], [365 + 4], [365 + 4, 365 + 5]],
    ids=["fifteenths", "one fifteenth", "31 January", "28 February", "one day", "two days"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_file_of_a_step_or_two_that_is_stamped_otherwise_is_no_part_of_a_monthly_record(save, days, turned):
    paths = [save("year.nc", FIRSTS), save("more.nc", days)]
    with pytest.raises(
        InputError, match=r"(another time of the month|step of 1 month) in .*year\.nc.*more\.nc"
    ):
        open_cube(paths[::-1] if turned else paths)


def test_two_days_are_told_as_such_beside_months(save):
    with pytest.raises(InputError, match=r"step of 1 month in .*year\.nc but of 1 day in .*more\.nc"):
        open_cube([save("year.nc", FIRSTS), save("more.nc", [365, 366])])


def test_a_field_of_a_day_is_no_part_of_a_record_of_files_of_a_month_each(save):
    paths = [save(f"month{n}.nc", [day]) for n, day in enumerate(FIRSTS)]
    with pytest.raises(InputError, match=r"another time of the month in .*month\d+\.nc.* than in .*day\.nc"):
        open_cube([*paths, save("day.nc", [365 + 4])])


@pytest.mark.parametrize("place", [0, 14, 15, 27], ids=["firsts", "fifteenths", "sixteenths", "late"])
@pytest.mark.parametrize("months", [1, 2])
def test_a_month_or_two_that_are_stamped_alike_go_on_with_a_year(save, place, months):
    more = 365 + FIRSTS[:months] + place
    time = open_cube([save("year.nc", FIRSTS + place), save("more.nc", more)]).time
    assert (len(time), time.step, len(time.segments)) == (12 + months, "1 month", 1)


def test_months_after_a_gap_go_on_with_a_year(save):
    time = open_cube([save("year.nc", FIRSTS), save("more.nc", 365 + FIRSTS[[3, 7]])]).time
    assert (len(time), time.step) == (14, "1 month")


def test_two_steps_of_six_hours_are_no_part_of_a_daily_record(save):
    with pytest.raises(InputError, match=r"step of 1 day in .*year\.nc but of 6 hours in .*more\.nc"):
        open_cube([save("year.nc", DAYS), save("more.nc", [365.0, 365.25])])


def test_a_day_at_another_hour_than_those_before_is_told(save):
    cube = open_cube([save("year.nc", DAYS), save("more.nc", [365.5])])
    assert any("x is stamped at another place in its 1 day in" in note for note in cube.notes)
    assert not any(
        "another place" in note for note in open_cube([save("a.nc", DAYS), save("b.nc", [365])]).notes
    )


def test_days_in_pairs_may_fill_a_record_of_every_second_day(save):
    pairs = [save(f"pair{n}.nc", [n, n + 1]) for n in range(1, 19, 2)]
    time = open_cube([save("even.nc", DAYS[:20:2]), *pairs]).time
    assert (len(time), time.step) == (19, "1 day")


def test_months_that_are_stamped_here_and_there_go_on_so(save):
    """As those of GRACE, whose months are not whole."""
    days = FIRSTS + np.array([12, 15, 17, 13, 14, 16, 18, 12, 13, 15, 17, 16])
    assert len(open_cube([save("year.nc", days), save("more.nc", [365 + 8])]).time) == 13
    with pytest.raises(InputError, match="another time of the month"):
        open_cube([save("a.nc", days), save("b.nc", [365 + 2])])


def test_a_year_of_files_of_a_day_each_is_a_record(save):
    assert open_cube([save(f"day{n}.nc", [n + 0.5]) for n in range(20)]).time.step == "1 day"
