"""Values that may stand for missing data: told, and left as they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.read.suspects import extremes, percent, suspicions

RNG = np.random.default_rng(0)


def told_of(fields):
    """What is told of fields (t, y, x)."""
    found = np.array([extremes(field, int(np.isnan(field).sum())) for field in fields.astype(np.float32)])
    return suspicions("x", found, fields.size)


def temperatures(t=20, odd=None, share=0.1):
    fields = RNG.normal(280, 10, (t, 8, 10))
    if odd is not None:
        fields[:, RNG.uniform(size=(8, 10)) < share] = odd
        fields[:, 0, 0] = odd
    return fields


@pytest.mark.parametrize("odd", [-9999, -999.99, -999, 9999, 32767, 0, 1e15, -99])
def test_a_frequent_extreme_far_from_all_others_is_told_with_what_to_do(odd):
    (told,) = told_of(temperatures(odd=odd))
    where = "lowest" if odd < 280 else "highest"
    assert told.startswith(f"x: {odd:.6g} is the {where} value")
    assert "in 20 fields; all others lie between 2" in told
    assert f"--missing-value {odd:.6g}" in told


@pytest.mark.parametrize(
    "fields",
    [
        temperatures(),
        np.maximum(RNG.normal(-1, 1, (20, 8, 10)), 0),  # rain
        np.where(RNG.uniform(size=(20, 8, 10)) < 0.5, 0.0, 1.0),  # a mask
        np.full((20, 8, 10), np.nan),
        np.full((20, 8, 10), 3.0),
        np.where(RNG.uniform(size=(20, 8, 10)) < 0.9, 0.0, RNG.uniform(0, 9, (20, 8, 10))),  # snow
        np.clip(RNG.normal(90, 20, (20, 8, 10)), 0, 100),  # relative humidity
    ],
)
def test_zeros_limits_and_masks_are_no_suspects(fields):
    assert told_of(fields) == []


def test_customary_fill_is_told_even_where_the_quantity_reaches_as_far():
    fields = RNG.uniform(-500, 60000, (20, 8, 10))
    fields[:, 3, :4] = -999
    (told,) = told_of(fields)
    assert told.startswith("x: -999 is the lowest value, with 5 % of the values, in 20 fields")


@pytest.mark.parametrize(("odd", "told"), [(-99, 1), (254, 1), (255, 1), (-254, 0), (99, 0)])
def test_flags_of_one_sign_are_told_within_the_range_of_the_other_values(odd, told):
    fields = RNG.uniform(*((-90, 240) if abs(odd) > 200 or odd < 0 else (0, 90)), (20, 8, 10))
    fields[:, 3, :4] = odd
    assert len(told_of(fields)) == told


@pytest.mark.parametrize(("outlier", "told"), [(-9999, 1), (1e20, 1), (0, 0), (600, 0)])
def test_a_single_value_is_suspicious_only_very_far_from_all_others(outlier, told):
    fields = temperatures()
    fields[3, 2, 2] = outlier
    assert len(told_of(fields)) == told


@pytest.mark.parametrize(("fill", "told"), [(-9999, 1), (999, 1), (281, 0)])
def test_a_step_that_is_wholly_fill_is_told_in_however_long_a_record(fill, told):
    fields = temperatures(400)
    fields[300] = fill
    found = told_of(fields)
    assert len(found) == told
    assert all("0.25 % of the values, in 1 fields" in note for note in found)


def test_a_field_of_fill_alone_is_part_of_it():
    fields = temperatures(odd=-9999)
    fields[5] = -9999
    assert "in 20 fields; all others lie between 2" in told_of(fields)[0]


def test_low_and_high_are_mirrored():
    fields = temperatures(odd=-9999)
    (low,), (high,) = told_of(fields), told_of(-fields)
    assert high.startswith("x: 9999 is the highest value")
    assert low.split(",")[1:2] == high.split(",")[1:2]


@given(st.integers(1, 5), st.sampled_from([None, -9999.0, 0.0]))
def test_how_a_record_is_cut_into_fields_does_not_change_what_is_told(parts, odd):
    fields = temperatures(t=parts * 4, odd=odd).astype(np.float32)
    whole = np.array([extremes(field, 0) for field in fields])
    assert suspicions("x", whole, fields.size) == suspicions("x", whole[::-1], fields.size)
    if odd is None:
        assert suspicions("x", whole, fields.size) == []


def test_values_that_are_named_count_as_missing_and_are_no_suspects_any_more(write):
    fields = temperatures(6, odd=-9999)[:, :3, :4].astype(np.float32)
    path = write("a.nc", {"x": fields})
    plain, named = open_cube([path]), open_cube([path], missing_value=[-9999.0, 5.0])
    for cube in (plain, named):
        cube.read(0, 6)
    assert any("--missing-value -9999" in text for text in plain.masked)
    np.testing.assert_array_equal(np.isnan(named.read(0, 6)[:, 0]), fields == -9999)
    assert any("are equal to --missing-value; they count as missing" in text for text in named.masked)
    assert not any("pass --missing-value" in text for text in named.masked)


def test_a_named_value_of_packed_data_is_the_unpacked_one(write):
    values = np.full((6, 3, 4), 7, "i2")
    values[2, 1, 3] = -9999

    def edit(file):
        file["x"].setncatts({"scale_factor": np.float32(0.01), "add_offset": np.float32(273.15)})

    cube = open_cube([write("a.nc", {"x": values}, edit=edit)], missing_value=[173.16])
    assert np.argwhere(np.isnan(cube.read(0, 6)[:, 0])).tolist() == [[2, 1, 3]]


@pytest.mark.parametrize(
    ("part", "told"),
    [(1, "0.1 %"), (14, "1.4 %"), (123, "12 %"), (995, "99.5 %"), (999, "99.9 %"), (1000, "100 %")],
)
def test_shares_are_told_in_plain_numbers_and_all_is_only_all(part, told):
    assert percent(part, 1000) == told
    assert percent(999_999, 1_000_000) == "99.99 %"
