"""A comparison as a user types it."""

import csv
import json

import pytest

SMALL = [
    "--set",
    "hidden=4",
    "--set",
    "updates=2",
    "--set",
    "window=8",
    "--set",
    "burn-in=2",
    "--set",
    "anomaly=none",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_code):
    folder = tmp_path_factory.mktemp("compare")
    assert run_code("sample", "planted", folder / "cube.nc", "--steps", 300, "--lat", 8, "--lon", 16) == 0
    return folder


def test_a_comparison_is_shown_written_and_not_repeated(folder, run_code, capfd):
    arguments = ["compare", folder / "cube.nc", "--encoders", "minconvgru,eof", "--seeds", 1, *SMALL]
    assert run_code(*arguments) == 0
    out, err = capfd.readouterr()
    assert "validation loss" in out
    assert "minconvgru-seed0 (1 of 2)" in err
    results = folder / "cube.compare"
    assert {path.name for path in results.iterdir()} == {
        "minconvgru-seed0.pt",
        "minconvgru-seed0.json",
        "eof-seed0.pt",
        "eof-seed0.json",
        "compare.csv",
        "compare.json",
    }
    rows = list(csv.DictReader((results / "compare.csv").read_text().splitlines()))
    assert [row["encoder"] for row in rows] == ["minconvgru", "eof"]
    before = (results / "minconvgru-seed0.pt").stat().st_mtime_ns
    assert run_code(*arguments) == 0
    assert "finished before" in capfd.readouterr().err
    assert (results / "minconvgru-seed0.pt").stat().st_mtime_ns == before


def test_defaults_that_give_way_are_told_for_each_encoder(folder, run_code, capfd, tmp_path):
    arguments = ["--encoders", "minconvgru,eof", "--seeds", 1, "--set", "hidden=4", "--set", "updates=2"]
    few = ["--time-range", "2000-01-01:2000-01-15", "-o", tmp_path / "few"]
    assert run_code("compare", folder / "cube.nc", *arguments, *few) == 0
    err = " ".join(capfd.readouterr().err.split())
    assert "minconvgru: Defaults were changed to suit the record (12 training steps): --window 12" in err
    assert "eof: Defaults were changed to suit the record (12 training steps): --embedding 6" in err


def test_forecasts_at_an_equal_time(folder, run_code, capfd, tmp_path):
    arguments = [
        "--task",
        "forecast",
        "--budget",
        "time",
        "--minutes",
        0.01,
        "--lead",
        2,
        "--output",
        tmp_path / "new",
    ]
    assert (
        run_code("compare", folder / "cube.nc", "--encoders", "minconvgru", "--seeds", 1, *arguments, *SMALL)
        == 0
    )
    assert "RMSE persistence +2" in capfd.readouterr().out
    kept = json.loads((tmp_path / "new" / "compare.json").read_text())
    assert kept["encoders"]["minconvgru"]["hidden"] == 4


def test_a_test_period_a_budget_and_labels(folder, run_code, capfd, tmp_path):
    table = tmp_path / "labels.csv"
    dates = [f"2000-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)]
    table.write_text("date,half\n" + "".join(f"{date},{int(date[-2:]) < 15}\n" for date in dates))
    arguments = [
        "--time-range",
        "2000-01:2000-07",
        "--validation",
        "2000-07:2000-07",
        "--test",
        "2000-08:2000-09",
    ]
    arguments += ["--parameters", 2000, "--labels", table, "-o", tmp_path / "out"]
    assert (
        run_code("compare", folder / "cube.nc", "--encoders", "convgru", "--seeds", 1, *arguments, *SMALL)
        == 0
    )
    kept = json.loads((tmp_path / "out" / "compare.json").read_text())["encoders"]["convgru"]
    assert 1500 < kept["parameters"] < 2500
    assert 0 <= kept["half probe"] <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--encoders", "convgru,convgru"], 2, "different names"),
        (["--encoders", "transformer"], 2, "encoder"),
        (["--encoders", "convgru", "--set", "hidden"], 2, "NAME=VALUE"),
        (["--encoders", "convgru", "--set", "nonsense=1"], 2, "--nonsense is an unknown setting"),
        (["--encoders", "convgru", "--test", "2000-02:2000-03"], 2, "within the training period"),
        (["--encoders", "convgru", "--labels", "none.csv"], 3, "none.csv"),
        (["--encoders", "convgru", "-o", "{cube}"], 5, "File exists"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_short_message_and_its_exit_code(arguments, code, told, folder, run_code, capfd):
    given = [argument.format(cube=folder / "cube.nc") for argument in arguments]
    assert run_code("compare", folder / "cube.nc", *given, *SMALL) == code
    assert told in " ".join(capfd.readouterr().err.split())
