import itertools

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.read.masking import Found, Ledger, Screen, sentences

SHAPE = (6, 3, 4)
NUMBERS = itertools.count()
AT = (2, 1, 3)  # where the odd value is put


def stored(dtype, odd, ordinary=7):
    values = np.full(SHAPE, ordinary, dtype)
    values[AT] = odd
    return values


def opened(write, values, **attributes):
    """A cube of one variable stored as given, with attributes set after."""
    fill = attributes.pop("_FillValue", None)

    def edit(file):
        for name, value in attributes.items():
            file["x"].setncattr(name, value)

    return open_cube([write(f"{next(NUMBERS)}.nc", {"x": values}, edit=edit, fill_value=fill)])


def assert_masked_alone(cube, words, others):
    fields = cube.read(0, 6)[:, 0]
    assert np.argwhere(np.isnan(fields)).tolist() == [list(AT)]
    np.testing.assert_allclose(fields[0], others, rtol=1e-6)
    assert any("x: 1 values in 1 fields are" in text and words in text for text in cube.masked) == bool(words)
    assert "x: 1.4 % of the values are missing." in cube.masked


@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_netcdfs_own_fill_counts_as_missing_where_nothing_is_declared(write, kind):
    fill = netCDF4.default_fillvals[kind]
    assert_masked_alone(opened(write, stored(kind, fill)), "does not declare", 7)


@pytest.mark.parametrize("kind", ["i1", "u1"])
def test_each_byte_is_a_value(write, kind):
    cube = opened(write, stored(kind, netCDF4.default_fillvals[kind]))
    assert np.isfinite(cube.read(0, 6)).all()
    assert cube.masked == []


@pytest.mark.parametrize(
    ("kind", "scale"), [("i2", 0.01), ("i2", np.float32(0.25)), ("i4", 1e-6), ("u2", 3.0)]
)
def test_fill_that_nobody_declared_is_known_when_packed(write, kind, scale):
    values = stored(kind, netCDF4.default_fillvals[kind])
    cube = opened(write, values, scale_factor=scale, add_offset=type(scale)(273.15))
    assert_masked_alone(cube, "does not declare", 7 * float(scale) + 273.15)


def test_what_is_declared_is_masked_and_nothing_beside_it(write):
    values = stored("i2", -999)
    values[0, 0, 0] = netCDF4.default_fillvals["i2"]  # a value like others, as something else is the fill
    fields = opened(write, values, _FillValue=-999).read(0, 6)[:, 0]
    assert np.argwhere(np.isnan(fields)).tolist() == [list(AT)]
    assert fields[0, 0, 0] == -32767


@pytest.mark.parametrize("declared", [np.float32(-999), np.array([-999, -888], "f4"), "-999"])
def test_missing_value_is_heeded_also_as_a_list_or_as_text(write, declared):
    cube = opened(write, stored("f4", -999), missing_value=declared)
    assert_masked_alone(cube, "", 7)
    words = "its missing_value is the text '-999' and is read as the number -999"
    assert any(words in note for note in cube.notes) == isinstance(declared, str)


@pytest.mark.parametrize("odd", [np.inf, -np.inf])
def test_infinities_count_as_missing(write, odd):
    assert_masked_alone(opened(write, stored("f4", odd)), "infinite", 7)


@pytest.mark.parametrize("odd", [1e31, -9e33])
def test_what_lies_beyond_all_measure_counts_as_missing(write, odd):
    assert_masked_alone(opened(write, stored("f8", odd)), "does not declare", 7)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("odd", [1e20, -1e20, 9.999e20, np.float32(1e20), 1e30])
def test_fill_that_no_quantity_can_be_counts_as_missing_where_it_is_not_declared(write, kind, odd):
    assert_masked_alone(opened(write, stored(kind, odd)), "does not declare", 7)


def test_numbers_as_large_as_fill_are_values_where_they_are_not_its_digits(write):
    cube = opened(write, stored("f8", 1.7e20, ordinary=1.2e20))  # molecules in a column
    assert np.isfinite(cube.read(0, 6)).all()


@pytest.mark.parametrize(
    "attributes",
    [
        {"valid_max": np.float32(50)},
        {"valid_min": np.float32(7), "valid_max": np.float32(50)},
        {"valid_range": np.array([0, 50], "f4")},
    ],
)
def test_what_lies_outside_the_valid_range_counts_as_missing(write, attributes):
    assert_masked_alone(opened(write, stored("f4", 51), **attributes), "outside the valid range", 7)


def test_a_valid_range_of_integers_is_of_the_packed_numbers_and_one_of_floats_of_the_values(write):
    packing = {"scale_factor": 0.01, "add_offset": 300.0}
    packed = opened(write, stored("i2", 500), valid_range=np.array([-400, 400], "i2"), **packing)
    assert_masked_alone(packed, "outside the valid range", 300.07)
    unpacked = opened(write, stored("i2", 500), valid_range=np.array([296.0, 304.0]), **packing)
    assert_masked_alone(unpacked, "outside the valid range", 300.07)


