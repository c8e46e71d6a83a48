import sys

import numpy as np
import pytest

from faconv_cli.cube.cube import Channel
from faconv_cli.cube.units import conversion, in_units
from faconv_cli.errors import CheckpointError


@pytest.mark.parametrize(
    ("units", "wanted", "number", "expected"),
    [
        ("degC", "K", 20.0, 293.15),
        ("celsius", "kelvin", 0.0, 273.15),
        ("K", "degC", 273.15, 0.0),
        ("degF", "K", 32.0, 273.15),
        ("hPa", "Pa", 1013.0, 101300.0),
        ("mm day-1", "m s-1", 86.4, 1e-6),
        ("%", "1", 50.0, 0.5),
        ("g kg-1", "kg/kg", 3.0, 3e-3),
    ],
)
def test_numbers_are_converted_between_units_of_one_quantity(units, wanted, number, expected):
    change = conversion(units, wanted)
    assert change.factor * number + change.offset == pytest.approx(expected, abs=1e-9)
    assert not change.trivial


@pytest.mark.parametrize(
    ("one", "other"),
    [("m/s", "m s-1"), ("m s**-1", "m s-1"), ("K", "kelvin"), ("W m**-2", "W/m2"), ("x", "x"), ("", "")],
)
def test_two_spellings_of_one_unit_are_the_same(one, other):
    assert conversion(one, other).trivial


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ("K", "Pa"),
        ("", "K"),
        ("K", ""),
        ("bananas", "K"),
        ("days since 2000-01-01", "K"),
        ("dB", "1"),
        ("m", "kg m-2"),
    ],
)
def test_other_quantities_unknown_units_and_logarithms_are_not_converted(units, wanted):
    assert conversion(units, wanted) is None


def test_channels_are_converted_as_they_are_read(make_cube):
    fields = np.random.default_rng(0).normal(15, 3, (20, 2, 2, 3)).astype(np.float32)
    fields[3, 0, 1] = np.nan
    cube = make_cube(fields)
    object.__setattr__(cube, "channels", (Channel("v0", "degC"), Channel("v1", "m/s")))
    kelvin = in_units(cube, {"v0": "K", "v1": "m s-1"})
    expected = fields.astype(float)
    expected[:, 0] += 273.15
    np.testing.assert_allclose(kelvin.read(0, 20), expected, rtol=1e-6)
    assert [channel.units for channel in kelvin.channels] == ["K", "m s-1"]
    assert kelvin.notes == ("v0 is converted from degC to K.",)
    np.testing.assert_array_equal(kelvin.read(5, 7), kelvin.read(0, 20)[5:7])
    np.testing.assert_array_equal(kelvin.read(0, 20)[:, 1], fields[:, 1])


def test_units_that_cannot_be_converted_are_refused_with_both_named(make_cube):
    cube = make_cube(np.zeros((9, 1, 2, 2)))
    object.__setattr__(cube, "channels", (Channel("v0", "Pa"),))
    with pytest.raises(CheckpointError, match=r"v0 is in Pa.*trained on K"):
        in_units(cube, {"v0": "K"})


def test_without_the_library_equal_units_pass_and_others_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cf_units", None)
    assert conversion("K", "K").trivial
    assert conversion("degC", "K") is None
