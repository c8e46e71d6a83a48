from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from faconv_cli.errors import OutputError
from faconv_cli.subspace.fields import SubspaceFields
from faconv_cli.subspace.figures import draw_modes, save_modes
from faconv_cli.subspace.modes import write_modes
from faconv_cli.subspace.read import read_coordinates
from faconv_cli.subspace.reconstruct import write_reconstruction


def _written(path, checkpoint, modes, **options):
    write_modes(path, SubspaceFields(checkpoint), modes, command="faconv modes", **options)
    with xr.open_dataset(path) as file:
        return file.load()


def test_a_user_can_put_the_fields_together_from_the_modes(linear, cube, embed, tmp_path, assert_cf):
    source = embed(linear, cube)
    modes = _written(tmp_path / "m.nc", linear, 6)
    write_reconstruction(tmp_path / "r.nc", SubspaceFields(linear), read_coordinates(source, linear), lead=3)
    with xr.open_dataset(source) as z, xr.open_dataset(tmp_path / "r.nc") as whole:
        for name in ("v0", "v1"):
            summed = modes[f"mean_{name}"] + (
                modes[f"mode_{name}"] * z.embedding / modes.standard_deviation
            ).sum("mode")
            expected = whole[name].values
            found = summed.sel(lead=3).transpose("time", "lat", "lon").values
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert modes.mode_v1.attrs["units"] == "Pa"
    assert modes.lead.values.tolist() == [0, 1, 3]
    assert modes.attrs["faconv_checkpoint_sha256"] == linear.sha256
    assert linear.config.model_validate_json(modes.attrs["faconv_config"]) == linear.config
    assert_cf(tmp_path / "m.nc")


def test_modes_have_the_maps_of_targets_on_their_own_grid(targeted, cube, embed, tmp_path, assert_cf):
    checkpoint, rain = targeted
    modes = _written(tmp_path / "m.nc", checkpoint, 20)
    assert_cf(tmp_path / "m.nc")
    assert modes.mode_target_rain.dims == ("mode", "lat_target_rain", "lon_target_rain")
    np.testing.assert_array_equal(modes.lat_target_rain.values, [40.0, 10])
    assert modes.mode_target_rain.attrs["units"] == "mm"
    assert (modes.mode_target_my_index.dims, modes.mean_target_my_index.dims) == (("mode",), ())
    assert "2 steps of 1 day later" in modes.mode_target_my_index.attrs["long_name"]
    with xr.open_dataset(embed(checkpoint, cube)) as file:
        z = file.embedding / modes.standard_deviation
    told = (modes.mean_target_rain + (modes.mode_target_rain * z).sum("mode")).transpose("time", ...)
    anomaly = (rain - rain.mean("time")).values
    area = np.cos(np.deg2rad([40.0, 10]))[:, None] * np.ones(3)
    power = [(one.var(axis=0) * area).sum() for one in (told.values, anomaly, anomaly - told.values)]
    share = float(modes.told_variance_target_rain * modes.explained_variance_target_rain.sum())
    np.testing.assert_allclose(power[0] / power[1], share, rtol=1e-3)
    assert power[2] < (1 - share) * power[1]  # shrinkage tells less than it knows


def test_what_modes_explain_of_a_target_adds_up_to_what_is_told(targeted, tmp_path):
    modes = _written(tmp_path / "m.nc", targeted[0], 20)
    for name in ("rain", "my_index"):
        shares = modes[f"cumulative_variance_target_{name}"].values
        assert 0.9 < shares[-1] <= 1 + 1e-6
        assert 0 < float(modes[f"told_variance_target_{name}"]) < 1
    found = SubspaceFields(targeted[0]).explained()
    np.testing.assert_allclose(modes.explained_variance_target_rain, found.of_targets[:, 0], rtol=1e-6)
    # a series is told in its own units: of the number of the modes, less nothing
    told = (modes.mode_target_my_index**2).sum() / targeted[0].targets[1].normalizer.std[0] ** 2
    np.testing.assert_allclose(told, found.told[1] * found.of_targets[:, 1].sum(), rtol=1e-3)


