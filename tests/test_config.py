import pytest

from faconv_cli.config import EncoderConfig, FitConfig, RunConfig, TilingConfig
from faconv_cli.errors import UsageError


def test_options_win_over_the_file_and_the_file_over_defaults(tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text("window = 30\nseed = 4\n[encoder]\nhidden = 8\ndilations = [1, 3]\n")
    config = RunConfig.build(toml, {"seed": 7, "hidden": None})
    assert (config.tiling.window, config.fit.seed, config.encoder.hidden) == (30, 7, 8)
    assert config.encoder.dilations == (1, 3)
    assert config.fit.updates == FitConfig().updates


def test_a_share_held_out_may_be_a_number_in_the_file(tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text("validation = 0.3")
    assert RunConfig.build(toml, {}).data.validation == "0.3"


def test_an_unknown_setting_is_named(tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text("hiden = 8")
    with pytest.raises(UsageError, match="unknown setting 'hiden'"):
        RunConfig.build(toml, {})


@pytest.mark.parametrize("text", ["window = ", "\xff"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, text):
    toml = tmp_path / "run.toml"
    toml.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"run\.toml.*must be a TOML file"):
        RunConfig.build(toml, {})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        RunConfig.build(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"window": 0}, "tiling.window"),
        ({"window": "many"}, "tiling.window"),
        ({"burn_in": 24}, "leaves nothing of a window"),
        ({"stride": 20}, "would skip steps"),
        ({"tile": 30, "halo": 15}, "leaves nothing of a tile"),
        ({"bottleneck": 15}, "not a multiple of 2 heads"),
        ({"stride": 10}, "not a multiple of attention_every 4"),
        ({"encoder": "transformer"}, "encoder.encoder"),
        ({"without": ("gates",)}, "encoder.without"),
        ({"encoder": "convgru", "without": ("axial", "season")}, "convgru has no axial to switch off"),
        ({"encoder": "minfaconvlstm", "without": ("peephole",)}, "minfaconvlstm has no peephole"),
        ({"kernel_size": 4}, "encoder.kernel_size"),
        ({"objective": "fun"}, "fit.objective"),
        ({"lr": 0.0}, "fit.lr"),
        ({"lr": float("inf")}, "fit.lr"),
        ({"seed": 2**32}, "fit.seed"),
        ({"lead": ()}, "fit.lead"),
        ({"lead": (0,)}, "fit.lead"),
        ({"lead": (1, 1, 2)}, "Give 1,2, and weights"),
        ({"lead": ("5", "1")}, "Give 1,5, and weights"),
        ({"lead": (1, 2), "lead_weight": (1.0,)}, "1 lead weights for 2 leads"),
        ({"lead_weight": (1.0, 1.0, 0.0, 1.0)}, "fit.lead_weight"),
        ({"eof_share": 1.5}, "encoder.eof_share"),
        ({"dropout": 1.0}, "fit.dropout"),
        ({"dilations": ()}, "encoder.dilations"),
        ({"variables": ()}, "data.variables"),
        ({"levels": ()}, "data.levels"),
        ({"precision": "float16"}, "fit.precision"),
        ({"patch": 3}, "encoder.patch"),
        ({"anomaly": "weekly"}, "data.anomaly"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        RunConfig.build(None, options)


def test_a_configuration_survives_json():
    config = RunConfig(
        tiling=TilingConfig(window=30), encoder=EncoderConfig(without=("axial",)), fit=FitConfig(lead=(1, 5))
    )
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoder": "eof"},
        {"encoder": "eof", "lead": (1, 2)},
        {"encoder": "eof", "task": "forecast"},
        {"task": "forecast"},
        {"task": "forecast", "closed_loop": True},
        {"task": "forecast", "skip": False},
        {"objective": "reconstruct", "target": ("rain.csv:rain",), "target_weight": (3.0,)},
        {"encoder": "minfaconvlstm", "causal": False},
    ],
)
def test_what_can_be_trained_can_be_read_from_its_checkpoint(options):
    config = RunConfig.build(None, options)
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_static_fields_have_no_place_in_eofs():
    with pytest.raises(UsageError, match="static fields are seen by a network"):
        RunConfig.build(None, {"encoder": "eof", "static": ["s.nc:oro"]})
