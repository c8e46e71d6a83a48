"""The files that are shipped hold what their README says."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr


def open_grib(path):
    return xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""})


@pytest.fixture(scope="module")
def netcdf(sample_data):
    with xr.open_dataset(sample_data / "ostia_monthly.nc") as data:
        yield data.load()


@pytest.fixture(scope="module")
def grib(sample_data):
    with open_grib(sample_data / "ostia_monthly.grib") as data:
        yield data.load()


def test_grib_and_netcdf_hold_the_same_values_at_the_same_times(netcdf, grib):
    np.testing.assert_array_equal(grib["time"], netcdf["time"])
    np.testing.assert_array_equal(grib["sst"].values[:, ::-1], netcdf["surface_temperature"].values)
    assert grib["sst"].attrs["units"] == netcdf["surface_temperature"].attrs["units"] == "K"


def test_grib_has_the_same_grid_with_rows_from_north_to_south(netcdf, grib):
    np.testing.assert_allclose(grib["longitude"], netcdf["longitude"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(grib["latitude"][::-1], netcdf["latitude"], atol=1e-4, rtol=0)
    assert (np.diff(grib["latitude"]) < 0).all()


@pytest.mark.slow
def test_script_makes_the_grib_file_again(sample_data, tmp_path, grib):
    again = tmp_path / "again.grib"
    made = subprocess.run(
        [sys.executable, sample_data / "make_grib.py", again], check=True, capture_output=True, text=True
    )
    assert (made.stdout, made.stderr) == ("", "")
    with open_grib(again) as remade:
        xr.testing.assert_equal(remade.load(), grib)


def test_files_are_as_the_readme_says(sample_data, netcdf):
    readme = (sample_data / "README.md").read_text(encoding="utf-8")
    digest = hashlib.sha256((sample_data / "ostia_monthly.nc").read_bytes()).hexdigest()
    assert digest in readme
    assert netcdf["surface_temperature"].shape == (54, 18, 432)
    assert round(float(netcdf["surface_temperature"].isnull().mean()), 2) == 0.26
    for path in sample_data.iterdir():
        assert path.name in readme or path.name in {"README.md", "__pycache__"}


def test_licence_names_what_it_covers(sample_data):
    licence = (sample_data / "LICENCE-OGL.txt").read_text(encoding="utf-8")
    assert "licensed under the Open Government Licence" in licence
    assert "British Crown copyright" in licence
    assert "ostia_monthly.nc" in licence
    assert "ostia_monthly.grib" in licence
