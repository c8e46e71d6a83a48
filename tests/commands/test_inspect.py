import json
import subprocess
import sys
import zipfile

import pytest

from faconv_cli.app import main


def run(capsys, *arguments):
    """Run the command line; return its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", *map(str, arguments)])
    captured = capsys.readouterr()
    return stopped.value.code or 0, captured.out, captured.err


@pytest.fixture
def sample(sample_data):
    return sample_data / "ostia_monthly.nc"


def test_inspect_shows_variables_time_grid_and_plan(capsys, sample):
    code, out, _ = run(capsys, sample)
    assert code == 0
    for text in ("26.4 %", "cell bounds", "1 month", "closes the circle", "standard", "windows", "burn-in"):
        assert text in out


def test_inspect_json_is_one_document(capsys, sample):
    code, out, _ = run(capsys, sample, "--json")
    seen = json.loads(out)
    assert code == 0
    assert seen["variables"][0]["name"] == "surface_temperature"
    assert seen["left_out"]["time_bnds"] == "cell bounds"
    assert seen["time"]["steps"] == 54
    assert "windows" in seen["plan"]


def test_inspect_takes_part_of_the_data(capsys, sample):
    chosen = ("--variables", "sst=surface_temperature", "--time-range", "2007:2008", "--time-dim", "time")
    code, out, _ = run(capsys, sample, "--json", *chosen)
    seen = json.loads(out)
    assert code == 0
    assert seen["variables"][0]["name"] == "sst"
    assert (seen["time"]["steps"], seen["time"]["first"][:7]) == (24, "2007-01")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--variables", "salinity"], 3, "no variable 'salinity'"),
        (["--levels", "500"], 3, "No variable has levels"),
        (["--levels", "high"], 2, "numbers separated by commas"),
        (["--time-range", "1900:1910"], 3, "no time step lies in 1900:1910"),
        (["--time-dim", "tea"], 3, "no time coordinate 'tea'"),
    ],
)
def test_inspect_refuses_what_is_not_there(capsys, sample, arguments, code, message):
    found, out, err = run(capsys, sample, *arguments)
    assert found == code
    assert message in " ".join(err.split())
    assert not out


def test_inspect_refuses_a_missing_file(capsys, tmp_path):
    code, _, err = run(capsys, tmp_path / "none.nc")
    assert code == 3
    assert "No such file" in err


def test_inspect_shows_what_a_checkpoint_holds(capsys, sample, tmp_path):
    checkpoint = tmp_path / "m.pt"
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(sample), "-o", str(checkpoint), "--updates", "0", "--hidden", "8", "--patch", "4"])
    assert not stopped.value.code
    capsys.readouterr()
    code, out, _ = run(capsys, checkpoint)
    assert code == 0
    for text in ("surface_temperature", "standard deviation", "hidden 8", "sha256", "1 month"):
        assert text in out
    code, out, _ = run(capsys, checkpoint, "--json")
    assert code == 0
    assert json.loads(out)["channels"][0]["units"] == "K"


def test_inspect_refuses_a_checkpoint_among_others(capsys, sample, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("data", "")
    code, _, err = run(capsys, tmp_path / "m.pt", sample)
    assert code == 2
    assert "One checkpoint is shown at a time" in " ".join(err.split())


def test_inspect_refuses_a_foreign_checkpoint(capsys, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("data", "")
    code, _, err = run(capsys, tmp_path / "m.pt")
    assert code == 4
    assert "m.pt" in err


@pytest.mark.slow
def test_inspecting_data_never_imports_torch(sample):
    script = (
        "import sys\nfrom faconv_cli.app import main\n"
        f"try: main(['inspect', {str(sample)!r}, '--json'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_inspect_help_starts_with_an_example_that_runs(capsys, sample_data, monkeypatch):
    import re
    import shlex

    code, out, _ = run(capsys, "--help")
    assert code == 0
    example = re.search(r"faconv (inspect \S+)", out)
    assert example
    monkeypatch.chdir(sample_data.parent)
    code, out, _ = run(capsys, *shlex.split(example[1])[1:])
    assert code == 0


def test_inspect_reads_a_folder_a_glob_a_url_and_an_engine(capsys, sample, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.nc").write_bytes(sample.read_bytes())
    shown = [
        run(capsys, *arguments, "--json")
        for arguments in (
            [tmp_path / "data"],
            [f"{tmp_path}/data/*.nc"],
            [f"file://{tmp_path}/data/a.nc"],
            [sample, "--engine", "netcdf4"],
        )
    ]
    assert [code for code, _, _ in shown] == [0] * 4
    first, *others = [json.loads(out) for _, out, _ in shown]
    assert first["notes"][0].endswith("data contains 1 data files.")
    assert all(seen["variables"] == first["variables"] for seen in others)
