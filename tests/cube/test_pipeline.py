"""Settings of the data, applied to files."""

import numpy as np
import pytest
import xarray as xr

from faconv_cli.config import DataConfig
from faconv_cli.cube.pipeline import open_record
from faconv_cli.errors import InputError
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


WINDS = {name: ramp(6, 3, 4, start) for name, start in (("u", 1.0), ("v", 2.0), ("t", 280.0))}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"variables": ("t",), "derive": ("w=hypot(u,v)",)}, ["t", "w"]),
        ({"variables": ("w", "t"), "derive": ("w=hypot(u,v)",)}, ["t", "w"]),
        ({"variables": ("u", "t"), "derive": ("w=hypot(u,v)",)}, ["u", "t", "w"]),
        ({"variables": ("w",), "derive": ("w=hypot(u,v)",)}, ["w"]),
        ({"derive": ("w=hypot(u,v)",)}, ["u", "v", "t", "w"]),
        ({"variables": ("a=u",), "derive": ("w=hypot(a,v)", "x=w-a")}, ["a", "w", "x"]),
    ],
)
def test_what_formulas_read_need_not_be_a_channel(write, settings, names):
    cube = open_record([write(variables=WINDS)], DataConfig(**settings))
    assert [channel.name for channel in cube.channels] == names
    wind = np.hypot(WINDS["u"], WINDS["v"])
    np.testing.assert_allclose(cube.read(1, 5)[:, names.index("w")], wind[1:5], rtol=1e-6)
    np.testing.assert_array_equal(cube.fields[1:5].to_numpy(), cube.read(1, 5))


def test_what_formulas_read_may_lie_in_another_file_and_share_its_steps(write):
    first = write("t.nc", {"t": WINDS["t"]})
    second = write("wind.nc", {"u": WINDS["u"][:4], "v": WINDS["v"][:4]}, hours=24.0 * np.arange(2, 6))
    cube = open_record([first, second], DataConfig(variables=("t",), derive=("w=u+v",)))
    assert cube.time.labels == ["2001-01-03", "2001-01-04", "2001-01-05", "2001-01-06"]
    np.testing.assert_array_equal(cube.read(0, 4)[:, 0], WINDS["t"][2:])
    np.testing.assert_allclose(cube.read(0, 4)[:, 1], (WINDS["u"] + WINDS["v"])[:4])


def test_of_a_variable_with_levels_a_formula_names_one(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float32)
    axes = {
        "time": xr.date_range("2001-01-01", periods=5),
        "level": ("level", [500.0, 850.0], {"units": "hPa", "positive": "down"}),
        "lat": ("lat", [0.0, 10, 20], {"units": "degrees_north"}),
        "lon": ("lon", [0.0, 10, 20, 30], {"units": "degrees_east"}),
    }
    heights = xr.DataArray(values, axes, ("time", "level", "lat", "lon"), "z", {"units": "m"})
    heights.to_netcdf(tmp_path / "z.nc")
    cube = open_record([tmp_path / "z.nc"], DataConfig(variables=("z500",), derive=("thick=z500-z850",)))
    assert [(c.name, c.units) for c in cube.channels] == [("z500", "m"), ("thick", "m")]
    np.testing.assert_allclose(cube.read(0, 5)[:, 1], values[:, 0] - values[:, 1], rtol=1e-6)
    with pytest.raises(
        InputError, match=r"no channel z, .*z500, z850. Use one of these .* with levels, name one"
    ):
        open_record([tmp_path / "z.nc"], DataConfig(derive=("x=z*2",)))


def test_members_one_after_another_are_averaged_and_cut_each_for_itself(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 200, 3, 4)).astype(np.float32)
    axes = {
        "number": ("number", [0, 1, 2], {"standard_name": "realization"}),
        "time": xr.date_range("2000-10-01", periods=200),
        "lat": ("lat", [0.0, 10, 20], {"units": "degrees_north"}),
        "lon": ("lon", [0.0, 10, 20, 30], {"units": "degrees_east"}),
    }
    data = xr.Dataset({"x": (("number", "time", "lat", "lon"), values)}, axes)
    data.to_netcdf(tmp_path / "x.nc")
    settings = DataConfig(member="all", smooth=3, season="DJF", time_range="2000:2001-01")
    cube = open_record([tmp_path / "x.nc"], settings)
    smooth = np.stack([values[:, max(0, step - 2) : step + 1].mean(1) for step in range(200)], 1)
    kept = data.time.dt.strftime("%Y-%m").isin(["2000-12", "2001-01"]).values
    np.testing.assert_allclose(
        cube.read(0, 186)[:, 0], smooth[:, kept].reshape(-1, 3, 4), rtol=1e-4, atol=1e-6
    )
    assert cube.time.segments == ((0, 62), (62, 124), (124, 186))
