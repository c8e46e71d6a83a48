"""The training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from faconv_cli.config.base import Config, NonNegativeInt, PositiveInt


class FitConfig(Config):
    """How the network is trained."""

    task: Literal["embed", "forecast"] = Field(
        "embed",
        description="What to train for: embed (a few numbers per time step) or forecast (the next "
        "frames, for faconv forecast).",
    )
    teacher_forced: PositiveInt | None = Field(
        None,
        description="Steps of a window that are given when training to forecast; the rest is forecast. "
        "Default: two thirds of the window.",
    )
    closed_loop: bool = Field(
        False,
        description="Forecast frame by frame, each from the network's own last one, to follow a flow; "
        "otherwise all lead times at once, as corrections of their linear forecasts. "
        "--no-skip implies it.",
    )
    objective: Literal["reconstruct", "forecast", "both"] = Field(
        "both",
        description="What the embedding should describe: reconstruct (the field now; this is the EOF "
        "analysis, and nothing is trained except for a target), forecast (the field at the "
        "lead times), or both.",
    )
    lead: tuple[PositiveInt, ...] = Field(
        (1, 2, 3, 5), min_length=1, description="Lead times of the forecasts, in time steps."
    )
    lead_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None, description="Weights of the lead times; the field now has 1. Default: 1 each."
    )
    target: tuple[str, ...] = Field(
        (),
        description="FILE[:VARIABLE] that the embedding should predict as well; never an input. A field "
        "on any grid, or a series (NetCDF without a grid, or CSV with a column of dates). "
        "Repeatable.",
    )
    target_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None,
        min_length=1,
        description="Weight of the targets, one for all or one each; the field now has 1. Default: 1.",
    )
    target_lead: tuple[NonNegativeInt, ...] | None = Field(
        None,
        min_length=1,
        description="Lead time of the targets after the embedding, in time steps: one number for all, or "
        "one each. Default: 0.",
    )
    updates: NonNegativeInt | None = Field(
        None,
        description="Updates of the weights; 0 keeps the analysis that training starts from. Default: "
        "three for ten training steps, at least 30 and at most 600.",
    )
    refit: bool = Field(
        True,
        description="Once the best update is known, fit climatology, scaling, EOFs, inverse model and "
        "modes again, including the held-out steps (not in closed loop). --no-refit keeps "
        "these steps out of the checkpoint.",
    )
    batch: PositiveInt | None = Field(
        None,
        description="Windows per optimiser step. Default: 8, or fewer if 8 would need over 4 GiB or "
        "fewer cover the training period.",
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Highest learning rate of the cosine schedule. Default: 0.01, in closed loop 0.003.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.1, description="AdamW's weight decay.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the hidden channels that are dropped in each update of the weights."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic of the network: float32 or bfloat16 (automatic mixed precision)."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="Seed of everything random.")
