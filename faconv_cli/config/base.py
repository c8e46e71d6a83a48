"""What the models of settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


class Config(BaseModel):
    """Settings: strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
