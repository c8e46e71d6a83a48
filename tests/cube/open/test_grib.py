"""GRIB messages that share what cfgrib tells them apart by: none is dropped unseen."""

import eccodes
import numpy as np
import pytest

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError
from tests.cube.grib_files import LON, _grid, write_grib

DAYS = range(1, 7)
T2M = {"paramId": 167}
ERA5 = {"setLocalDefinition": 1, "localDefinitionNumber": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path):
    return lambda messages, **more: write_grib(tmp_path / "x.grib", messages, **more)


def first_point(cube, channel=0):
    return cube.read(0, cube.shape[0])[:, channel, 0, 0].tolist()


def names(cube):
    return [channel.name for channel in cube.channels]


def test_parameters_that_are_in_no_table_are_told_apart_by_their_numbers(write):
    code = {"discipline": 0, "parameterCategory": 200}
    path = write(
        [{**code, "parameterNumber": n, "day": d, "values": n + d} for d in DAYS for n in (201, 202)],
        edition=2,
    )
    cube = open_cube([path])
    assert names(cube) == ["unknown_0_200_201", "unknown_0_200_202"]
    assert first_point(cube, 0) == [201 + day for day in DAYS]
    assert first_point(cube, 1) == [202 + day for day in DAYS]
    assert any("ecCodes does not know this parameter" in note for note in cube.notes)
    assert names(open_cube([path], variables=["unknown_0_200_202"])) == ["unknown_0_200_202"]


def test_a_parameter_of_edition_1_that_is_in_no_table_has_its_numbers_as_its_name(write):
    messages = [
        {"table2Version": 250, "indicatorOfParameter": n, "day": d, "values": n + d}
        for d in DAYS
        for n in (1, 2)
    ]
    cube = open_cube([write(messages)])
    assert names(cube) == ["unknown_250_1", "unknown_250_2"]
    assert first_point(cube, 1) == [2 + day for day in DAYS]


def kinds(key, values, **more):
    """Two metre temperature of several kinds, each 10 more than the one before."""
    return [
        {**ERA5, **T2M, **more, key: value, "day": day, "values": 280 + day + 10 * number}
        for day in DAYS
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("key", "values", "option", "told"),
    [
        ("stream", ("oper", "enda"), "stream", "from stream oper in .* from enda in .*--stream"),
        ("dataType", ("an", "em", "es"), "data_type", "from data type an in .* from em in .*--data-type"),
    ],
)
def test_streams_and_types_are_chosen_between(write, key, values, option, told):
    path = write(kinds(key, values))
    with pytest.raises(InputError, match=told):
        open_cube([path])
    for number, value in enumerate(values):
        cube = open_cube([path], **{option: value})
        assert names(cube) == ["t2m"]
        assert first_point(cube) == [280 + day + 10 * number for day in DAYS]
    with pytest.raises(InputError, match=rf"which --{option.replace('_', '-')} xx leaves out"):
        open_cube([path], **{option: "xx"})


def test_the_other_variables_of_a_file_need_no_choice(write):
    path = write([*kinds("stream", ("oper", "enda")), *kinds("stream", ("oper",), paramId=151)])
    assert names(open_cube([path], variables=["msl"])) == ["msl"]


def test_control_and_perturbed_forecasts_are_members_of_one_ensemble(write):
    local = {"setLocalDefinition": 1, "localDefinitionNumber": 1, "stream": "enfo", "totalNumber": 3, **T2M}
    path = write(
        [
            {**local, "dataType": "pf" if n else "cf", "number": n, "day": d, "values": 10 * n + d}
            for d in DAYS
            for n in range(3)
        ]
    )
    assert open_cube([path], member="all").shape[0] == 3 * len(DAYS)
    assert first_point(open_cube([path], member="2")) == [20 + day for day in DAYS]


def versions(*days_of, values=(0, 5)):
    return [
        {**ERA5, **T2M, "experimentVersionNumber": version, "day": day, "values": 280 + day + more}
        for version, days, more in zip(("0001", "0005"), days_of, values, strict=True)
        for day in days
    ]


@pytest.mark.parametrize("preliminary_first", [True, False])
def test_final_data_are_taken_before_preliminary_ones_and_told(write, preliminary_first):
    messages = versions((1, 2, 3, 4), (3, 4, 5, 6))
    cube = open_cube([write(messages[::-1] if preliminary_first else messages)])
    assert first_point(cube) == [281, 282, 283, 284, 290, 291]
    assert "t2m: 2 messages of preliminary data are skipped, because final data exist (expver)." in cube.notes
    assert "t2m: 2 of 6 messages are preliminary data (experiment version 0005)." in cube.notes


def test_other_versions_of_a_step_are_refused_with_what_to_do(write):
    messages = [m | {"experimentVersionNumber": "b2aa"} for m in versions(DAYS, ())] + versions(
        DAYS, (), values=(7, 0)
    )
    with pytest.raises(InputError, match=r"6 messages of 2t with the time.*expver.*grib_copy -w"):
        open_cube([write(messages)])


def test_a_message_that_is_there_again_is_told_and_one_with_other_values_is_refused(write):
    once = [{**T2M, "day": day, "values": 280 + day} for day in DAYS]
    cube = open_cube([write([*once, *once[:2]])])
    assert cube.shape[0] == len(DAYS)
    assert "t2m: 2 duplicate messages with equal values are skipped." in cube.notes
    with pytest.raises(InputError, match=r"1 messages of 2t with the time.*differ in nothing else"):
        open_cube([write([*once, once[0] | {"values": 3}])])


