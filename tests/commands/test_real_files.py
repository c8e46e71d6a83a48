"""Every kind of real file trains for a few steps, as a user would ask for it."""

import json

import pytest

SMALL = [
    *("--updates", "2", "--window", "3", "--burn-in", "1", "--attention-every", "2", "--embedding", "2"),
    *("--hidden", "4", "--bottleneck", "4", "--batch", "4", "--threads", "1"),
    *("--anomaly", "none"),
]
FILES = {
    "ncep_slp_daily_natl_2001-2010.nc": ["--time-range", "2001-01:2001-02"],
    "cobe2_sst_pacific_2deg_1950-2009.nc": ["--time-range", "1950:1951"],
    "cobe2_yearly": ["--time-range", "2000-10:2001-09", "--coarsen", "4"],
    "cobe2_yearly/year200[0-2].nc": ["--time-range", "2000-10:2001-09", "--region=-20:20,120:-80"],
    "unifhy_wfde5_uk_hourly": ["--time-range", "2017-01-01:2017-01-02"],
    "ncep_iberia_djf_3var_1983-2002.nc": ["--time-range", "1983:1985"],
    "e1_north_america_yearly_360day.nc": ["--time-range", ":1879"],
    "stageiv_precip_curvilinear.nc": [],
    "grib/xrd_era5-2mt-2019-03-uk.grib": ["--time-range", "2019-03-01:2019-03-02"],
    "grib/cfgrib_multi_param_on_multi_dims.grib": ["--variables", "t", "--levels", "850,500"],
    "grib/cfgrib_era5-levels-members.grib": ["--member", "all", "--levels", "500"],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_trains(run, real_data, tmp_path, name):
    code, _, err = run("train", real_data / name, "-o", tmp_path / "m.pt", *FILES[name], *SMALL)
    assert code == 0, err
    *_, last = map(json.loads, (tmp_path / "m.metrics.jsonl").read_text().splitlines())
    assert last["update"] == 2
    assert last["training_loss"] > 0
    assert last["validation_loss"] is None or last["validation_loss"] > 0  # a short one sees no lead
