import numpy as np
import pytest
import xarray as xr

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.grid import Grid
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError, OutputError
from faconv_cli.regimes.additions import add_data
from faconv_cli.regimes.analysis import find_regimes
from faconv_cli.regimes.cluster import METHODS
from faconv_cli.regimes.netcdf import read_known, write_regimes
from tests.regimes.planted import SHA, days, embedding, planted
from tests.regimes.test_composites import cube_of


@pytest.fixture
def with_everything():
    """Regimes from a range, with noise in time and composites of two channels over land."""
    x, _ = planted(k=3, steps=400)
    x[5] = np.nan
    fields = np.random.default_rng(0).standard_normal((400, 2, 4, 5))
    fields[:, :, 0, 0] = np.nan
    return add_data(find_regimes(embedding(x), clusters=(2, 3), seed=7), cube_of(fields))


@pytest.mark.slow
def test_the_file_is_cf(tmp_path, with_everything, assert_cf):
    write_regimes(tmp_path / "r.nc", with_everything, command="faconv cluster e.nc")
    assert_cf(tmp_path / "r.nc")


@pytest.mark.parametrize("method", ["gmm", "hdbscan"])
def test_the_file_of_other_methods_is_cf(tmp_path, method, assert_cf):
    x, _ = planted(k=3)
    x[::60] *= 30
    time = xr.date_range("1990-01-01", periods=600, calendar="360_day", use_cftime=True).values
    regimes = find_regimes(embedding(x, time), method=method, clusters={"gmm": (3,)}.get(method))
    write_regimes(tmp_path / "r.nc", regimes)
    assert_cf(tmp_path / "r.nc")


def test_what_is_written_is_read_back(tmp_path, with_everything):
    regimes = with_everything
    write_regimes(tmp_path / "r.nc", regimes, command="faconv cluster e.nc -k 2:3")
    with xr.open_dataset(tmp_path / "r.nc", mask_and_scale=False) as file:
        np.testing.assert_array_equal(file["regime"], regimes.labels)
        assert file["regime"].dtype == np.int8
        assert file["regime"].attrs["_FillValue"] == -1
        np.testing.assert_array_equal(file["regime"].attrs["flag_values"], [1, 2, 3])
        assert file["regime"].attrs["flag_meanings"] == "regime_1 regime_2 regime_3"
    with xr.open_dataset(tmp_path / "r.nc") as file:
        found = regimes.persistence
        np.testing.assert_array_equal(file["time"], days(400))
        np.testing.assert_array_equal(file["centroid"], regimes.model.centroids)
        np.testing.assert_allclose(file["transition_probability"], found.transition)
        for name in ("share", "spells", "mean_duration", "persistence"):
            np.testing.assert_allclose(file[name], getattr(found, name))
        np.testing.assert_allclose(file["regime_distance"], regimes.distance)
        np.testing.assert_allclose(file["criterion"], regimes.criterion.skill)
        np.testing.assert_array_equal(file["k"], [2, 3])
        assert file["embedding_silhouette"] == regimes.separation.silhouette
        assert file["input_rmse"] == regimes.input_separation.rmse
        assert file["time"].attrs["standard_name"] == "time"


def test_composites_are_in_the_order_and_units_of_the_data(tmp_path, with_everything):
    write_regimes(tmp_path / "r.nc", with_everything)
    found = with_everything.composites
    with xr.open_dataset(tmp_path / "r.nc") as file:
        assert file["composite_sst"].dims == ("cluster", "lat", "lon")
        np.testing.assert_array_equal(file["lat"], np.linspace(60, 20, 4))
        np.testing.assert_array_equal(file["composite_sst"], found.mean[:, 0, ::-1])
        np.testing.assert_array_equal(file["composite_anomaly_z500"], found.anomaly[:, 1, ::-1])
        np.testing.assert_array_equal(file["composite_p_value_z500"], found.p_value[:, 1, ::-1])
        assert file["composite_sst"].attrs["units"] == "degC"
        assert file["composite_sst"].attrs["units_metadata"] == "temperature: on_scale"
        assert file["composite_anomaly_sst"].attrs["units_metadata"] == "temperature: difference"
        assert "units_metadata" not in file["composite_z500"].attrs


