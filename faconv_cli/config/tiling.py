"""Windows in time, tiles in space."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from faconv_cli.config.base import Config, NonNegativeInt, PositiveInt


class TilingConfig(Config):
    """How a cube is cut into windows in time and tiles in space."""

    window: PositiveInt = Field(24, description="Time steps that the encoder sees at once.")
    stride: PositiveInt | None = Field(
        None,
        description="Steps from one window to the next. Default: window minus burn-in, rounded down to a "
        "multiple of attention-every.",
    )
    burn_in: NonNegativeInt = Field(
        8,
        description="First steps of a window, which only warm up the state; also how far back the "
        "embedding looks.",
    )
    tile: PositiveInt | None = Field(
        None, description="Largest side of a tile, in grid points. Default: 512, so most grids are one tile."
    )
    halo: NonNegativeInt = Field(16, description="Grid points that neighbouring tiles share.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = self.model_fields_set
        if self.burn_in >= self.window and ("burn_in" in given or "window" not in given):
            raise ValueError(f"--burn-in {self.burn_in} leaves nothing of --window {self.window}")
        if self.stride is not None and self.stride > max(self.window - self.burn_in, 0):
            raise ValueError(
                f"--stride {self.stride} would skip steps: --window {self.window} with --burn-in "
                f"{self.burn_in} allows at most {self.window - self.burn_in}"
            )
        if self.tile is not None and 2 * self.halo >= self.tile:
            raise ValueError(f"--halo {self.halo} leaves nothing of --tile {self.tile}")
        return self
