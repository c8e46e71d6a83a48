"""What attributes declare of stored numbers, in whatever form."""

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.open.declared import decoded
from faconv_cli.errors import InputError

SHAPE = (6, 3, 4)
AT = (2, 1, 3)  # where the odd value is put


def opened(write, values, **attributes):
    """A cube of one variable stored as given, with attributes set after; ``_FillValue`` goes by ``fill``."""
    fill = attributes.pop("fill", None)
    return open_cube(
        [write("a.nc", {"x": values}, edit=lambda file: file["x"].setncatts(attributes), fill_value=fill)]
    )


def stored(kind, odd, ordinary=7):
    values = np.full(SHAPE, ordinary, kind)
    values[AT] = odd
    return values


def missing_in(cube):
    return np.argwhere(np.isnan(cube.read(0, 6)[:, 0])).tolist()


@pytest.mark.parametrize(
    ("kind", "odd", "declared"),
    [
        ("f4", np.float32(-999.99), np.float64(-999.99)),
        ("f8", -999.99, np.float32(-999.99)),
        ("f8", np.float32(-999.99), np.float64(-999.99)),
        ("f4", np.float32(1.1e15), np.float64(1.1e15)),
        ("f4", -999, np.int32(-999)),
        ("i2", -999, np.float64(-999)),
        ("i4", -99, np.int16(-99)),
        ("f4", np.float32(-0.1), np.array([-5.5, -0.1])),
    ],
)
def test_missing_values_are_compared_in_the_type_of_the_data(write, kind, odd, declared):
    cube = opened(write, stored(kind, odd), missing_value=declared)
    assert missing_in(cube) == [list(AT)]
    assert cube.masked == ["x: 1.4 % of the values are missing."]


@pytest.mark.parametrize("declared", [np.float64(-89.99), np.float32(-89.99)])
def test_a_missing_value_of_what_is_packed_may_be_given_as_unpacked(write, declared):
    packing = {"scale_factor": 0.01, "add_offset": 10.0}
    cube = opened(write, stored("i2", -9999), missing_value=declared, **packing)
    assert missing_in(cube) == [list(AT)]
    np.testing.assert_allclose(cube.read(0, 1), 10.07, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "declared", "told"), [("i2", 1e20, "1e\\+20"), ("i2", -99.5, "-99.5"), ("f4", 1e300, "1e\\+300")]
)
def test_a_missing_value_that_the_type_cannot_hold_is_told(write, kind, declared, told):
    cube = opened(write, stored(kind, 8), missing_value=np.float64(declared))
    assert missing_in(cube) == []
    assert any(
        note.endswith("masks nothing.") and f"x: its missing_value {told}".replace("\\", "") in note
        for note in cube.notes
    )


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "t", "yes", "1", np.int8(1)])
def test_unsigned_is_read_in_any_spelling(write, word):
    cube = opened(write, stored("i1", -1, ordinary=-56), _Unsigned=word)
    np.testing.assert_array_equal(cube.read(0, 1), 200)
    assert cube.read(2, 3)[0, 0, 1, 3] == 255
    assert not any("_Unsigned" in note for note in cube.notes)


@pytest.mark.parametrize("word", ["false", "False", np.int8(0)])
def test_what_is_not_unsigned_stays_as_it_is_and_unsigned_storage_may_hold_signed_numbers(write, word):
    np.testing.assert_array_equal(opened(write, stored("i1", -1, -56), _Unsigned=word).read(0, 1), -56)
    np.testing.assert_array_equal(opened(write, stored("u1", 255, 200), _Unsigned=word).read(0, 1), -56)


def test_an_unsigned_of_no_meaning_is_told_and_not_heeded(write):
    cube = opened(write, stored("i1", -1, ordinary=-56), _Unsigned="perhaps")
    np.testing.assert_array_equal(cube.read(0, 1), -56)
    assert any("x: its _Unsigned is 'perhaps', which is neither" in note for note in cube.notes)


@pytest.mark.parametrize("declared", [{"fill": -1}, {"missing_value": np.int8(-1)}, {"missing_value": 255}])
def test_missing_values_of_unsigned_numbers_are_of_either_sign(write, declared):
    cube = opened(write, stored("i1", -1, ordinary=-56), _Unsigned="True", **declared)
    assert missing_in(cube) == [list(AT)]
    np.testing.assert_array_equal(cube.read(0, 1), 200)


def test_the_fill_of_signed_numbers_in_unsigned_storage_has_their_bits(write):
    """As OPeNDAP gives bytes: 130 stands for -126."""
    cube = opened(write, stored("u1", 130, ordinary=200), _Unsigned="false", fill=130)
    assert missing_in(cube) == [list(AT)]
    np.testing.assert_array_equal(cube.read(0, 1), -56)


def test_a_scale_that_is_the_text_of_a_number_is_read_and_told(write):
    cube = opened(write, stored("i2", 9), scale_factor="0.5")
    np.testing.assert_array_equal(cube.read(0, 1), 3.5)
    assert any(
        "x: its scale_factor is the text '0.5' and is read as the number 0.5." in note for note in cube.notes
    )