@pytest.mark.slow
def test_composites_on_a_curvilinear_grid_keep_its_coordinates(tmp_path, assert_cf):
    x, _ = planted(k=2, steps=50)
    lat, lon = np.meshgrid(np.linspace(40, 50, 3), np.linspace(0, 9, 4), indexing="ij")
    cube = Cube(
        fields=xr.DataArray(np.ones((50, 1, 3, 4), np.float32), dims=("time", "channel", "y", "x")),
        channels=(Channel("tp 1h", "mm", "rain", "lwe_thickness_of_precipitation_amount"),),
        time=TimeAxis.from_values(days(50)),
        grid=Grid.from_coordinates(lat + lon / 10, lon),
    )
    write_regimes(tmp_path / "r.nc", add_data(find_regimes(embedding(x), clusters=(2,)), cube))
    with xr.open_dataset(tmp_path / "r.nc") as file:
        assert file["composite_tp_1h"].dims == ("cluster", "y", "x")
        assert set(file["composite_tp_1h"].coords) >= {"lat", "lon"}
        assert file["composite_tp_1h"].attrs["standard_name"] == "lwe_thickness_of_precipitation_amount"
        assert "standard_name" not in file["composite_anomaly_tp_1h"].attrs
    assert_cf(tmp_path / "r.nc")


def test_the_file_says_where_it_comes_from(tmp_path, with_everything):
    write_regimes(tmp_path / "r.nc", with_everything, command="faconv cluster e.nc -k 2:3")
    with xr.open_dataset(tmp_path / "r.nc") as file:
        attributes = file.attrs
    assert attributes["faconv_checkpoint_sha256"] == SHA
    assert attributes["faconv_method"] == "kmeans"
    assert attributes["faconv_seed"] == 7
    assert attributes["faconv_season"] == "all"
    assert attributes["faconv_embedding"] == "planted.nc"
    assert "adjusted Rand index" in attributes["faconv_criterion"]
    assert "faconv cluster e.nc -k 2:3" in attributes["history"]
    assert "k = 3 by" in attributes["comment"]


def test_unclassified_is_a_flag_of_hdbscan_only(tmp_path):
    regimes = find_regimes(embedding(planted(k=3)[0]), method="hdbscan")
    write_regimes(tmp_path / "r.nc", regimes)
    with xr.open_dataset(tmp_path / "r.nc") as file:
        np.testing.assert_array_equal(file["regime"].attrs["flag_values"], [0, 1, 2, 3])
        assert file["regime"].attrs["flag_meanings"] == "unclassified regime_1 regime_2 regime_3"
        np.testing.assert_allclose(file["regime_probability"], regimes.probability)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_a_model_survives_its_file_exactly(tmp_path, method):
    x, _ = planted(k=3, distance=5.0)
    regimes = find_regimes(embedding(x), method=method, clusters=None if method == "hdbscan" else (3,))
    write_regimes(tmp_path / "r.nc", regimes)
    known = read_known(tmp_path / "r.nc")
    np.testing.assert_array_equal(known.model.centroids, regimes.model.centroids)
    x = x[:, : regimes.model.centroids.shape[1]]
    np.testing.assert_array_equal(known.model.predict(x), regimes.model.predict(x))
    assert (known.model.method, known.checkpoint, known.season) == (method, SHA, regimes.season)
    np.testing.assert_array_equal(known.labels, regimes.labels)
    assert known.time.labels == regimes.embedding.time.labels


def test_an_output_that_exists_is_kept_unless_told(tmp_path, with_everything):
    path = tmp_path / "r.nc"
    path.write_text("precious")
    with pytest.raises(OutputError, match="already exists"):
        write_regimes(path, with_everything)
    assert path.read_text() == "precious"
    write_regimes(path, with_everything, overwrite=True)
    np.testing.assert_array_equal(read_known(path).labels, with_everything.labels)


def test_a_failed_write_leaves_nothing(tmp_path, with_everything, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OutputError, match="disk full"):
        write_regimes(tmp_path / "r.nc", with_everything)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_regimes_cannot_be_assigned_from(tmp_path):
    xr.Dataset({"sst": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(InputError, match=r"holds no regimes \(variables: sst\)"):
        read_known(tmp_path / "other.nc")
