"""What a run is made of: strict, frozen models, read from TOML and options, kept in the checkpoint.

A field's description is the help text of its command-line option: one place says what it means.
"""

from faconv_cli.config.data import DataConfig
from faconv_cli.config.encoder import EOF, EncoderConfig, Mechanism, mechanisms_of
from faconv_cli.config.fit import FitConfig
from faconv_cli.config.run import RunConfig
from faconv_cli.config.tiling import TilingConfig

__all__ = [
    "EOF",
    "DataConfig",
    "EncoderConfig",
    "FitConfig",
    "Mechanism",
    "RunConfig",
    "TilingConfig",
    "mechanisms_of",
]
