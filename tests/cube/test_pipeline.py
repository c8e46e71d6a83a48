"""Settings of the data, applied to files."""

import numpy as np

from faconv_cli.config import DataConfig
from faconv_cli.cube.pipeline import open_record
from tests.cube.conftest import ramp


def test_a_record_is_what_the_settings_choose(write):
    path = write(variables={"x": ramp(6, 3, 4), "y": ramp(6, 3, 4, start=7.0)})
    cube = open_record([path], DataConfig(variables=("y",), time_range="2001-01-03:2001-01-05"))
    assert [channel.name for channel in cube.channels] == ["y"]
    assert cube.time.labels == ["2001-01-03", "2001-01-04", "2001-01-05"]
    np.testing.assert_array_equal(cube.read(0, 3)[:, 0], ramp(6, 3, 4, start=7.0)[2:5])


def test_more_data_are_read_as_in_training_but_for_the_time_range():
    trained = DataConfig(variables=("y",), levels=(500.0,), time_range="2001:2002", time_dim="t")
    assert trained.replayed() == DataConfig(variables=("y",), levels=(500.0,), time_dim="t")
    assert trained.replayed(variables=("y=q",), time_dim=None).variables == ("y=q",)
