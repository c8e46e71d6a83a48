import numpy as np
import pytest
import xarray as xr

from faconv_cli.errors import InputError
from faconv_cli.regimes.embedding import read_embedding
from tests.regimes.planted import SHA, days, planted, write_embedding


def test_an_embedding_file_is_read_whole(tmp_path):
    x, _ = planted(steps=20)
    x[5] = np.nan
    found = read_embedding(write_embedding(tmp_path / "e.nc", x, flag=[1] * 3 + [0] * 17))
    np.testing.assert_array_equal(found.values, x.astype(np.float32))
    assert found.values.dtype == np.float64
    assert (found.checkpoint, found.history, found.source) == (SHA, "made by a test", str(tmp_path / "e.nc"))
    np.testing.assert_array_equal(np.flatnonzero(~found.valid), [5])
    np.testing.assert_array_equal(np.flatnonzero(~found.warm), [0, 1, 2, 5])
    assert found.time.step == "1 day"


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_any_calendar_and_gaps_are_read(tmp_path, calendar):
    time = xr.date_range("1999-12-01", periods=90, calendar=calendar, use_cftime=calendar != "standard")
    time = np.concatenate([time.values[:30], time.values[60:]])
    found = read_embedding(write_embedding(tmp_path / "e.nc", np.ones((60, 2)), time))
    assert len(found.time.segments) == 2
    assert found.time.calendar == ("proleptic_gregorian" if calendar == "standard" else calendar)


def test_an_embedding_of_another_program_needs_no_flags(tmp_path):
    xr.Dataset({"embedding": (("time", "mode"), np.ones((4, 2)))}, {"time": days(4)}).to_netcdf(
        tmp_path / "e.nc"
    )
    found = read_embedding(tmp_path / "e.nc")
    assert found.warm.all()
    assert found.checkpoint == ""


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.nc: no such file"):
        read_embedding(tmp_path / "none.nc")


def test_text_named_nc_is_not_netcdf(tmp_path):
    (tmp_path / "text.nc").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as NetCDF"):
        read_embedding(tmp_path / "text.nc")


def test_a_truncated_file_is_not_netcdf(tmp_path):
    path = write_embedding(tmp_path / "e.nc", planted()[0])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read as NetCDF"):
        read_embedding(path)


def test_times_that_cannot_be_decoded_are_an_input_error(tmp_path):
    file = xr.Dataset({"embedding": (("time", "mode"), np.ones((4, 2)))}, {"time": ("time", np.arange(4.0))})
    file["time"].attrs["units"] = "days since yesterday"
    file.to_netcdf(tmp_path / "e.nc")
    with pytest.raises(InputError, match="cannot be read as NetCDF"):
        read_embedding(tmp_path / "e.nc")


@pytest.mark.parametrize(
    "variables",
    [
        {"sst": (("time", "lat"), np.ones((4, 2)))},
        {"embedding": (("mode", "time"), np.ones((2, 4)))},
        {"embedding": ("time", np.ones(4))},
    ],
)
def test_a_file_without_embeddings_is_refused_by_what_it_holds(tmp_path, variables):
    xr.Dataset(variables, {"time": days(4)}).to_netcdf(tmp_path / "e.nc")
    with pytest.raises(InputError, match=rf"no variable embedding\(time, mode\).*{next(iter(variables))}"):
        read_embedding(tmp_path / "e.nc")


def test_an_embedding_without_time_is_refused(tmp_path):
    xr.Dataset({"embedding": (("time", "mode"), np.ones((4, 2)))}).to_netcdf(tmp_path / "e.nc")
    with pytest.raises(InputError, match="with a time coordinate"):
        read_embedding(tmp_path / "e.nc")
