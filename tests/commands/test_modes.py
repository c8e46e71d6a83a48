"""Looking at modes, as a user types it."""

import numpy as np
import pytest
import xarray as xr

TINY = ("--updates", "0", "--hidden", "4", "--window", "8", "--burn-in", "2", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_code):
    folder = tmp_path_factory.mktemp("modes")
    cube = folder / "cube.nc"
    assert run_code("sample", "planted", cube, "--steps", 200, "--lat", 8, "--lon", 16) == 0
    assert run_code("train", cube, "-o", folder / "m.pt", *TINY, "--embedding", 6) == 0
    assert run_code("train", cube, "-o", folder / "other.pt", *TINY, "--embedding", 5) == 0
    forecast = ("--task", "forecast", "--encoder", "minconvgru")
    assert run_code("train", cube, "-o", folder / "f.pt", *TINY, *forecast) == 0
    assert run_code("embed", "-c", folder / "m.pt", cube, folder / "e.nc", "--modes", 4) == 0
    assert run_code("cluster", folder / "e.nc", "-k", 3, "-o", folder / "r.nc") == 0
    return folder


def test_modes_are_shown_with_what_they_explain(folder, run_code, capfd):
    assert run_code("modes", folder / "m.pt", "--modes", 2) == 0
    out = capfd.readouterr().out
    assert "explained variance in training" in out
    assert "lead 5" in out
    assert str(folder / "m_modes.nc") in out
    with xr.open_dataset(folder / "m_modes.nc") as file:
        assert file.sizes["mode"] == 2
        assert file.lead.values.tolist() == [0, 1, 2, 3, 5]


def test_an_embedding_and_its_regimes_become_fields(folder, run_code, capfd):
    to = ("-c", folder / "m.pt")
    assert run_code("reconstruct", folder / "e.nc", folder / "fields.nc", *to, "--modes", 3, "--full") == 0
    assert "200 time steps from 3 modes" in capfd.readouterr().out
    with xr.open_dataset(folder / "fields.nc") as made, xr.open_dataset(folder / "cube.nc") as data:
        assert np.corrcoef(made.t2m.values.ravel(), data.t2m.values.ravel())[0, 1] > 0.5
    assert run_code("reconstruct", folder / "r.nc", folder / "maps.nc", *to, "--lead", 2) == 0
    assert "3 regimes from 4 modes" in capfd.readouterr().out


def test_a_file_with_the_first_modes_keeps_them_when_it_grows(folder, run_code, capfd):
    arguments = ("embed", "-c", folder / "m.pt", folder / "cube.nc", folder / "grown.nc")
    assert run_code(*arguments, "--time-range", "2000:2000-03", "--modes", 3) == 0
    assert run_code(*arguments, "--append") == 0
    assert "time steps of 3 numbers" in capfd.readouterr().out
    with xr.open_dataset(folder / "grown.nc") as grown, xr.open_dataset(folder / "e.nc") as whole:
        np.testing.assert_allclose(grown.embedding.values, whole.embedding.values[:, :3], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["modes", "{f}", "-o", "{new}"], 4, "was trained to forecast"),
        (["modes", "{m}", "-o", "{new}", "--modes", "7"], 2, "The checkpoint has 6"),
        (["modes", "{m}", "-o", "{m}", "--overwrite"], 5, "is an input and would be replaced"),
        (["modes", "{m}", "-o", "{new}", "--figure", "a.bmp"], 2, "faconv draws png, pdf, svg"),
        (["modes", "{e}", "-o", "{new}"], 4, "not a checkpoint"),
        (["reconstruct", "{e}", "{new}", "-c", "{other}"], 4, "another checkpoint"),
        (["reconstruct", "{e}", "{new}", "-c", "{f}"], 4, "was trained to forecast"),
        (["reconstruct", "{cube}", "{new}", "-c", "{m}"], 3, "no variable embedding(time, mode)"),
        (["reconstruct", "{m}", "{new}", "-c", "{m}"], 3, "cannot be read as NetCDF"),
        (["reconstruct", "{e}", "{new}", "-c", "{m}", "--lead", "4"], 2, "Its lead times are 0, 1, 2"),
        (["reconstruct", "{r}", "{new}", "-c", "{m}", "--full"], 2, "have no date"),
        (["reconstruct", "{e}", "{new}", "-c", "{m}", "--modes", "9"], 2, "The checkpoint has 6"),
        (["reconstruct", "{e}", "{e}", "-c", "{m}", "--overwrite"], 5, "is an input and would be replaced"),
        (["embed", "-c", "{m}", "{cube}", "{new}", "--modes", "7"], 2, "The checkpoint has 6"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_short_message_and_its_exit_code(arguments, code, told, folder, run_code, capfd):
    names = {"m": "m.pt", "f": "f.pt", "other": "other.pt", "e": "e.nc", "r": "r.nc", "cube": "cube.nc"}
    places = {key: folder / name for key, name in names.items()} | {"new": folder / "new"}
    assert run_code(*(argument.format(**places) for argument in arguments)) == code
    assert told in " ".join(capfd.readouterr().err.split())
    assert not (folder / "new").exists()
