"""Conversions that attributes leave open, and what values say of them."""

import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.read.readers import Held
from faconv_cli.cube.units.byvalue import settled, usual_value
from faconv_cli.errors import InputError

NOISE = np.random.default_rng(0).normal(size=(48, 3, 4))


def halves(tmp_path, name, units, values, **attributes):
    """Write a record in two files, each in its own units: (48, y, x) of values of each."""
    paths = []
    for number, (unit, fields) in enumerate(zip(units, values, strict=True)):
        half = slice(24 * number, 24 * number + 24)
        axes = {
            "time": xr.date_range("2000-01-01", periods=48, freq="MS")[half],
            "lat": ("lat", [-10.0, 0.0, 10.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 10.0, 20.0, 30.0], {"units": "degrees_east"}),
        }
        about = {"units": unit, **attributes}
        one = xr.DataArray(fields[half].astype("f4"), axes, ("time", "lat", "lon"), name, about)
        paths.append(tmp_path / f"{number}.nc")
        one.to_netcdf(paths[-1])
    return paths


def joined(*args, **attributes):
    cube = open_cube(halves(*args, **attributes))
    return cube.read(0, 48)[:, 0]


@pytest.mark.parametrize("units", [("K", "degC"), ("degC", "K"), ("K", "degF")])
def test_anomalies_that_nothing_calls_so_are_refused_in_two_units(tmp_path, units):
    with pytest.raises(
        InputError, match=r"x, joined with .*read as a temperature, but its values are about .* K\. "
    ):
        joined(tmp_path, "x", units, (NOISE, NOISE))


@pytest.mark.parametrize("name", ["ssta", "tasAnom"])
def test_anomalies_keep_their_zero_in_two_units(tmp_path, name):
    np.testing.assert_allclose(joined(tmp_path, name, ("K", "degC"), (NOISE, NOISE)), NOISE, rtol=1e-6)


def test_temperatures_that_are_called_anomalies_are_refused_in_two_units(tmp_path):
    values = NOISE + 280, NOISE + 6.85
    with pytest.raises(
        InputError, match=r"marked as anomalies or differences, but its values are about 2.* K\. "
    ):
        joined(tmp_path, "x", ("K", "degC"), values, long_name="temperature, cold anomaly corrected")


@pytest.mark.parametrize("about", [-60.0, 0.0, 30.0])
def test_temperatures_near_the_zero_of_celsius_are_converted(tmp_path, about):
    values = NOISE + about + 273.15, NOISE + about
    np.testing.assert_allclose(joined(tmp_path, "x", ("K", "degC"), values), values[0], rtol=1e-6)
    kelvin = values[0].astype("f4")
    got = joined(tmp_path, "y", ("degC", "K"), values[::-1])
    np.testing.assert_allclose(got, kelvin - 273.15, atol=1e-4)


def test_units_without_another_zero_are_converted_whatever_the_values(tmp_path):
    np.testing.assert_allclose(
        joined(tmp_path, "x", ("K", "degR"), (NOISE, 1.8 * NOISE)), NOISE, rtol=1e-5, atol=1e-6
    )


SALT = NOISE + 35


@pytest.mark.parametrize(
    "units",
    [
        ("psu", "1"),
        ("1", "psu"),
        ("1e-3", "1"),
        ("1", "0.001"),
        ("PSS-78", "psu"),
        ("g kg-1", "1"),
        ("psu", "1e-3"),
    ],
)
@pytest.mark.parametrize("name", ["so", "salinity"])
def test_practical_salinity_has_the_same_numbers_in_every_unit_of_it(tmp_path, name, units):
    np.testing.assert_allclose(joined(tmp_path, name, units, (SALT, SALT)), SALT, rtol=1e-6)


@pytest.mark.parametrize(
    ("units", "factors"),
    [(("psu", "1"), (1, 1e-3)), (("1", "1e-3"), (1e-3, 1)), (("g kg-1", "kg kg-1"), (1, 1e-3))],
)
def test_a_salinity_that_is_a_ratio_of_masses_by_its_values_is_converted(tmp_path, units, factors):
    values = [factor * SALT for factor in factors]
    got = joined(tmp_path, "x", units, values, standard_name="sea_water_salinity")
    np.testing.assert_allclose(got, factors[0] * SALT, rtol=1e-6)


def test_a_salinity_of_neither_unit_is_refused(tmp_path):
    with pytest.raises(
        InputError,
        match=r"so, joined with .*0\.nc, is a salinity in 1 to be read in psu, .* are about 35\d\d\.",
    ):
        joined(tmp_path, "so", ("psu", "1"), (SALT, 100 * SALT))


def test_anomalies_of_salinity_are_the_same_numbers(tmp_path):
    got = joined(tmp_path, "so", ("1e-3", "1"), (NOISE, NOISE), long_name="salinity anomaly")
    np.testing.assert_allclose(got, NOISE, rtol=1e-6)


@pytest.mark.parametrize("name", ["q", "so2"])
def test_thousandths_of_other_quantities_are_converted(tmp_path, name):
    got = joined(tmp_path, name, ("1", "1e-3"), (NOISE, 1000 * NOISE), long_name="a share")
    np.testing.assert_allclose(got, NOISE, rtol=1e-5, atol=1e-6)


def test_values_read_to_settle_a_conversion_count_in_no_ledger(tmp_path):
    cube = open_cube(halves(tmp_path, "x", ("K", "degC"), (NOISE + 280, NOISE + 6.85)))
    assert not any(ledger.values for ledger in cube.ledgers)


def test_the_usual_value_is_that_of_what_is_not_missing():
    fields = np.full((9, 2, 3), np.nan, np.float32)
    assert np.isnan(usual_value(Held(fields)))
    fields[0, 0, 0], fields[8, 1] = 1.0, [3.0, 5.0, np.nan]
    assert usual_value(Held(fields)) == 3.0


def test_what_is_not_known_of_the_other_side_leaves_a_salinity_as_it_is():
    change = settled(Channel("so", "psu"), "1", lambda: 35.0, lambda: np.nan, "so")
    assert change.trivial