def test_percentiles_of_one_time_are_refused_by_their_key(write):
    kinds = {"productDefinitionTemplateNumber": 6, **T2M}
    messages = [
        {**kinds, "percentileValue": value, "day": day, "values": value + day}
        for day in DAYS
        for value in (10, 90)
    ]
    with pytest.raises(
        InputError, match=r"they differ in percentileValue 10 and 90.*grib_copy -w percentileValue"
    ):
        open_cube([write(messages, edition=2)])


def test_of_many_messages_that_are_there_again_the_note_says_how_many_were_compared(write):
    once = [{**T2M, "day": 1, "dataTime": 100 * hour, "values": 280 + hour} for hour in range(24)]
    cube = open_cube([write([*once, *once])])
    assert any("24 duplicate messages with equal values (16 of them compared)" in n for n in cube.notes)


def test_what_is_wrong_with_a_variable_is_no_matter_to_another(write):
    twice = [{**T2M, "day": day, "values": v} for day in DAYS for v in (280, 281)]
    path = write([*twice, *({"paramId": 151, "day": day, "values": day} for day in DAYS)])
    assert first_point(open_cube([path], variables=["msl"])) == list(DAYS)
    with pytest.raises(InputError, match="6 messages of 2t"):
        open_cube([path], variables=["t2m"])


def test_layers_that_cfgrib_takes_for_one_level_are_refused_with_what_tells_them_apart(write):
    """Of a layer cfgrib sees the top; soil layers from 0 m down are several at one level."""
    layers = [
        {
            "discipline": 2,
            "parameterCategory": 0,
            "parameterNumber": 2,
            "typeOfFirstFixedSurface": 106,
            "typeOfSecondFixedSurface": 106,
            "scaledValueOfFirstFixedSurface": 0,
            "scaleFactorOfFirstFixedSurface": 0,
            "scaledValueOfSecondFixedSurface": bottom,
            "scaleFactorOfSecondFixedSurface": 0,
            "day": day,
            "values": bottom + day,
        }
        for day in DAYS
        for bottom in (1, 2)
    ]
    with pytest.raises(InputError, match=r"6 messages of .* with the time.*bottomLevel"):
        open_cube([write(layers, edition=2)])


def test_periods_that_end_together_are_refused_with_what_tells_them_apart(write):
    """As of GFS: precipitation of the last three hours, and since the start."""
    both = [
        {"paramId": 228, "day": day, "stepType": "accum", "stepRange": period, "values": number}
        for day in DAYS
        for number, period in enumerate(("0-6", "3-6"))
    ]
    with pytest.raises(InputError, match=r"6 messages of tp.*0-6 and 3-6"):
        open_cube([write(both)])


def test_grids_of_one_size_in_one_file_are_not_mixed(write):
    """cfgrib puts all of them on the grid of the first."""
    grids = [{**T2M, **_grid(lon0), "day": day, "values": lon0 + day} for day in DAYS for lon0 in (0.0, 15.0)]
    with pytest.raises(InputError, match="a different grid"):
        open_cube([write(grids)])


def test_an_index_of_another_file_of_the_same_name_time_and_size_is_not_used(write, tmp_path):
    import os

    path = write([{**T2M, "day": day, "values": 280 + day} for day in DAYS])
    assert first_point(open_cube([path]))[0] == 281
    before = path.stat()
    write([{**T2M, "day": day, "values": 290 + day} for day in reversed(DAYS)])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert first_point(open_cube([path])) == [290 + day for day in DAYS]


def test_what_eccodes_does_not_read_is_told(write, monkeypatch):
    path = write([{**T2M, "day": day, "values": day} for day in DAYS])
    monkeypatch.setattr("faconv_cli.cube.open.formats.grib_count", lambda file: len(DAYS) + 1)
    with pytest.raises(InputError, match="ecCodes reads 6 of 7 messages"):
        open_cube([path])


def scanned(path, **keys):
    """One day of values that all differ, on points that are scanned otherwise."""
    values = np.arange(72.0).reshape(6, 12)
    first, last = LON[0], LON[-1]
    if keys.get("iScansNegatively"):
        keys |= {"longitudeOfFirstGridPointInDegrees": last, "longitudeOfLastGridPointInDegrees": first}
    return write_grib(path, [{**T2M, **keys, "day": day, "values": values + 100 * day} for day in DAYS])


@pytest.mark.parametrize("keys", [{}, {"iScansNegatively": 1}])
def test_points_scanned_from_east_to_west_are_where_eccodes_has_them(tmp_path, keys):
    path = scanned(tmp_path / "x.grib", **keys)
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
        keys = ("latitudes", "longitudes", "values")
        lat, lon, values = (eccodes.codes_get_array(handle, key) for key in keys)
        eccodes.codes_release(handle)
    truth = dict(zip(zip(lat.round(), lon.round(), strict=True), values, strict=True))
    cube = open_cube([path])
    field = cube.read(0, 1)[0, 0]
    for (row, column), value in np.ndenumerate(field):
        assert value == truth[round(cube.grid.lat[row]), round(cube.grid.lon[column]) % 360]
