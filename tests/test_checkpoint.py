import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.checkpoint import Checkpoint, describe, read_checkpoint, write_checkpoint
from faconv_cli.config import RunConfig
from faconv_cli.cube.channel import Channel
from faconv_cli.cube.climatology import Climatology
from faconv_cli.cube.constants import NEVER, Constants, Cycle
from faconv_cli.cube.grid import Grid
from faconv_cli.errors import CheckpointError, OutputError
from faconv_cli.windows.normalize import Normalizer


@pytest.fixture
def checkpoint():
    rng = np.random.default_rng(0)
    return Checkpoint(
        config=RunConfig.build(None, {"hidden": 8, "seed": 3}),
        channels=(Channel("z500", "m", "height", "geopotential_height", 500.0, "hPa"),),
        grid=Grid.from_coordinates(np.linspace(10, -10, 4), np.linspace(-180, 120, 6)),
        time_step="1 day",
        sub_daily=False,
        climatology=Climatology("monthly", True, rng.normal(size=(13, 1, 4, 6)), 2001.5, ("2001", "2002")),
        normalizer=Normalizer(np.array([0.1]), np.array([2.0]), np.ones((1, 4, 6), np.float32)),
        encoder={"layer.a": torch.randn(3, 2), "b": torch.randn(4)},
        decoder={"c": torch.randn(1)},
        record={"training": {"sources": ["a.nc"]}, "updates": 4},
        resume={"epoch": 2, "state": {"x": torch.ones(2)}},
    )


def test_a_checkpoint_comes_back_as_it_was(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)
    read = read_checkpoint(tmp_path / "m.pt")
    for name in ("config", "channels", "periodic", "time_step", "sub_daily", "record"):
        assert getattr(read, name) == getattr(checkpoint, name)
    np.testing.assert_array_equal(read.lat, checkpoint.lat)
    np.testing.assert_array_equal(read.lon, checkpoint.lon)
    np.testing.assert_array_equal(read.climatology.coefficients, checkpoint.climatology.coefficients)
    assert (read.climatology.kind, read.climatology.detrend) == ("monthly", True)
    assert (read.climatology.centre_years, read.climatology.period) == (2001.5, ("2001", "2002"))
    np.testing.assert_array_equal(read.normalizer.std, checkpoint.normalizer.std)
    assert torch.equal(read.encoder["layer.a"], checkpoint.encoder["layer.a"])
    assert torch.equal(read.resume["state"]["x"], torch.ones(2))
    assert read.grid_shape == (4, 6)
    assert len(read.sha256) == 64


def test_cell_areas_come_back_where_there_are_some(checkpoint, tmp_path):
    area = np.random.default_rng(0).uniform(size=(4, 6))
    weighted = replace(checkpoint, grid=checkpoint.grid.with_area(area))
    write_checkpoint(tmp_path / "a.pt", weighted, overwrite=False)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.pt").cell_area, area)
    write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)
    assert read_checkpoint(tmp_path / "m.pt").cell_area is None


def test_the_order_of_the_file_comes_back(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)
    read = read_checkpoint(tmp_path / "m.pt").grid
    field = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(read.to_file_order(field), checkpoint.grid.to_file_order(field))
    np.testing.assert_array_equal(read.file_lon, np.linspace(-180, 120, 6))
    assert read.periodic


def test_a_rotated_grid_comes_back_with_its_axes_and_its_mapping(checkpoint, tmp_path):
    lat, lon = np.meshgrid(np.linspace(40, 43, 4), np.linspace(0, 5, 6), indexing="ij")
    along = {
        "rlat": xr.Variable("rlat", np.arange(4, dtype=">f4"), {"units": "degrees", "axis": "Y"}),
        "pole": xr.Variable((), b"", {"grid_north_pole_latitude": np.float32(39.25), "parallel": np.ones(2)}),
    }
    grid = replace(Grid.from_coordinates(lat, lon, "rlat", "rlon"), along=along)
    write_checkpoint(tmp_path / "m.pt", replace(checkpoint, grid=grid), overwrite=False)
    read = read_checkpoint(tmp_path / "m.pt").grid
    assert read.dims == ("rlat", "rlon")
    assert read.attributes == {"coordinates": "lat lon", "grid_mapping": "pole"}
    assert read.along["pole"].attrs == {"grid_north_pole_latitude": 39.25, "parallel": [1, 1]}
    np.testing.assert_array_equal(read.along["rlat"].values, np.arange(4))
    assert read.along["rlat"].attrs == along["rlat"].attrs