@pytest.mark.parametrize("scale", ["a half", np.array([0.5, 0.25]), 0.0, np.nan])
def test_a_scale_that_is_no_number_is_named_and_leaves_other_variables_alone(write, scale):
    with pytest.raises(InputError, match="x has a scale_factor that is not a usable number"):
        opened(write, stored("i2", 9), scale_factor=scale)
    path = write("two.nc", {"x": stored("i2", 9), "y": stored("f4", 1)})
    with xr.open_dataset(path, decode_cf=False) as raw:
        raw["x"].attrs["scale_factor"] = scale
        raw.load().to_netcdf(path.with_name("three.nc"))
    cube = open_cube([path.with_name("three.nc")])
    assert [channel.name for channel in cube.channels] == ["y"]
    assert "scale_factor" in cube.left_out["x"]


def test_a_coordinate_that_cannot_be_decoded_is_refused():
    raw = xr.Dataset(coords={"lat": ("lat", [1, 2], {"add_offset": "north"})})
    with pytest.raises(InputError, match=r"a\.nc: lat has an add_offset that is not a usable.*'north'"):
        decoded(raw, "a.nc")


def test_nothing_is_read_and_all_else_is_kept(write):
    path = write("a.nc", {"x": stored("i2", 9)}, edit=lambda file: file["x"].setncattr("long_name", "X"))
    raw = xr.open_dataset(path, decode_cf=False, cache=False)
    dataset = decoded(raw, "a.nc")
    assert dataset["x"].attrs["long_name"] == "X"
    assert not dataset["x"].variable._in_memory
    xr.testing.assert_identical(dataset.load(), xr.open_dataset(path, decode_times=False).load())


@pytest.mark.parametrize(
    ("kind", "odd", "text"),
    [
        ("f4", -9999, "-9999.f"),
        ("f4", np.float32(-999.99), "-999.99"),
        ("f8", -9999, "-9999.d"),
        ("f4", -9999, "-9999.s"),
        ("f4", np.float32(1.25e15), "1.25e15f"),
        ("f8", 1.25e15, " 1.25D15 "),
        ("i2", -32767, "-32767S"),
        ("i4", -9999, "-9999L"),
        ("f4", -888, "-9999, -888"),
        ("f4", -888, ["-9999", "-888.f"]),
    ],
)
def test_missing_values_in_text_are_read_as_c_and_cdl_write_them_and_told(write, kind, odd, text):
    cube = opened(write, stored(kind, odd), missing_value=text)
    assert missing_in(cube) == [list(AT)]
    assert any(
        "x: its missing_value is the text" in note and "read as the number" in note for note in cube.notes
    )


@pytest.mark.parametrize("text", ["NaN", "nan", "NaNf"])
def test_nan_in_text_is_nan(write, text):
    cube = opened(write, stored("f4", np.nan), missing_value=text)
    assert missing_in(cube) == [list(AT)]
    assert any("read as the number nan" in note for note in cube.notes)


@pytest.mark.parametrize("text", ["none", "-9999 K", "0x10", "n/a", "1_0"])
def test_a_missing_value_that_is_no_number_is_told_by_name(write, text):
    cube = opened(write, stored("f4", -9999), missing_value=text)
    assert missing_in(cube) == []
    told = next(note for note in cube.notes if "missing_value" in note)
    assert f"x: its missing_value is the text '{text}', which is not a number" in told
    assert "--missing-value" in told


@pytest.mark.parametrize("text", ["0.5f", "0.5d", "5.e-1f"])
def test_a_scale_in_text_may_have_the_endings_of_cdl(write, text):
    np.testing.assert_array_equal(opened(write, stored("i2", 9), scale_factor=text).read(0, 1), 3.5)


@pytest.mark.parametrize("name", ["_UNSIGNED", "_unsigned", "unsigned", "Unsigned"])
@pytest.mark.parametrize("word", ["true", "True", "YES", np.int8(1)])
def test_unsigned_is_read_in_any_spelling_and_told(write, name, word):
    cube = opened(write, stored("i1", -1, ordinary=-56), **{name: word})
    np.testing.assert_array_equal(cube.read(0, 1), 200)
    assert any(f"x: its {name} is read as _Unsigned, and its numbers are read as u" in n for n in cube.notes)


def test_unsigned_in_another_spelling_may_be_false_and_yields_to_the_right_one(write):
    values = stored("i1", -1, ordinary=-56)
    np.testing.assert_array_equal(opened(write, values, unsigned="false").read(0, 1), -56)
    cube = opened(write, values, UNSIGNED="false", _Unsigned="true")
    np.testing.assert_array_equal(cube.read(0, 1), 200)


@pytest.mark.parametrize("word", [True, "TRUE"])
def test_unsigned_is_read_from_zarr_as_well(tmp_path, word):
    y, x = np.arange(3.0), np.arange(4.0)
    dataset = xr.Dataset(
        {"x": (("time", "lat", "lon"), stored("i1", -1, ordinary=-56), {"unsigned": word})},
        {"time": np.arange("2000-01-01", "2000-01-07", dtype="M8[D]").astype("M8[ns]"), "lat": y, "lon": x},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    np.testing.assert_array_equal(open_cube([tmp_path / "a.zarr"]).read(0, 1), 200)
