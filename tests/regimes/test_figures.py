import builtins
import sys

import numpy as np
import pytest

from faconv_cli.errors import OutputError, UsageError
from faconv_cli.regimes.additions import add_data
from faconv_cli.regimes.analysis import find_regimes
from faconv_cli.regimes.figures import check_figure, draw_composites, draw_modes, save_figure
from tests.regimes.planted import embedding, planted
from tests.regimes.test_composites import cube_of

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def regimes():
    return find_regimes(embedding(planted(k=3, steps=200)[0]), clusters=(3,))


@pytest.fixture
def mapped(regimes):
    fields = np.random.default_rng(0).standard_normal((200, 2, 4, 5))
    fields[:, :, 0, 0] = np.nan
    return add_data(regimes, cube_of(fields))


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_of_the_kind_its_ending_says(tmp_path, regimes, ending, magic):
    save_figure(tmp_path / f"r.{ending}", regimes)
    assert (tmp_path / f"r.{ending}").read_bytes().startswith(magic)
    assert len(list(tmp_path.iterdir())) == 1


def test_composites_have_a_map_for_each_regime_and_channel(mapped):
    figure = draw_composites(mapped)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == 6
    assert titles[0].startswith("regime 1, ")
    assert titles[0].endswith("sst")


def test_maps_share_a_scale_that_is_symmetric_about_zero(mapped):
    maps = [axes.collections[0] for axes in draw_composites(mapped).axes if axes.get_title().endswith("sst")]
    assert {m.get_clim() for m in maps} == {(-maps[0].get_clim()[1], maps[0].get_clim()[1])}
    largest = np.nanmax(np.abs(mapped.composites.anomaly[:, 0]))
    assert maps[0].get_clim()[1] == pytest.approx(largest)


def test_without_data_the_plane_of_two_modes_is_drawn(regimes):
    plane, timeline = draw_modes(regimes).axes
    assert [text.get_text().split(",")[0] for text in plane.get_legend().get_texts()] == [
        "regime 1",
        "regime 2",
        "regime 3",
    ]
    assert sum(len(c.get_offsets()) for c in plane.collections) == 200 + 3
    assert timeline.get_xlabel() == "year"


def test_one_mode_and_noise_can_be_drawn():
    x = np.concatenate([planted(k=2, modes=1, steps=200)[0], np.full((3, 1), 90.0)])
    found = find_regimes(embedding(x), method="hdbscan")
    labels = [text.get_text() for text in draw_modes(found).axes[0].get_legend().get_texts()]
    assert labels[0] == "unclassified"


def test_what_save_figure_draws_depends_on_data(tmp_path, regimes, mapped):
    save_figure(tmp_path / "plain.png", regimes)
    save_figure(tmp_path / "maps.png", mapped)
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "maps.png").read_bytes()


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match="ends in nothing"):
        check_figure(tmp_path / "figure", overwrite=False)
    with pytest.raises(UsageError, match=r"ends in \.nc"):
        check_figure(tmp_path / "figure.nc", overwrite=False)


def test_a_figure_that_exists_is_kept_unless_told(tmp_path, regimes):
    (tmp_path / "r.png").write_text("precious")
    with pytest.raises(OutputError, match="already exists"):
        save_figure(tmp_path / "r.png", regimes)
    save_figure(tmp_path / "r.png", regimes, overwrite=True)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"faconv\[plot\]"):
        check_figure(tmp_path / "r.png", overwrite=False)
