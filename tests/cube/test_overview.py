import json

import numpy as np
import pytest

from faconv_cli.cube.overview import overview


def test_a_small_cube_is_described_exactly(make_cube):
    fields = np.arange(10 * 2 * 3 * 4, dtype=float).reshape(10, 2, 3, 4)
    fields[:5, 1, 0, 0] = np.nan
    seen = overview(make_cube(fields, numbers=[0, 1, 2, 3, 4, 10, 11, 12, 13, 14]))
    first, second = seen["variables"]
    assert (first["min"], first["max"], first["missing_share"]) == (0, 227, 0)
    assert second["missing_share"] == pytest.approx(5 / 120)
    assert seen["values"]["steps_read"] == 10
    assert seen["time"]["gaps"] == [{"from": "1990-01-05", "to": "1990-01-11"}]
    assert seen["grid"]["shape"] == [3, 4]
    json.dumps(seen, allow_nan=False)


def test_a_large_cube_is_sampled_over_the_whole_record_and_says_so(make_cube):
    fields = np.zeros((1000, 1, 3, 4))
    fields[500:] = np.nan
    seen = overview(make_cube(fields), exact_bytes=16 * 48)
    assert seen["values"]["steps_read"] == 16
    assert seen["variables"][0]["missing_share"] == pytest.approx(0.5, abs=0.13)


def test_a_variable_without_any_value_has_no_range(make_cube):
    seen = overview(make_cube(np.full((5, 1, 3, 4), np.nan)))
    assert seen["variables"][0]["min"] is None
    assert seen["variables"][0]["missing_share"] == 1