def test_a_figure_has_a_column_for_a_target_that_is_a_field(targeted):
    fields = SubspaceFields(targeted[0])
    figure = draw_modes(fields, fields.explained(), 2)
    titles = [axis.get_title() for axis in figure.axes]
    assert sum("target: rain" in title for title in titles) == 2
    assert not any("my index" in title for title in titles)
    assert any("rain (mm)" in axis.get_ylabel() for axis in figure.axes)


def test_the_file_tells_what_modes_explain(linear, tmp_path):
    modes, found = _written(tmp_path / "m.nc", linear, 2), SubspaceFields(linear).explained()
    assert modes.sizes["mode"] == 2
    np.testing.assert_allclose(modes.explained_variance.values, found.share[:2], rtol=1e-6)
    np.testing.assert_allclose(modes.explained_variance_v1.values, found.by_part[:2, :, 1], rtol=1e-6)
    np.testing.assert_allclose(modes.standard_deviation_v1.values, found.spread[:, 1], rtol=1e-6)
    for name in ("", "_v0", "_v1"):
        total = modes[f"explained_variance{name}"].cumsum("mode").values
        np.testing.assert_allclose(modes[f"cumulative_variance{name}"].values, total, rtol=1e-6)


def test_a_channel_keeps_out_of_the_way_of_our_own_names(trained, make_cube, embed, tmp_path):
    cube = make_cube(60, shape=(4, 5))
    names = ("cluster", "z/500")
    cube = replace(
        cube, channels=tuple(replace(c, name=n) for c, n in zip(cube.channels, names, strict=True))
    )
    checkpoint = trained(cube, updates=0, hidden=2, objective="reconstruct")
    rows = read_coordinates(embed(checkpoint, cube), checkpoint)
    write_reconstruction(tmp_path / "r.nc", SubspaceFields(checkpoint), rows)
    with xr.open_dataset(tmp_path / "r.nc") as file:
        assert set(file.data_vars) == {"cluster_", "z_500"}
    assert {"mode_z_500", "mode_cluster_"} <= set(_written(tmp_path / "m.nc", checkpoint, 1).data_vars)


def test_a_file_that_exists_is_kept_unless_asked(linear, tmp_path):
    (tmp_path / "m.nc").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        _written(tmp_path / "m.nc", linear, 1)
    assert _written(tmp_path / "m.nc", linear, 1, overwrite=True).sizes["mode"] == 1


def test_a_figure_has_a_row_for_each_mode_and_one_scale_for_each_channel(linear, tmp_path):
    pytest.importorskip("matplotlib")
    fields = SubspaceFields(linear)
    figure = draw_modes(fields, fields.explained(), 3)
    titled = [axes for axes in figure.axes if axes.get_title()]
    assert len(titled) == 3 * 4
    assert titled[0].get_title().startswith("mode 1, now: v0, ")
    assert titled[3].get_title().startswith("mode 1, 3 steps ahead: v1, ")
    assert len({axes.collections[0].get_clim() for axes in titled}) == 2
    drawn = titled[3].collections[0].get_array()
    np.testing.assert_allclose(np.ravel(drawn), fields.maps(0, 2)[1].ravel(), rtol=1e-6)
    save_modes(tmp_path / "m.png", fields, fields.explained(), 1)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_one_channel_is_drawn_at_every_lead(trained, make_cube):
    pytest.importorskip("matplotlib")
    cube = make_cube(60, channels=1, shape=(4, 5))
    fields = SubspaceFields(trained(cube, updates=0, hidden=2, lead=(1, 2)))
    titles = [axes.get_title() for axes in draw_modes(fields, fields.explained(), 1).axes]
    assert [title.split(":")[0] for title in titles if title] == [
        "mode 1, now",
        "mode 1, 1 step ahead",
        "mode 1, 2 steps ahead",
    ]
