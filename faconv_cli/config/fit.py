"""The training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from faconv_cli.config.base import Config, NonNegativeInt, PositiveInt


class FitConfig(Config):
    """How the network is trained."""

    task: Literal["embed", "forecast"] = Field(
        "embed",
        description="What is trained: embed (a few numbers per time step) or forecast (the next frames, for "
        "faconv forecast).",
    )
    teacher_forced: PositiveInt | None = Field(
        None,
        description="Steps of a window that are given when training to forecast; the rest is forecast. "
        "Default: two thirds of the window.",
    )
    closed_loop: bool = Field(
        False,
        description="Forecast frame by frame, each from the network's own last one, as a flow goes on; else "
        "all leads at once, as corrections of their linear forecasts. --no-skip implies it.",
    )
    objective: Literal["reconstruct", "forecast", "both"] = Field(
        "both",
        description="What z must tell: reconstruct the field now (the EOF analysis; nothing is trained "
        "but for a target), forecast it at the leads, or both.",
    )
    lead: tuple[PositiveInt, ...] = Field(
        (1, 2, 3, 5), min_length=1, description="Leads of the forecasts, in time steps."
    )
    lead_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None, description="Weights of the leads, where the field now has 1. Default: 1 each."
    )
    target: tuple[str, ...] = Field(
        (),
        description="FILE[:VARIABLE]: what z must tell as well, never an input: a field on any grid, or a "
        "series (NetCDF without a grid, or CSV with a column of dates). Repeatable.",
    )
    target_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None,
        min_length=1,
        description="Weight of the targets, where the field now has 1: one for all, or one each. Default: 1.",
    )
    target_lead: tuple[NonNegativeInt, ...] | None = Field(
        None,
        min_length=1,
        description="Time steps by which the targets are later than z: one number for all, or one each. "
        "Default: 0.",
    )
    updates: NonNegativeInt | None = Field(
        None,
        description="Updates of the weights; 0 keeps the analysis that training starts from. Default: "
        "three for ten training steps, at least 30 and at most 600.",
    )
    refit: bool = Field(
        True,
        description="When the best update is known, fit climatology, scaling, EOFs, forecasts without the "
        "network, and modes again, to the held-out steps as well (not in closed loop). --no-refit keeps "
        "these steps out of the checkpoint.",
    )
    batch: PositiveInt | None = Field(
        None,
        description="Windows per optimiser step. Default: 8, fewer where they would need over 4 GiB or where "
        "fewer cover the training period.",
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Highest learning rate of the cosine schedule. Default: 0.01, in closed loop 0.003.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.1, description="AdamW's weight decay.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the hidden channels that an update of the weights does without."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic of the network: float32 or bfloat16 (automatic mixed precision)."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="Seed of everything random.")
