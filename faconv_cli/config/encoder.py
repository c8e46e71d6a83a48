"""The network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from faconv_cli.config.base import Config, PositiveInt

EOF = "eof"  # the encoder that is fitted, not trained

Mechanism = Literal["squeeze-excitation", "peephole", "axial", "temporal", "season", "changes"]


def mechanisms_of(encoder: str) -> tuple[Mechanism, ...]:
    """List the mechanisms that can be switched off in an encoder; all but EOFs have those of the head."""
    if encoder == EOF:
        return ()
    gates: tuple[Mechanism, ...] = ("peephole",) if encoder in ("faconvlstm", "convlstm") else ()
    mixing: tuple[Mechanism, ...] = ("squeeze-excitation", "axial") if "fa" in encoder else ()
    return (*gates, *mixing, "temporal", "season", "changes")


class EncoderConfig(Config):
    """The network; every mechanism of FAConvLSTM can be switched off."""

    encoder: Literal[
        "faconvlstm",
        "minfaconvlstm",
        "convlstm",
        "convgru",
        "minconvlstm",
        "minconvgru",
        "minconvexplstm",
        "eof",
    ] = Field(
        "faconvlstm",
        description="Recurrent layer: faconvlstm, minfaconvlstm, convlstm, convgru, minconvlstm, "
        "minconvgru or minconvexplstm; or eof, the EOF analysis, where nothing is trained. "
        "With eof the default --window is 1, and a longer one gives extended EOFs.",
    )
    hidden: PositiveInt = Field(32, description="Hidden channels F.")
    layers: PositiveInt = Field(
        1, description="Recurrent layers; each after the first has a residual connection."
    )
    bottleneck: PositiveInt = Field(16, description="Channels R of the 1x1 bottleneck.")
    kernel_size: Literal[3, 5, 7] = Field(3, description="Side of the kernels: 3, 5 or 7.")
    padding: Literal["zeros", "longitude", "circular"] | None = Field(
        None,
        description="What kernels see beyond the edge: zeros, longitude (wraps around in longitude) or "
        "circular (wraps around in both directions, a torus). Default: longitude if the grid "
        "closes the circle, otherwise zeros.",
    )
    dilations: tuple[PositiveInt, ...] = Field(
        (1, 2, 4), min_length=1, description="Dilations of the shared depthwise mix."
    )
    attention_every: PositiveInt = Field(4, description="Axial attention at every K-th step.")
    attention_heads: PositiveInt = Field(
        2,
        description="Heads of the axial and the temporal attention; the latter uses as many of them as "
        "divide the EOFs evenly.",
    )
    attention_pool: PositiveInt | None = Field(
        None,
        description="Coarsen the grid of the axial attention by this factor. Default: its longest side "
        "gets at most 64 points.",
    )
    embedding: PositiveInt = Field(
        16,
        description="Modes d of an embedding: numbers per time step. The first k are the best k. For "
        "forecasts with eof: number of EOFs, by default as many as networks start from, at "
        "most 64.",
    )
    eof_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.98,
        description="Share of the variance explained by the EOFs in whose space forecasts are made; "
        "there are at most 64 of them, and at most one for ten training steps.",
    )
    causal: bool = Field(
        True, description="Let the embedding look only at earlier steps, so that a record can grow."
    )
    patch: Literal[1, 2, 4] | None = Field(
        None,
        description="Grid points per side covered by one hidden point: 1, 2 or 4. Default: 1 up to "
        "16,384 points, 2 up to 131,072, otherwise 4.",
    )
    skip: bool = Field(
        True,
        description="Forecast the change from the last frame, not the frame itself (in closed loop).",
    )
    without: tuple[Mechanism, ...] = Field(
        (),
        description="Mechanisms to switch off, for ablation: squeeze-excitation, peephole, axial, "
        "temporal, season, changes (what the last changes of the field add to the forecasts "
        "without a network).",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        absent = [name for name in self.without if name not in mechanisms_of(self.encoder)]
        if absent:
            raise ValueError(f"--encoder {self.encoder} has no {', '.join(absent)} to switch off")
        if self.bottleneck % self.attention_heads:
            raise ValueError(
                f"--bottleneck {self.bottleneck} is not a multiple of --attention-heads "
                f"{self.attention_heads}"
            )
        return self
