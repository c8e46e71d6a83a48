"""A target through training, modes and regimes, as a user types it."""

import json

import numpy as np
import pytest
import xarray as xr

TINY = ("--window", "8", "--burn-in", "2", "--hidden", "4", "--updates", "4", "--threads", "1", "--no-refit")
STEPS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_code):
    """cube.nc, of which one field is trained on and the other is the target; index.csv of one point of it."""
    folder = tmp_path_factory.mktemp("target")
    cube, told = (
        folder / "cube.nc",
        ("--target", f"{folder / 'cube.nc'}:t2m", "--target", folder / "index.csv"),
    )
    assert run_code("sample", "planted", cube, "--steps", STEPS, "--lat", 6, "--lon", 12) == 0
    with xr.open_dataset(cube) as file:
        days, values = file.time.values.astype("datetime64[D]"), file.t2m.values[:, 2, 3]
    rows = (f"{day},{value}\n" for day, value in zip(days, values, strict=True))
    (folder / "index.csv").write_text("date,index\n" + "".join(rows))
    train = (
        "train",
        cube,
        "--variables",
        "msl",
        "--time-range",
        "2000:2001-06",
        *told,
        "--target-lead",
        "0,1",
    )
    assert run_code(*train, "-o", folder / "m.pt", *TINY, "--target-weight", 2, "--embedding", 6) == 0
    assert run_code("embed", "-c", folder / "m.pt", cube, folder / "e.nc", "--no-attention") == 0
    return folder


def test_modes_tell_the_targets(folder, run_code, capfd):
    assert (
        run_code("modes", folder / "m.pt", "-o", folder / "modes.nc", "--figure", folder / "modes.png") == 0
    )
    out = capfd.readouterr().out
    assert "Explained variance of each target" in " ".join(out.split())
    with xr.open_dataset(folder / "modes.nc") as file:
        assert {"mode_target_t2m", "mode_target_index"} <= set(file.data_vars)
    assert (folder / "modes.png").stat().st_size > 10_000


def test_regimes_are_scored_on_the_targets_beyond_training(folder, run_code, capfd):
    cluster = ("cluster", folder / "e.nc", "-k", 3, "-o", folder / "r.nc", "--target-lead", "0,1")
    targets = ("--target", f"{folder / 'cube.nc'}:t2m", "--target", folder / "index.csv")
    assert run_code(*cluster, *targets) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "Targets outside the training period" in told
    assert "index + 1" in told
    assert run_code(*cluster, *targets, "--json", "--overwrite") == 0
    rows = json.loads(capfd.readouterr().out)["targets"]
    assert [(row["name"], row["lead"]) for row in rows] == [("t2m", 0), ("index", 1)]
    # two years lie beyond: the last fifth of 547 training steps, which validated, is scored as well
    assert rows[0]["validation"]
    assert (rows[0]["steps"], rows[0]["training_steps"]) == (STEPS - 547 + 109, 547 - 109)
    assert rows[0]["share"] > 0.02
    with xr.open_dataset(folder / "r.nc") as file:
        np.testing.assert_allclose(file.target_share_t2m, rows[0]["share"])


def test_a_plan_tells_what_a_target_has(folder, run_code, capfd):
    target = ("--target", folder / "index.csv", "--target-lead", 3)
    assert run_code("train", folder / "cube.nc", "-o", folder / "new.pt", "--dry-run", *target) == 0
    told = " ".join(capfd.readouterr().err.split())
    assert f"index.csv has {STEPS - 3} of {STEPS} time steps" in told


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train", "{cube}", "-o", "{new}", "--target", "{cube}"], 3, "several variables: "),
        (["train", "{cube}", "-o", "{new}", "--target", "{cube}:snow"], 3, "no variable 'snow'"),
        (["train", "{cube}", "-o", "{new}", "--target", "absent.csv"], 3, "absent.csv"),
        (
            ["train", "{cube}", "-o", "{new}", "--target-lead", "1"],
            2,
            "--target-lead was given without --target",
        ),
        (
            ["train", "{cube}", "-o", "{index}", "--target", "{index}", "--overwrite"],
            5,
            "is an input and would",
        ),
        (
            ["cluster", "{e}", "-o", "{new}", "--target-lead", "1"],
            2,
            "--target-lead 1 was given for 0 targets",
        ),
        (["cluster", "{e}", "-o", "{new}", "--target", "{index}", "--target-lead", "x"], 2, "whole numbers"),
        (
            ["cluster", "{e}", "-o", "{index}", "--target", "{index}", "--overwrite"],
            5,
            "is an input and would",
        ),
        (["cluster", "{e}", "-o", "{new}", "--target", "{cube}:snow"], 3, "no variable 'snow'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_short_message_and_its_exit_code(arguments, code, told, folder, run_code, capfd):
    names = {"cube": "cube.nc", "e": "e.nc", "index": "index.csv", "new": "new.nc"}
    places = {key: folder / name for key, name in names.items()}
    assert run_code(*(argument.format(**places) for argument in arguments)) == code
    assert told in " ".join(capfd.readouterr().err.split())
    assert not (folder / "new.nc").exists()
