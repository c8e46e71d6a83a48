import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.errors import CheckpointError, UsageError
from faconv_cli.network import build_domain, load_encoder
from faconv_cli.nn.encoder import comparable
from faconv_cli.subspace import fields as fields_module
from faconv_cli.subspace.fields import SubspaceFields, blocks


def _rows(path):
    with xr.open_dataset(path) as file:
        return file.embedding.values.astype(float)


def _by_channel(field, area):
    """Variance in time, mean over the area."""
    return (field.var(axis=0) * area).sum((-2, -1))


def test_without_leads_fields_are_those_of_the_eofs(eofs, cube, embed, analysis):
    fields = SubspaceFields(eofs)
    assert fields.leads == (0,)
    _, kept, _ = analysis(4)
    np.testing.assert_allclose(
        fields.anomalies(_rows(embed(eofs, cube)), 0), kept, rtol=1e-3, atol=1e-4 * np.abs(kept).max()
    )


def test_maps_times_their_numbers_add_up_to_the_fields(linear, cube, embed):
    fields, z = SubspaceFields(linear), _rows(embed(linear, cube))
    deviation = fields.explained().standard_deviation
    for part in range(3):
        maps = np.stack([fields.maps(mode, part) for mode in range(6)])
        summed = fields.mean(part) + np.einsum("nd,dcyx->ncyx", z / deviation, maps)
        np.testing.assert_allclose(
            fields.anomalies(z, part), summed, rtol=1e-4, atol=1e-4 * np.abs(summed).max()
        )


def test_without_leads_modes_explain_what_eofs_do(eofs, cube, analysis):
    found = SubspaceFields(eofs).explained()
    anomalies, kept, shares = analysis(4)
    np.testing.assert_allclose(found.share, shares, rtol=1e-4)
    np.testing.assert_allclose(found.spread[0] ** 2, _by_channel(anomalies, cube.grid.area), rtol=1e-4)
    np.testing.assert_allclose(
        found.by_part.sum(axis=0)[0],
        _by_channel(kept, cube.grid.area) / _by_channel(anomalies, cube.grid.area),
        rtol=1e-3,
    )


def test_what_modes_explain_of_a_forecast_adds_up_to_the_variance_of_its_fields(linear, cube, embed):
    fields, z = SubspaceFields(linear), _rows(embed(linear, cube))
    found, encoder, area = fields.explained(), load_encoder(linear), cube.grid.area
    domain = build_domain(linear.config, cube.grid, linear.normalizer.valid)
    anomalies = linear.climatology.subtract(np.asarray(cube.fields), cube.time)
    x = torch.from_numpy(linear.normalizer.apply(anomalies))[None]
    with torch.no_grad():
        now = encoder.eofs.whole(x, domain)
        change = encoder.eofs.changes(now, x, x.isfinite(), domain)
        ahead = encoder.untrained(now, change, comparable(x.isfinite(), domain))[0]
    for part in (1, 2):
        forecast = encoder.eofs.fields(ahead[:, part - 1], domain)
        total = _by_channel(linear.normalizer.invert(forecast.numpy()), area)
        np.testing.assert_allclose(found.spread[part] ** 2, total, rtol=1e-3)
        by_modes = _by_channel(fields.anomalies(z, part), area)
        np.testing.assert_allclose(found.by_part[:, part].sum(axis=0), by_modes / total, rtol=1e-3)
    np.testing.assert_allclose(found.standard_deviation, z.std(axis=0), rtol=1e-3)
    assert 0.5 < found.share.sum() < 1


def test_blocks_do_not_change_the_numbers(linear, monkeypatch):
    fields = SubspaceFields(linear)
    whole = fields.explained()
    monkeypatch.setattr(fields_module, "BLOCK_NUMBERS", 100)
    assert list(blocks(5, 40)) == [(0, 2), (2, 4), (4, 5)]
    np.testing.assert_allclose(fields.explained().by_part, whole.by_part, rtol=1e-6)


def test_land_is_missing(trained, make_cube):
    cube = make_cube(60, land=0.3, shape=(5, 7))
    fields = SubspaceFields(trained(cube, updates=0, objective="reconstruct"))
    land = np.isnan(np.asarray(cube.fields[0]))
    np.testing.assert_array_equal(np.isnan(fields.maps(0, 0)), land)
    assert land.any()
    assert np.isfinite(fields.explained().by_part).all()


def test_leads_the_embedding_does_not_tell_of_are_refused(linear, trained, cube):
    with pytest.raises(UsageError, match=r"--lead 2 is not in the checkpoint\. Its lead times are 0, 1, 3"):
        SubspaceFields(linear).part(2)
    ahead = SubspaceFields(trained(cube, updates=0, hidden=2, lead=(2,), objective="forecast"))
    assert ahead.part(2) == 0
    with pytest.raises(UsageError, match="does not hold the field now"):
        ahead.part(0)


def test_a_checkpoint_trained_to_forecast_is_refused(trained, cube):
    forecaster = trained(
        cube, task="forecast", encoder="minconvgru", embedding=None, bottleneck=None, updates=0
    )
    with pytest.raises(CheckpointError, match="was trained to forecast"):
        SubspaceFields(forecaster)
