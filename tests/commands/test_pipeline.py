"""The three commands as a user types them, in processes of their own where that matters."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

ENVIRONMENT = {**os.environ, "COLUMNS": "200"}
QUICK = ["--window", "12", "--burn-in", "4", "--hidden", "6", "--bottleneck", "4", "--updates", "8"]
QUICK = [*QUICK, "--validation", "0"]  # a network that is trusted, and its attention written


def faconv(*arguments, check=None):
    """Run the command line in a process of its own; assert its exit code where one is given."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "faconv_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "cube.nc"
    faconv("sample", "planted", path, "--steps", 1000, "--lat", 12, "--lon", 24, check=0)
    return path


@pytest.fixture(scope="module")
def checkpoint(planted):
    path = planted.with_name("m.pt")
    faconv("train", planted, "-o", path, *QUICK, check=0)
    return path


@pytest.fixture(scope="module")
def embedding(planted, checkpoint):
    path = planted.with_name("embedding.nc")
    faconv("embed", "--checkpoint", checkpoint, planted, path, "--query", "0,10", check=0)
    return path


@pytest.mark.slow
def test_the_planted_regimes_are_found_again(embedding, planted):
    regimes = embedding.with_name("regimes.nc")
    faconv("cluster", embedding, "-o", regimes, "-k", 4, check=0)
    with xr.open_dataset(regimes) as found, xr.open_dataset(planted) as truth:
        labelled = found.regime.values >= 0
        score = adjusted_rand_score(truth.regime_true.values[labelled], found.regime.values[labelled])
    assert score >= 0.8


def test_the_embedding_has_a_row_for_each_time_step(embedding, planted):
    with xr.open_dataset(embedding) as file, xr.open_dataset(planted) as data:
        np.testing.assert_array_equal(file.time.values, data.time.values)
        assert file.sizes["query"] == 1
        assert np.isfinite(file.embedding.values).all()


def test_a_record_can_grow(planted, checkpoint, embedding, run, tmp_path):
    arguments = ["embed", "-c", checkpoint, planted, tmp_path / "grown.nc", "--query", "0,10"]
    assert run(*arguments, "--time-range", "2000:2001")[0] == 0
    code, out, _ = run(*arguments, "--append")
    assert code == 0
    assert "269 time steps" in out
    with xr.open_dataset(tmp_path / "grown.nc") as grown, xr.open_dataset(embedding) as whole:
        xr.testing.assert_identical(grown.drop_attrs(), whole.drop_attrs())


