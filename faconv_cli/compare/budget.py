"""An equal budget: as many parameters, or as much time, for every encoder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from faconv_cli.config import EOF, RunConfig
from faconv_cli.cube.cube import Cube
from faconv_cli.fit.loop import CheckReport, Training
from faconv_cli.fit.prepare import Prepared
from faconv_cli.network import build_encoder, build_forecaster
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.leadforecaster import LeadForecaster

MOST_HIDDEN = 4096
TRIAL_UPDATES = 24


def build_network(config: RunConfig, cube: Cube) -> nn.Module:
    """Build the network of a resolved configuration for the channels and the grid of a cube."""
    channels, shape, periodic = cube.shape[1], cube.grid.shape, cube.grid.periodic
    statics = len(cube.constants.static_names)
    if config.closed_loop:
        return build_forecaster(config, channels, shape, periodic=periodic, statics=statics)
    encoder = build_encoder(
        config,
        channels,
        shape,
        eofs=config.encoder.embedding,
        periodic=periodic,
        sub_daily=cube.time.sub_daily,
        statics=statics,
    )
    return LeadForecaster(encoder, channels) if config.fit.task == "forecast" else encoder


def count_parameters(config: RunConfig, cube: Cube) -> int:
    """Count the trained parameters that a budget is about, of a resolved configuration.

    In closed loop, those of the whole network; else those of the recurrent layers, as what is behind them
    belongs to the head. EOFs have none.
    """
    if config.encoder.encoder == EOF:
        return 0
    with torch.device("meta"):
        network = build_network(config, cube)
    encoder = network.encoder if isinstance(network, LeadForecaster) else network
    counted = encoder.layer if isinstance(encoder, SubspaceEncoder) else encoder
    return sum(parameter.numel() for parameter in counted.parameters()) if counted is not None else 0


def with_hidden(config: RunConfig, hidden: int) -> RunConfig:
    """Change the hidden channels, and the bottleneck in proportion, in whole multiples of the heads."""
    encoder = config.encoder
    heads = encoder.attention_heads
    bottleneck = max(1, round(encoder.bottleneck * hidden / encoder.hidden / heads)) * heads
    changed = encoder.model_copy(update={"hidden": hidden, "bottleneck": bottleneck})
    return config.model_copy(update={"encoder": changed})


def spend_parameters(config: RunConfig, parameters: int, cube: Cube) -> RunConfig:
    """Choose the hidden channels that come nearest to a number of parameters; ``config`` is resolved."""
    if config.encoder.encoder == EOF:
        return config

    def count(hidden: int) -> int:
        return count_parameters(with_hidden(config, hidden), cube)

    low, high = 1, MOST_HIDDEN
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= parameters else (low, middle)
    return with_hidden(config, min((low, high), key=lambda hidden: abs(count(hidden) - parameters)))


def spend_time(prepared: Prepared, seconds: float, device: torch.device) -> Prepared:
    """Choose the updates that fit into a time, after some on trial."""
    if prepared.config.encoder.encoder == EOF:
        return prepared
    spent, trained = 0.0, 1
    with tempfile.TemporaryDirectory() as folder:
        trial = Training(prepared.with_fit(updates=TRIAL_UPDATES), Path(folder) / "trial.pt", device)
        for report in trial.run():
            if isinstance(report, CheckReport) and report.update:
                spent, trained = spent + report.seconds, report.update
    # with fewer checks than on trial, the updates take no longer
    return prepared.with_fit(updates=max(1, round(seconds * trained / max(spent, 1e-9))))