def test_what_the_data_are_prepared_with_comes_back(checkpoint, tmp_path):
    rng = np.random.default_rng(0)
    constants = Constants(
        mask=rng.uniform(size=(8, 12)) > 0.5,
        static_names=("oro", "lsm"),
        statics=rng.normal(size=(2, 4, 6)).astype(np.float32),
        input_units={"u10": "m s-1"},
        level_units=("hPa",),
        input_differences=frozenset({"u10"}),
        accumulated={"tp": Cycle(24.0, 1.0), "sf": None, "rainnc": NEVER},
    )
    write_checkpoint(tmp_path / "m.pt", replace(checkpoint, constants=constants), overwrite=False)
    read = read_checkpoint(tmp_path / "m.pt")
    np.testing.assert_array_equal(read.constants.mask, constants.mask)
    np.testing.assert_array_equal(read.constants.statics, constants.statics)
    assert read.constants.static_names == ("oro", "lsm")
    assert read.constants.input_units == {"u10": "m s-1"}
    assert read.constants.level_units == ("hPa",)
    assert read.constants.input_differences == {"u10"}
    assert read.constants.accumulated == {"tp": Cycle(24.0, 1.0), "sf": None, "rainnc": NEVER}
    assert describe(read)["static channels"] == ["oro", "lsm"]
    write_checkpoint(tmp_path / "plain.pt", checkpoint, overwrite=False)
    assert read_checkpoint(tmp_path / "plain.pt").constants.mask is None


def test_a_checkpoint_that_does_not_say_what_is_a_difference_is_read_by_its_names(
    checkpoint, tmp_path, monkeypatch
):
    channels = (
        *checkpoint.channels,
        Channel("t", "K", "", "air_temperature_anomaly"),
        Channel("p", anomaly="trend"),
    )
    written = []
    monkeypatch.setattr(torch, "save", lambda contents, buffer, save=torch.save: written.append(contents))
    write_checkpoint(tmp_path / "new.pt", replace(checkpoint, channels=channels), overwrite=False)
    monkeypatch.undo()
    about = json.loads(written[0]["about"])
    del about["level_units"], about["input_differences"]
    for channel in about["channels"]:
        del channel["difference"]
    torch.save(written[0] | {"about": json.dumps(about)}, tmp_path / "old.pt")
    read = read_checkpoint(tmp_path / "old.pt")
    assert [channel.difference for channel in read.channels] == [False, True, True]
    assert read.constants.level_units == ("hPa",)
    assert read.constants.input_differences is None


def test_the_same_contents_give_the_same_bytes(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "one.pt", checkpoint, overwrite=False)
    write_checkpoint(tmp_path / "two.pt", checkpoint, overwrite=False)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()


def test_a_checkpoint_is_not_replaced_unasked(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)
    with pytest.raises(OutputError, match="already exists"):
        write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)


def test_foreign_and_damaged_files_are_refused(checkpoint, tmp_path):
    path = tmp_path / "m.pt"
    write_checkpoint(path, checkpoint, overwrite=False)
    data = path.read_bytes()
    pieces = {"short": data[:200], "empty": b"", "text": b"hello", "half": data[: len(data) // 2]}
    for name, damaged in pieces.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a checkpoint, or a truncated one"):
            read_checkpoint(tmp_path / name)
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="faconv did not write"):
        read_checkpoint(tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("part", ["encoder", "about", "end"])
def test_a_flipped_byte_is_noticed(checkpoint, tmp_path, part):
    checkpoint = replace(checkpoint, encoder={"layer.a": torch.full((50, 50), 7.0)})
    path = tmp_path / "m.pt"
    write_checkpoint(path, checkpoint, overwrite=False)
    data = bytearray(path.read_bytes())
    places = {"encoder": data.find(b"\0\0\xe0\x40" * 9), "about": data.find(b"z500"), "end": len(data) - 100}
    data[places[part]] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="a damaged checkpoint") as refused:
        read_checkpoint(path)
    assert len(str(refused.value)) < 300 + len(str(path))


def test_nothing_pickled_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"format": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        read_checkpoint(tmp_path / "evil.pt")


def test_a_newer_format_and_a_missing_part_are_named(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "m.pt", checkpoint, overwrite=False)
    contents = torch.load(tmp_path / "m.pt", weights_only=True)
    torch.save(contents | {"version": 3}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match="checkpoint format 3"):
        read_checkpoint(tmp_path / "new.pt")
    torch.save(contents | {"version": 1}, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=r"format 1.*reads format 2.*that wrote it, or train"):
        read_checkpoint(tmp_path / "old.pt")
    del contents["arrays"]
    torch.save(contents, tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match="a part is missing or wrong"):
        read_checkpoint(tmp_path / "part.pt")


def test_every_flipped_byte_is_an_error_or_harmless(checkpoint, tmp_path):
    write_checkpoint(tmp_path / "m.pt", replace(checkpoint, resume={}), overwrite=False)
    data = bytearray((tmp_path / "m.pt").read_bytes())
    for position in np.random.default_rng(0).integers(len(data), size=60):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        (tmp_path / "d.pt").write_bytes(damaged)
        try:
            read_checkpoint(tmp_path / "d.pt")
        except CheckpointError:
            continue


def test_a_description_names_channels_units_and_size(checkpoint):
    told = describe(checkpoint)
    assert told["parameters"] == 10
    assert told["recurrent parameters"] == 6
    assert told["channels"][0] == {
        "name": "z500",
        "units": "m",
        "mean of anomalies": 0.1,
        "standard deviation": 2.0,
    }
    assert told["anomalies"] == "less the mean of each calendar month, detrended"
    assert told["grid"]["shape"] == [4, 6]