def test_metrics_lie_beside_the_checkpoint(checkpoint):
    lines = checkpoint.with_suffix(".metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [*range(9)]
    assert checkpoint.with_name("m.last.pt").exists()


def test_inspect_tells_of_a_checkpoint(checkpoint, run):
    told = json.loads(run("inspect", checkpoint, "--json")[1])
    assert told["encoder"]["hidden"] == 6
    assert "sha256" in json.dumps(told)


def test_a_dry_run_shows_the_plan_and_writes_nothing(planted, run, tmp_path):
    code, out, err = run("train", planted, "-o", tmp_path / "m.pt", "--dry-run", *QUICK)
    assert code == 0
    assert "no values have been read" in err
    assert "windows" in out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_that_the_output_is_there_and_does_not_touch_it(planted, run, tmp_path):
    path = tmp_path / "m.pt"
    path.write_text("kept")
    code, out, err = run("train", planted, "-o", path, "--dry-run", *QUICK)
    assert code == 0
    assert "windows" in out
    assert f"already exists: {path}; training would need --overwrite" in " ".join(err.split())
    assert path.read_text() == "kept"
    assert "there already" not in run("train", planted, "-o", path, "--dry-run", "--overwrite", *QUICK)[2]


def test_a_record_of_cold_starts_is_told(planted, checkpoint, run, tmp_path):
    arguments = ("embed", "--checkpoint", checkpoint, planted, tmp_path / "e.nc")
    _, _, err = run(*arguments, "--time-range", "2000-01-01:2000-01-05")
    assert "4 of 5 time steps are within the warm-up" in " ".join(err.split())
    _, _, err = run(*arguments, "--time-range", "2000-01-01:2000-01-20", "--overwrite")
    assert "within the warm-up" not in err


def test_a_small_record_is_trained_embedded_and_clustered_by_default(planted, run, tmp_path):
    few = tmp_path / "few.nc"
    with xr.open_dataset(planted) as cube:
        cube.isel(time=slice(15)).to_netcdf(few)
    shown = json.loads(run("inspect", few, "--json")[1])["plan"]
    assert "--window 12, --burn-in 4, --embedding 6" in shown["notes"][0]
    code, _, err = run("train", few, "-o", tmp_path / "m.pt", "--updates", 2, "--hidden", 4)
    assert code == 0
    assert shown["notes"][0] in " ".join(err.split())
    assert run("embed", "--checkpoint", tmp_path / "m.pt", few, tmp_path / "e.nc")[0] == 0
    assert run("cluster", tmp_path / "e.nc", "-k", 2)[0] == 0


def test_settings_come_from_a_file_and_options_override_it(planted, run, tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text("window = 30\nburn_in = 6\n")
    _, out, _ = run("train", planted, "--config", toml, "--window", 40, "--dry-run")
    assert "of 40 steps every 32, burn-in 6" in out


def test_a_training_that_was_stopped_goes_on_and_ends_the_same(planted, tmp_path):
    short = ["--time-range", "2000-01:2000-04", *QUICK, "--batch", 4]
    arguments = ["train", planted, *short, "--updates", 120, "--threads", 1]
    stopped = subprocess.Popen(
        [sys.executable, "-m", "faconv_cli", *map(str, [*arguments, "-o", tmp_path / "m.pt"])],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    metrics = tmp_path / "m.metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert stopped.poll() is None, stopped.stderr.read()
        time.sleep(0.02)
    stopped.send_signal(signal.SIGTERM)
    assert "--resume" in stopped.communicate()[1]
    assert stopped.returncode == 75
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    faconv(*arguments, "-o", tmp_path / "m.pt", "--resume", check=0)
    faconv(*arguments, "-o", tmp_path / "whole.pt", check=0)
    assert (tmp_path / "m.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert [json.loads(line)["update"] for line in metrics.read_text().splitlines()] == list(
        range(0, 121, 10)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train", "{cube}", "-o", "{checkpoint}"], 5, "already exists"),
        (["train", "{cube}", "--device", "cuda"], 6, "no CUDA device"),
        (["train", "{cube}", "--device", "tpu", "-o", "{new}"], 2, "--device tpu"),
        (["train", "{cube}", "--dry-run", "--device", "tpu", "-o", "{new}"], 2, "--device tpu"),
        (["train", "{cube}", "--dry-run", "-o", "{folder}/none/m.pt"], 5, "is not a folder"),
        *((["train", "{cube}", "-o", name], 5, "is a folder") for name in (".", "", "..", "/", "{folder}/")),
        *((["forecast", "-c", "{cube}", "{cube}", name], 5, "is a folder") for name in (".", "", "..")),
        *((["embed", "-c", "{cube}", "{cube}", name], 5, "is a folder") for name in (".", "", "..")),
        *((["cluster", "{cube}", "-o", name], 5, "is a folder") for name in (".", "", "..", "/")),
        *(
            (["cluster", "{embedding}", "--figure", name, "-o", "{new}"], 5, "is a folder")
            for name in (".", "")
        ),
        *((["cluster", name], 3, "is not a file") for name in (".", "", "/")),
        *((["prepare", "{cube}", name], 5, "does not end in .zarr") for name in (".", "", "..", "/")),
        (["train", "{cube}", "--dry-run", "--resume", "-o", "{new}"], 4, "No such file"),
        (["train", "{cube}", "--dry-run", "--window", "2000", "-o", "{new}"], 3, "A window has 2000 steps"),
        (["train", "{cube}", "--window", "5", "--burn-in", "9", "-o", "{new}"], 2, "leaves nothing"),
        (
            ["train", "{cube}", "--resume", "--overwrite", "-o", "{new}"],
            2,
            "--resume was given with --overwrite",
        ),
        (["train", "{cube}", "--resume", "-o", "{new}"], 4, "No such file"),
        (["train", "{cube}", "--variables", "nothing", "-o", "{new}"], 3, "nothing"),
        (
            ["train", "{cube}", "--time-range", "2000-01-01:2000-01-02", "-o", "{new}"],
            3,
            "2 steps to train on",
        ),
        (["train", "{cube}", "--levels", "high", "-o", "{new}"], 2, "--levels high"),
        (["train", "{folder}/none.nc", "-o", "{new}"], 3, "none.nc"),
        (["train", "{cube}", "-o", "{folder}/no/where.pt"], 5, "is not a folder"),
        (["train", "{cube}", "--nonsense"], 2, "nonsense"),
        (["embed", "-c", "{checkpoint}", "{cube}", "{embedding}"], 5, "already exists"),
        (["embed", "-c", "{cube}", "{cube}", "{new}"], 4, "checkpoint"),
        (["embed", "-c", "{checkpoint}", "{new}"], 2, "takes data files and then the output"),
        (["embed", "-c", "{checkpoint}", "{cube}", "{new}", "--query", "here"], 2, "--query here"),
        (
            ["embed", "-c", "{checkpoint}", "{cube}", "{new}", "--append", "--overwrite"],
            2,
            "--append was given with",
        ),
        (["embed", "-c", "{checkpoint}", "{cube}", "{new}", "--device", "cuda:7"], 6, "CUDA"),
        (["embed", "-c", "{checkpoint}", "{sst}", "{new}"], 4, "the data have no"),
        (["cluster", "{cube}"], 3, "embedding"),
        (["inspect", "{folder}/none.nc"], 3, "none.nc"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_short_message_and_its_exit_code(
    arguments, code, told, planted, checkpoint, embedding, sample_data, run, tmp_path
):
    places = {
        "cube": planted,
        "checkpoint": checkpoint,
        "embedding": embedding,
        "sst": sample_data / "ostia_monthly.nc",
        "new": tmp_path / "new.out",
        "folder": tmp_path,
    }
    found, _, err = run(*(argument.format(**places) for argument in arguments))
    assert found == code, err
    assert told in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["inspect", "{cube}"], ["cluster", "{embedding}", "-o", "{new}"]]
)
def test_what_needs_no_network_never_imports_torch(arguments, planted, embedding, tmp_path):
    places = {"cube": planted, "embedding": embedding, "new": tmp_path / "r.nc"}
    script = (
        "import sys\nfrom faconv_cli.app import main\n"
        f"try:\n    main({[a.format(**places) for a in arguments]!r})\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=ENVIRONMENT)


def test_the_version_is_printed(run):
    assert run("--version")[1].startswith("faconv 0.")


def test_a_quiet_run_says_nothing_but_its_result(planted, run, tmp_path):
    code, out, err = run("--quiet", "train", planted, "-o", tmp_path / "m.pt", *QUICK, "--updates", 0)
    assert (code, err) == (0, "")
    assert "m.pt" in out


def test_the_log_can_be_json(planted, run, tmp_path):
    _, _, err = run("--log-json", "train", planted, "-o", tmp_path / "m.pt", *QUICK, "--updates", 0)
    assert all("message" in json.loads(line) for line in err.splitlines())
    code, _, err = run("--log-json", "inspect", tmp_path / "none.nc")
    assert json.loads(err)["exit_code"] == code == 3


@pytest.mark.slow
def test_whoever_closes_our_output_early_is_no_error(planted):
    faconv = f"{sys.executable} -W error -m faconv_cli --quiet"
    command = f"{faconv} inspect {planted} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
