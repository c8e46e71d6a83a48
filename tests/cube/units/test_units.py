import sys

import numpy as np
import pytest

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.shape.trainedunits import in_units
from faconv_cli.cube.units.units import conversion, units_metadata
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
        ("mb", "Pa", 1013.0, 101300.0),
        ("hpa", "Pa", 1.0, 100.0),
        ("gpdm", "m", 552.0, 5520.0),
        ("psu", "kg kg-1", 35.0, 0.035),
        ("%", "(0 - 1)", 50.0, 0.5),
        ("okta", "1", 8.0, 1.0),
        ("deg", "radian", 180.0, np.pi),
        ("Sv", "m3 s-1", 2.0, 2e6),
        ("m of water equivalent", "kg m-2", 0.5, 500.0),
        ("mm/month", "cm month-1", 30.0, 3.0),
        ("ppmv", "mol mol-1", 400.0, 4e-4),
        ("degC day-1", "K s-1", 86400.0, 1.0),
    ],
)
def test_numbers_are_converted_between_units_of_one_quantity(units, wanted, number, expected):
    change = conversion(units, wanted)
    assert change.factor * number + change.offset == pytest.approx(expected, abs=1e-9)
    assert not change.trivial


@pytest.mark.parametrize(
    "spelling",
    [
        "degrees Celsius",
        "degree Celsius",
        "Degrees Celsius",
        "deg Celsius",
        "degree C",
        "degrees C",
        "deg. C",
        "deg_C",
        "DEGC",
        "°C",
        "º C",
        "C",
        "celcius",
        "degrees centigrade",
    ],
)
def test_however_celsius_is_spelt_zero_is_where_water_freezes(spelling):
    for wanted, zero in (("K", 273.15), ("degF", 32.0)):
        change = conversion(spelling, wanted)
        assert change.offset == pytest.approx(zero)
    assert conversion(spelling, "degC").trivial
    assert conversion("K", spelling).offset == pytest.approx(-273.15)


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ("Celsius degrees", "K"),
        ("2 K", "K"),
        ("K @ 100", "K"),
        ("Pa @ 100", "Pa"),
        ("degree", "1"),
        ("degree", "%"),
        ("W m-2 sr-1", "W m-2"),
        ("mb", "m2"),
        ("Sv", "m2 s-2"),
        ("ppmv", "kg kg-1"),
        ("m3 m-3", "kg kg-1"),
        ("mm/month", "mm/day"),
        ("mm yr-1", "mm day-1"),
        ("gpm", "m2 s-2"),
        ("m of water equivalent", "m"),
    ],
)
def test_what_udunits_would_convert_but_no_quantity_can_be_is_refused(units, wanted):
    assert conversion(units, wanted) is None
    assert conversion(wanted, units) is None


@pytest.mark.parametrize(("units", "wanted", "factor"), [("degC", "K", 1.0), ("degF", "degC", 5 / 9)])
def test_differences_of_temperatures_are_scaled_and_not_shifted(units, wanted, factor):
    change = conversion(units, wanted, difference=True)
    assert change.factor == pytest.approx(factor)
    assert change.offset == 0


def test_temperatures_say_in_files_whether_they_are_differences():
    told = {
        (units, difference): units_metadata(Channel("x", units, difference=difference))
        for units in ("degC", "Pa", "")
        for difference in (True, False)
    }
    assert {key: text for key, text in told.items() if text} == {
        ("degC", True): "temperature: difference",
        ("degC", False): "temperature: on_scale",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("psu", "1"),
        ("PSS-78", "g kg-1"),
        ("m/s", "m s-1"),
        ("m s**-1", "m s-1"),
        ("K", "kelvin"),
        ("W m**-2", "W/m2"),
        ("x", "x"),
        ("", ""),
    ],
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


def test_anomalies_keep_their_zero_in_other_units(make_cube):
    fields = np.random.default_rng(0).normal(0, 3, (9, 1, 2, 3)).astype(np.float32)
    cube = make_cube(fields)
    object.__setattr__(cube, "channels", (Channel("v0", "degC", difference=True),))
    kelvin = in_units(cube, {"v0": "K"})
    np.testing.assert_allclose(kelvin.read(0, 9), fields, rtol=1e-6)
    assert kelvin.channels[0].units == "K"


def test_units_that_cannot_be_converted_are_refused_with_both_named(make_cube):
    cube = make_cube(np.zeros((9, 1, 2, 2)))
    object.__setattr__(cube, "channels", (Channel("v0", "Pa"),))
    with pytest.raises(CheckpointError, match=r"v0 is in Pa.*trained in K"):
        in_units(cube, {"v0": "K"})


def test_without_the_library_equal_units_pass_and_others_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cf_units", None)
    assert conversion("K", "K").trivial
    assert conversion("degC", "K") is None
