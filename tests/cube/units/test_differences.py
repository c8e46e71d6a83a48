"""Which variables hold differences, by what they say of themselves."""

import pytest

from faconv_cli.cube.units.differences import is_difference


@pytest.mark.parametrize(
    ("attributes", "difference"),
    [
        ({"standard_name": "air_temperature_anomaly"}, True),
        ({"standard_name": "air_temperature"}, False),
        ({"units_metadata": "temperature: difference"}, True),
        ({"units_metadata": "temperature: on_scale", "long_name": "anomaly, really"}, False),
        ({"long_name": "Extended reconstructed SST anomalies"}, True),
        ({"long_name": "Temperature of the anomalocaris"}, False),
        ({"name": "sst_anom"}, True),
        ({"cell_methods": "time: standard_deviation"}, True),
        ({"cell_methods": "time: mean"}, False),
        ({"standard_name": "dew_point_depression"}, True),
        ({"standard_name": "sea_surface_temperature standard_error"}, True),
        ({"long_name": "near-surface diurnal temperature range"}, True),
        ({"name": "dtr"}, True),
        ({"long_name": "Dewpoint depression"}, True),
        ({"long_name": "departure from normal"}, True),
        ({"long_name": "SST bias of the satellite"}, True),
        ({"long_name": "Temperature minus climatology"}, True),
        ({"long_name": "analysed SST uncertainty"}, True),
        ({"long_name": "long-range forecast of temperature"}, False),
        ({"long_name": "temperature of the widespread layer"}, False),
    ],
)
def test_what_holds_differences_says_so_by_its_attributes_or_names(attributes, difference):
    assert is_difference(**{"name": "t", "long_name": "", "standard_name": ""} | attributes) == difference


FULL = {"standard_name": "air_temperature"}


@pytest.mark.parametrize(
    "long_name",
    [
        "Bias-Adjusted Near-Surface Air Temperature",
        "bias-corrected air temperature",
        "Bias Corrected 2m temperature",
        "2m temperature, bias corrected",
        "lapse rate corrected 2m temperature",
        "lapse-rate-corrected 2m temperature",
        "temperature adjusted for lapse rate",
        "error-corrected temperature",
        "temperature after bias removal",
        "temperature and its uncertainty",
        "temperature with standard error",
        "mean daily temperature (spread over the day)",
        "Temperature (no bias adjustment)",
        "temperature without bias adjustment",
        "debiased temperature",
    ],
)
@pytest.mark.parametrize("more", [{}, FULL])
def test_a_corrected_temperature_is_no_difference(long_name, more):
    assert not is_difference(**{"name": "tas", "long_name": long_name, "standard_name": ""} | more)


@pytest.mark.parametrize(
    "name", ["tasAdjust", "tas_bias_corrected", "tasBiasAdjusted", "tas_bias_adj", "t_biascorr"]
)
def test_a_name_of_corrected_values_is_none_of_differences(name):
    assert not is_difference(name, "", "")


@pytest.mark.parametrize(
    "long_name",
    [
        "2m temperature anomaly",
        "bias-corrected temperature anomaly",
        "ensemble standard deviation of 2m temperature",
        "2m temperature ensemble spread",
        "uncertainty of the temperature",
        "temperature bias",
        "temperature difference (model minus observations)",
        "analysis increment of temperature",
        "departure from normal",
    ],
)
@pytest.mark.parametrize("more", [{}, FULL])
def test_a_difference_is_one_whatever_its_standard_name(long_name, more):
    assert is_difference(**{"name": "t", "long_name": long_name, "standard_name": ""} | more)


def test_words_that_are_said_beside_a_standard_name_are_outweighed_by_it():
    told = "temperature error model 3, analysed"
    assert is_difference("t", told, "")
    assert not is_difference("t", told, "air_temperature")


@pytest.mark.parametrize(
    "name",
    [
        "ssta",
        "SSTA",
        "tasAnom",
        "sstAnomaly",
        "tas_adj_anom",
        "tas_anom_corr",
        "tanom",
        "anomt",
        "anom",
        "anoms",
        "sst_ano",
        "ano",
        "t2ma",
        "TAnom",
        "t2m_anomalies",
        "sstanom",
        "dtr",
        "sst_bias",
        "sstBias",
        "sst_uncertainty",
    ],
)
def test_anomalies_are_known_by_their_name_alone(name):
    assert is_difference(name, "test", "")


@pytest.mark.parametrize(
    "name",
    ["sst", "tas", "TSA", "volcano", "piano_t", "nanometers", "t_nano", "phenology", "terror_t"],
)
def test_names_that_only_look_like_anomalies_are_none(name):
    assert not is_difference(name, "test", "")


@pytest.mark.parametrize(
    ("cell_methods", "difference"),
    [
        ("time: range", True),
        ("time: maximum within days time: range over days", True),
        ("time: mean (interval: 1 day comment: range checked)", False),
    ],
)
def test_a_range_is_a_cell_method_and_no_comment_on_one(cell_methods, difference):
    assert is_difference("t", "", "air_temperature", cell_methods) == difference


def test_units_metadata_that_say_nothing_leave_it_to_the_names():
    assert is_difference("t", "SST anomaly", "", "", "temperature: unknown")
    assert not is_difference("t", "SST", "", "", "temperature: unknown")
