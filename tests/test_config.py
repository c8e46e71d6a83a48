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
    with pytest.raises(UsageError, match=r"run\.toml: hiden is an unknown setting"):
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
        ({"window": 0}, "--window: "),
        ({"window": "many"}, "--window: "),
        ({"burn_in": 24}, "--burn-in 24 leaves nothing of --window"),
        ({"stride": 20}, "would skip steps"),
        ({"tile": 30, "halo": 15}, "--halo 15 leaves nothing of --tile"),
        ({"bottleneck": 15}, "not a multiple of --attention-heads 2"),
        ({"stride": 10}, "not a multiple of --attention-every 4"),
        ({"encoder": "transformer"}, "--encoder: "),
        ({"without": ("gates",)}, "--without: "),
        ({"encoder": "convgru", "without": ("axial", "season")}, "convgru has no axial to switch off"),
        ({"encoder": "minfaconvlstm", "without": ("peephole",)}, "minfaconvlstm has no peephole"),
        ({"kernel_size": 4}, "--kernel-size: "),
        ({"objective": "fun"}, "--objective: "),
        ({"lr": 0.0}, "--lr: "),
        ({"lr": float("inf")}, "--lr: "),
        ({"seed": 2**32}, "--seed: "),
        ({"lead": ()}, "--lead: "),
        ({"lead": (0,)}, "--lead: "),
        ({"lead": (1, 1, 2)}, "Give 1,2, and weights"),
        ({"lead": ("5", "1")}, "Give 1,5, and weights"),
        ({"lead": (1, 2), "lead_weight": (1.0,)}, "--lead-weight has 1 values for 2 lead times"),
        ({"lead_weight": (1.0, 1.0, 0.0, 1.0)}, "--lead-weight: "),
        ({"eof_share": 1.5}, "--eof-share: "),
        ({"dropout": 1.0}, "--dropout: "),
        ({"dilations": ()}, "--dilations: "),
        ({"variables": ()}, "--variables: "),
        ({"levels": ()}, "--levels: "),
        ({"precision": "float16"}, "--precision: "),
        ({"patch": 3}, "--patch: "),
        ({"anomaly": "weekly"}, "--anomaly: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        RunConfig.build(None, options)


def test_a_setting_of_a_file_is_named_with_its_file(tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text("[fit]\nlead = [0]\n")
    with pytest.raises(UsageError, match=r"run\.toml: fit\.lead: Input should be greater"):
        RunConfig.build(toml, {})
    with pytest.raises(UsageError, match=r"^--lead is 2,1\."):
        RunConfig.build(toml, {"lead": (2, 1)})


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
    with pytest.raises(UsageError, match="only a network sees static fields"):
        RunConfig.build(None, {"encoder": "eof", "static": ["s.nc:oro"]})
