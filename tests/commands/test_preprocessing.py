"""Preprocessing as a user types it."""

import json

import numpy as np
import pytest
import xarray as xr

QUICK = [
    "--window",
    12,
    "--burn-in",
    4,
    "--hidden",
    6,
    "--bottleneck",
    4,
    "--embedding",
    4,
    "--updates",
    2,
    "--validation",
    0,
    "--threads",
    1,
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A record of winds, and a mask and an orography on its grid."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    axes = {
        "time": xr.date_range("2000-10-01", periods=420),
        "lat": ("lat", np.arange(80.0, -81, -20), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(0.0, 360, 30), {"units": "degrees_east"}),
    }
    wave = np.sin(np.arange(420)[:, None, None] / 3 + np.arange(12) / 2)
    winds = {
        name: (
            ("time", "lat", "lon"),
            (wave + rng.normal(size=(420, 9, 12))).astype("f4"),
            {"units": "m s-1"},
        )
        for name in ("u10", "v10")
    }
    xr.Dataset(winds, axes).to_netcdf(folder / "winds.nc")
    fixed = {name: (("lat", "lon"), rng.uniform(size=(9, 12)).round()) for name in ("lsm", "oro")}
    del axes["time"]
    xr.Dataset(fixed, axes).to_netcdf(folder / "fixed.nc")
    return folder


@pytest.fixture
def options(files):
    return [
        *("--region", "-70:70,90:-30", "--coarsen", 2, "--smooth", 3, "--season", "NDJFM"),
        *("--variables", "wind", "--derive", "wind=hypot(u10,v10)"),
        *("--mask", f"{files}/fixed.nc:lsm", "--static", f"{files}/fixed.nc:oro"),
    ]


def test_inspect_shows_what_training_would_get(files, options, run):
    told = json.loads(run("inspect", files / "winds.nc", *options, "--json")[1])
    assert [(v["name"], v["units"], v["long_name"]) for v in told["variables"]] == [
        ("wind", "m s-1", "hypot(u10,v10)")
    ]
    assert told["grid"]["shape"] == [4, 5]
    assert (told["time"]["steps"], len(told["time"]["gaps"])) == (175, 1)
    notes = " ".join(told["notes"])
    for word in (
        "Region",
        "Mask",
        "blocks of 2 x 2",
        "means over 3 steps",
        "Season NDJFM",
        "Static channels: oro",
    ):
        assert word in notes


def test_what_was_done_is_recorded_in_the_output(files, options, run, assert_cf, tmp_path):
    checkpoint, output = tmp_path / "m.pt", tmp_path / "z.nc"
    code, _, err = run("train", files / "winds.nc", "-o", checkpoint, *options, *QUICK)
    assert code == 0, err
    assert "wind is hypot(u10,v10), in m s-1." in err
    assert run("embed", "-c", checkpoint, files / "winds.nc", output, "--threads", 1)[0] == 0
    with xr.open_dataset(output) as file:
        assert file.sizes["time"] == 175
        assert file.sizes["lat"] == 4
        assert "wind is hypot(u10,v10), in m s-1. Mask: " in file.attrs["faconv_notes"]
        assert json.loads(file.attrs["faconv_config"])["data"]["region"] == "-70:70,90:-30"
        assert "Season NDJFM" in " ".join(json.loads(file.attrs["faconv_training"])["notes"])
    assert_cf(output)
    told = json.loads(run("inspect", checkpoint, "--json")[1])
    assert told["static channels"] == ["oro"]


def test_settings_may_stand_in_a_file(files, run, tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text('derive = ["wind=hypot(u10,v10)"]\nregion = "0:80,0:360"\nsmooth = 4\ncoarsen = 2\n')
    code, out, err = run(
        "train", files / "winds.nc", "--config", toml, "--window", 12, "--burn-in", 4, "--dry-run"
    )
    assert code == 0, err
    assert "means over 4 steps" in err
    assert "1 of 3 x 6 points" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--region", "1,2"], 2, "--region '1,2'"),
        (["--region", "1:2,0:360"], 3, "holds 0 x 12 points"),
        (["--derive", "x=__import__('os')"], 2, "not arithmetic"),
        (["--derive", "x=q*2"], 3, "no channel q"),
        (["--variables", "u10", "--derive", "x=q*2"], 3, "no variable 'q'"),
        (["--mask", "{files}/none.nc"], 3, "none.nc"),
        (["--mask", "{files}/winds.nc:u10"], 3, "u10 has"),
        (["--static", "{files}/fixed.nc:sea"], 3, "no field 'sea'"),
        (["--coarsen", "1"], 2, "coarsen"),
        (["--coarsen", "5"], 2, "--coarsen 5 does not divide the 12 longitudes"),
        (["--smooth", "0"], 2, "smooth"),
        (["--smooth", "1"], 2, "less than two time steps"),
        (["--season", "J"], 2, "is ambiguous: it fits 3 places"),
        (["--season", "XYZ"], 2, "not a run of months"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("command", ["train", "inspect"])
def test_a_mistake_gets_a_short_message_and_its_exit_code(
    files, run, command, arguments, code, told, tmp_path
):
    output = ["-o", tmp_path / "m.pt"] if command == "train" else []
    found, _, err = run(command, files / "winds.nc", *output, *(a.format(files=files) for a in arguments))
    assert found == code, err
    assert told in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_not_replaced_by_the_checkpoint(files, run):
    mask = files / "fixed.nc"
    before = mask.read_bytes()
    options = ["-o", mask, "--mask", f"{mask}:lsm", "--overwrite", *QUICK]
    code, _, err = run("train", files / "winds.nc", *options)
    assert code == 5, err
    assert mask.read_bytes() == before
