import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from faconv_cli import schema
from faconv_cli.app import main
from tests.regimes.planted import days, planted, write_embedding

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with e.nc, an embedding of three planted regimes in 600 days."""
    monkeypatch.chdir(tmp_path)
    write_embedding(tmp_path / "e.nc", planted(k=3)[0])
    return tmp_path


def faconv(capsys, *arguments, code=0):
    """Run the program; return what it printed on stdout and stderr."""
    with pytest.raises(SystemExit) as done:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert done.value.code == code, captured.err
    return captured.out, captured.err


def regimes_of(path):
    with xr.open_dataset(path, mask_and_scale=False) as file:
        return file["regime"].values


def test_planted_regimes_are_found_printed_and_written(folder, capsys):
    out, _ = faconv(capsys, "cluster", "e.nc", "-k", 3)
    np.testing.assert_array_equal(regimes_of("e_regimes.nc"), planted(k=3)[1])
    for heading in ("3 regimes (kmeans, season all), 600 steps", "mean duration", "Transition", "silhouette"):
        assert heading in out
    assert out.rstrip().endswith("e_regimes.nc")


def test_json_is_one_document_with_the_same_numbers(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["faconv", "cluster", "e.nc", "-k", "2:4"])
    out, _ = faconv(capsys, "cluster", "e.nc", "-k", "2:4", "-o", "r.nc", "--json")
    report = json.loads(out)
    assert (report["output"], report["clusters"], report["criterion"]["chosen"]) == ("r.nc", 3, 3)
    with xr.open_dataset("r.nc") as file:
        np.testing.assert_allclose(file["share"], [row["share"] for row in report["regimes"]])
        assert "faconv cluster e.nc -k 2:4" in file.attrs["history"]


def test_a_range_prints_its_criterion(folder, capsys):
    out, err = faconv(capsys, "cluster", "e.nc", "-k", "2:4")
    assert "chosen" in out
    assert "skill" in out
    assert "adjusted Rand index" in err


@pytest.mark.parametrize("method", ["kmeans", "gmm", "hmm", "ward", "hdbscan"])
@pytest.mark.slow
def test_each_method_can_be_asked_for(folder, capsys, method):
    number = [] if method == "hdbscan" else ["-k", 3]
    out, _ = faconv(capsys, "cluster", "e.nc", "--method", method, "--json", *number)
    assert json.loads(out)["method"] == method
    assert adjusted_rand_score(regimes_of("e_regimes.nc"), planted(k=3)[1]) > 0.9


def test_defaults_are_four_by_kmeans_with_seed_zero(folder, capsys):
    report = json.loads(faconv(capsys, "cluster", "e.nc", "--json")[0])
    assert (report["clusters"], report["method"], report["seed"]) == (4, "kmeans", 0)
    assert json.loads(faconv(capsys, "cluster", "e.nc", "--json", "--seed", 3, "--overwrite")[0])["seed"] == 3


def test_a_season_labels_its_months_only(folder, capsys):
    faconv(capsys, "cluster", "e.nc", "-k", 3, "--season", "djf")
    month = days(600).astype("datetime64[M]").astype(int) % 12 + 1
    np.testing.assert_array_equal(regimes_of("e_regimes.nc") > 0, np.isin(month, [12, 1, 2]))


def test_old_regimes_label_new_embeddings(folder, capsys):
    new, labels = planted(k=3, steps=300, seed=4)
    write_embedding(folder / "new.nc", new)
    faconv(capsys, "cluster", "e.nc", "-k", 3)
    out, _ = faconv(capsys, "cluster", "new.nc", "--assign", "e_regimes.nc", "--json")
    assert json.loads(out)["assigned_from"] == "e_regimes.nc"
    np.testing.assert_array_equal(regimes_of("new_regimes.nc"), labels)
    faconv(capsys, "cluster", "e.nc", "--assign", "e_regimes.nc", "-o", "again.nc")
    np.testing.assert_array_equal(regimes_of("again.nc"), regimes_of("e_regimes.nc"))


@pytest.fixture
def data(folder):
    """Files d1.nc and d2.nc: the fields that were embedded, warmer in each next regime."""
    labels = planted(k=3)[1]
    field = 280 + labels[:, None, None] + np.random.default_rng(0).standard_normal((600, 4, 6))
    file = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), field.astype(np.float32), {"units": "K"})},
        {
            "time": days(600),
            "lat": ("lat", np.linspace(60, 30, 4), {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", np.linspace(0, 25, 6), {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )
    file.isel(time=slice(0, 350)).to_netcdf(folder / "d1.nc")
    file.isel(time=slice(350, None)).to_netcdf(folder / "d2.nc")
    return "--data", "d1.nc", "--data", "d2.nc"


def test_data_of_several_files_give_composites_in_their_units(data, capsys):
    out, _ = faconv(capsys, "cluster", "e.nc", "-k", 3, *data)
    assert "input" in out
    with xr.open_dataset("e_regimes.nc") as file:
        assert file["composite_t2m"].attrs["units"] == "K"
        np.testing.assert_allclose(file["composite_t2m"].mean(("lat", "lon")), [281, 282, 283], atol=0.1)


def test_the_variables_that_are_asked_for_are_averaged(data, folder, capsys):
    for name in ("d1.nc", "d2.nc"):
        with xr.open_dataset(folder / name) as file:
            file.load()
        file.assign(other=file["t2m"] * 2).to_netcdf(folder / name)
    faconv(capsys, "cluster", "e.nc", "-k", 3, *data, "--variables", "other")
    with xr.open_dataset("e_regimes.nc") as file:
        assert "composite_t2m" not in file
        np.testing.assert_allclose(file["composite_other"].mean(("lat", "lon")), [562, 564, 566], atol=0.2)


@pytest.mark.slow
def test_a_figure_is_drawn(data, capsys):
    pytest.importorskip("matplotlib")
    faconv(capsys, "cluster", "e.nc", "-k", 3, *data, "--figure", "r.png")
    faconv(capsys, "cluster", "e.nc", "-k", 3, "-o", "b.nc", "--figure", "b.svg")


def test_quiet_keeps_the_results(folder, capsys):
    out, err = faconv(capsys, "--quiet", "cluster", "e.nc", "-k", "2:3")
    assert "e_regimes.nc" in out
    assert err == ""


FAILURES = [
    (["none.nc"], 3, "no such file"),
    (["text.nc"], 3, "cannot be read as NetCDF"),
    (["other.nc"], 3, "no variable embedding(time, mode)"),
    (["short.nc", "-k", "6"], 3, "fewer than 6"),
    (["constant.nc"], 3, "the embedding is constant"),
    (["missing.nc"], 3, "all 30 rows are missing"),
    (["e.nc", "--season", "XYZ"], 2, "not a run of months"),
    (["spring.nc", "--season", "DJF"], 3, "no valid step lies in season DJF"),
    (["e.nc", "-k", "1"], 2, "-k '1' asks for 1 regime"),
    (["e.nc", "-k", "8:2"], 2, "runs backwards"),
    (["e.nc", "-k", "abc"], 2, "is not a number or a range"),
    (["e.nc", "--method", "hdbscan", "-k", "3"], 2, "finds the number of regimes itself"),
    (["e.nc", "--method", "som"], 2, "som"),
    (["e.nc", "--seed", "-1"], 2, "seed"),
    (["e.nc", "-o", "exists.nc"], 5, "already exists"),
    (["e.nc", "-o", "nowhere/r.nc"], 5, "not a folder"),
    (["e.nc", "--assign", "other.nc"], 3, "holds no regimes"),
    (["e.nc", "--assign", "none.nc"], 3, "no such file"),
    (["e.nc", "--assign", "old.nc", "-k", "3", "--seed", "1"], 2, "--assign was given with -k, --seed"),
    (["foreign.nc", "--assign", "old.nc"], 4, "was made with checkpoint"),
    (["narrow.nc", "--assign", "old.nc"], 4, "has 2 modes"),
    (["e.nc", "--data", "none.nc"], 3, "none.nc"),
    (["e.nc", "--figure", "figure.doc"], 2, "ends in .doc"),
]


@pytest.fixture(scope="module")
def troubles(tmp_path_factory):
    """A folder of everything that can go wrong."""
    folder = tmp_path_factory.mktemp("troubles")
    x, _ = planted(k=3, steps=200)
    write_embedding(folder / "e.nc", x)
    write_embedding(folder / "short.nc", x[:5])
    write_embedding(folder / "constant.nc", np.ones((30, 4)))
    write_embedding(folder / "missing.nc", np.full((30, 4), np.nan))
    write_embedding(folder / "spring.nc", x[:40], days(40, "2001-04-01"))
    write_embedding(folder / "foreign.nc", x, checkpoint="b" * 64)
    write_embedding(folder / "narrow.nc", x[:, :2])
    (folder / "text.nc").write_text("not a NetCDF file")
    (folder / "exists.nc").write_text("precious")
    xr.Dataset({"sst": ("time", np.ones(4))}, {"time": days(4)}).to_netcdf(folder / "other.nc")
    with pytest.raises(SystemExit):
        main(["cluster", str(folder / "e.nc"), "-k", "3", "-o", str(folder / "old.nc")])
    return folder


@pytest.mark.parametrize(("arguments", "code", "message"), FAILURES)
def test_what_goes_wrong_has_its_message_its_code_and_leaves_nothing(
    troubles, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(troubles)
    before = sorted(troubles.iterdir())
    out, err = faconv(capsys, "cluster", *arguments, code=code)
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert sorted(troubles.iterdir()) == before


def test_an_output_in_a_folder_that_cannot_be_written_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr("faconv_cli.files.os.access", lambda _, mode, **__: not mode & os.W_OK)
    _, err = faconv(capsys, "cluster", "e.nc", code=5)
    assert "cannot be written" in err


def test_overwrite_replaces(folder, capsys):
    (folder / "e_regimes.nc").write_text("old")
    faconv(capsys, "cluster", "e.nc", "-k", 3, "--overwrite")
    assert regimes_of("e_regimes.nc").max() == 3


@pytest.mark.slow
def test_cluster_never_imports_torch(folder):
    script = (
        "import sys\n"
        "from faconv_cli.app import main\n"
        f"try:\n    main(['cluster', {str(folder / 'e.nc')!r}, '-k', '3', '--json'])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_cold_starts_and_missing_rows_are_told(folder, capsys):
    x, _ = planted(k=3)
    x[10] = np.nan
    write_embedding(folder / "cold.nc", x, flag=np.where(np.arange(600) < 5, schema.COLD_START, schema.OK))
    _, err = faconv(capsys, "cluster", "cold.nc", "-k", 3)
    assert "5 warm-up steps" in err
    assert regimes_of("cold_regimes.nc")[10] == -1


def test_modes_are_cut_recorded_and_taken_again_by_assign(folder, capsys):
    out, _ = faconv(capsys, "cluster", "e.nc", "-k", 3, "--modes", 2, "--json")
    assert json.loads(out)["modes"] == 2
    faconv(capsys, "cluster", "e.nc", "--assign", "e_regimes.nc", "-o", "again.nc")
    np.testing.assert_array_equal(regimes_of("again.nc"), regimes_of("e_regimes.nc"))
    _, err = faconv(capsys, "cluster", "e.nc", "--assign", "e_regimes.nc", "--modes", 2, "-o", "x.nc", code=2)
    assert "--assign was given with --modes" in err
    _, err = faconv(capsys, "cluster", "e.nc", "--modes", 9, "-o", "x.nc", code=2)
    assert "has 4 modes" in err


def test_a_hidden_markov_model_prints_its_durations_and_repeats_itself(folder, capsys):
    out, _ = faconv(capsys, "cluster", "e.nc", "--method", "hmm", "-k", 3, "--modes", 3, "-o", "one.nc")
    assert "Spells by the hidden Markov model" in out
    faconv(capsys, "cluster", "e.nc", "--method", "hmm", "-k", 3, "--modes", 3, "-o", "two.nc")
    with xr.open_dataset("one.nc") as one, xr.open_dataset("two.nc") as two:
        assert one.drop_attrs().identical(two.drop_attrs())