def test_the_ends_of_the_valid_range_are_valid(write):
    packing = {"scale_factor": np.float32(0.01), "add_offset": np.float32(300.0)}
    for end in (-400, 400):
        cube = opened(write, stored("i2", end), valid_range=np.array([-400, 400], "i2"), **packing)
        assert np.isfinite(cube.read(0, 6)).all()


def test_unsigned_bytes_keep_their_upper_half_and_their_valid_range(write):
    values = stored("i1", -1, ordinary=-56)
    unsigned = opened(write, values, _Unsigned="true", scale_factor=np.float32(0.5))
    np.testing.assert_allclose(unsigned.read(0, 6)[0], 100)
    assert unsigned.read(2, 3)[0, 0, 1, 3] == 127.5
    bounded = opened(write, values, _Unsigned="true", valid_range=np.array([0, -6], "i1"))
    assert_masked_alone(bounded, "outside the valid range", 200)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"valid_max": np.int8(-6)}, "i1"),
        ({"valid_min": np.int8(0), "valid_max": np.int8(-6)}, "i1"),
        ({"valid_max": np.int16(250)}, "i1"),
        ({"valid_max": "-6b"}, "i1"),
    ],
)
def test_one_bound_of_unsigned_bytes_is_read_as_they_are(write, attributes, kind):
    cube = opened(write, stored(kind, -1, ordinary=-56), _Unsigned="true", **attributes)
    assert_masked_alone(cube, "outside the valid range", 200)
    least = opened(write, stored(kind, 5, ordinary=-56), _Unsigned="true", valid_min=np.int8(-56))
    assert_masked_alone(least, "outside the valid range", 200)


def test_one_bound_of_signed_bytes_that_are_stored_unsigned_is_read_as_they_are(write):
    cube = opened(write, stored("u1", 255, ordinary=200), _Unsigned="false", valid_max=np.uint8(200))
    assert_masked_alone(cube, "outside the valid range", -56)


@pytest.mark.parametrize(("scale", "value"), [(0.01, 300.07), (-0.01, 299.93)])
def test_one_bound_of_integers_is_of_the_packed_numbers_too(write, scale, value):
    packing = {"scale_factor": scale, "add_offset": 300.0}
    cube = opened(write, stored("i2", 500), valid_max=np.int16(400), **packing)
    assert_masked_alone(cube, "outside the valid range", value)
    cube = opened(write, stored("i2", 500), valid_max="400s", **packing)
    assert_masked_alone(cube, "outside the valid range", value)


@pytest.mark.parametrize(
    "attributes", [{"valid_max": "50.f"}, {"valid_range": "-1.e1f, 50.f"}, {"valid_range": ["0", "50"]}]
)
def test_bounds_in_text_are_read_as_numbers_and_told(write, attributes):
    cube = opened(write, stored("f4", 51), **attributes)
    assert_masked_alone(cube, "outside the valid range", 7)
    assert any(f"its {next(iter(attributes))} is the text" in note for note in cube.notes)


@pytest.mark.parametrize("bad", [np.array([50, 0], "f4"), np.array([1, 2, 3], "f4"), "0 50"])
def test_a_valid_range_that_is_none_is_not_heeded_and_that_is_said(write, bad):
    cube = opened(write, stored("f4", 51), valid_range=bad)
    assert np.isfinite(cube.read(0, 6)).all()
    assert any(
        note.endswith("x: its valid range is not two numbers in ascending order and is ignored.")
        for note in cube.notes
    )


def test_a_step_that_is_read_twice_counts_once(write):
    cube = opened(write, stored("f4", 1e31))
    for start, stop in ((0, 4), (2, 6), (0, 6)):
        cube.read(start, stop)
    assert cube.masked[0].startswith("x: 1 values in 1 fields")


def test_what_was_masked_is_told_for_what_was_read(write):
    cube = opened(write, stored("f4", 1e31))
    cube.read(0, 2)
    assert cube.masked == []
    cube.slice(2, 3).read(0, 1)
    assert "x: 2.8 % of the values are missing." in cube.masked


@given(st.integers(0, 5), st.integers(1, 6), st.randoms())
def test_how_a_record_is_read_never_changes_the_counts(start, length, random):
    fields = np.array([random.choice([1.0, np.nan, 3.0]) for _ in range(48)], np.float32).reshape(6, 2, 4)
    cut, whole = Ledger("x", 6), Ledger("x", 6)
    for ledger, spans in ((whole, [(0, 6)]), (cut, [(0, 6), (start, min(start + length, 6))])):
        for begin, end in spans:
            found = Found()
            found.add("missing", np.isnan(fields[begin:end]))
            ledger.enter(begin, fields[begin:end], found)
    assert sentences([cut]) == sentences([whole])


def test_a_screen_of_a_plain_variable_lets_everything_pass():
    screen, found = Screen.of(xr.Variable("x", np.zeros(1, "f4"))), Found()
    fields = np.array([[[-1e38, 0.0, np.nan]]])
    assert screen.masked(fields, found) is fields
    assert found.counts == {}
