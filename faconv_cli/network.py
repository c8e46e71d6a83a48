"""From settings and a grid to the modules and constants of a network."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch

from faconv_cli import nn as layers
from faconv_cli.checkpoint import Checkpoint, Weights
from faconv_cli.config import EOF, EncoderConfig, RunConfig, mechanisms_of
from faconv_cli.cube.grid import Grid
from faconv_cli.errors import CheckpointError, UsageError
from faconv_cli.nn.encoder import SubspaceEncoder, seen_channels
from faconv_cli.nn.forecaster import Forecaster
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.nn.layer import RecurrentLayer2d
from faconv_cli.nn.leadforecaster import LeadForecaster
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.nn.mechanisms.seasonal import TemporalAttention, seasonal_encoding
from faconv_cli.nn.padding import Padding
from faconv_cli.windows.layout import nodes_of, tiles_of

# by name, because importing all of them takes longer than a small job
LAYERS = {
    "faconvlstm": "FAConvLSTM2d",
    "minfaconvlstm": "MinFAConvLSTM2d",
    "convlstm": "ConvLSTM2d",
    "convgru": "ConvGRU2d",
    "minconvlstm": "MinConvLSTM2d",
    "minconvgru": "MinConvGRU2d",
    "minconvexplstm": "MinConvExpLSTM2d",
}

CHANGES = 2  # last changes of the EOF coordinates that linear forecasts see


def build_encoder(
    config: RunConfig,
    channels: int,
    shape: tuple[int, int],
    *,
    eofs: int,
    periodic: bool,
    sub_daily: bool,
    statics: int = 0,
    changes: int | None = None,
) -> SubspaceEncoder:
    """Build the encoder of a resolved configuration, with ``eofs`` EOFs, for a grid of ``shape``.

    Its forecasts see so many last ``changes`` as its checkpoint knows, those of a new one `changes_seen`.
    """
    encoder, fitted = config.encoder, config.encoder.encoder == EOF
    patch, layer, temporal = encoder.patch or 1, None, None
    if config.predicts and not fitted:
        seen = seen_channels(channels, statics, sub_daily=sub_daily) if patch == 1 else encoder.bottleneck
        layer = _layer(encoder, seen, _padding(config, shape, periodic=periodic))
        if "temporal" not in encoder.without:
            temporal = TemporalAttention(
                eofs,
                _season_features(sub_daily),
                heads=math.gcd(eofs, encoder.attention_heads),
                span=config.tiling.burn_in,
                causal=encoder.causal,
            )
    return SubspaceEncoder(
        layer,
        channels,
        encoder.embedding,
        eofs,
        nodes_of(config, shape),
        len(config.leads),
        temporal,
        targets=len(config.fit.target),
        now=config.fit.objective != "forecast",
        lags=config.lags if fitted else 1,
        changes=changes_seen(config) if changes is None else changes,
        season="season" not in encoder.without,
        sub_daily=sub_daily,
        patch=patch,
        stem=encoder.bottleneck,
        statics=statics,
        dropout=config.fit.dropout,
    )


def changes_seen(config: RunConfig) -> int:
    """Count the last changes that forecasts see: those within the burn-in, so that no row lacks them.

    None in an embedding of EOFs, which is that of a linear inverse model, and of extended EOFs.
    """
    if "changes" in config.encoder.without or not config.leads:
        return 0
    if config.fit.task == "embed":
        return 0 if config.encoder.encoder == EOF else min(CHANGES, config.tiling.burn_in)
    return 0 if config.encoder.encoder == EOF and config.lags > 1 else CHANGES


def build_forecaster(
    config: RunConfig, channels: int, shape: tuple[int, int], *, periodic: bool, statics: int = 0
) -> Forecaster:
    """Build the network of a resolved configuration that forecasts frame by frame, for a grid."""
    encoder = config.encoder
    padding = _padding(config, shape, periodic=periodic)
    one = encoder.model_copy(update={"layers": 1})
    layers = [_layer(one, encoder.hidden, padding) for _ in range(encoder.layers)]
    return Forecaster(layers, channels, patch=encoder.patch or 1, skip=encoder.skip, statics=statics)


def _padding(config: RunConfig, shape: tuple[int, int], *, periodic: bool) -> Padding:
    """Wrap as asked; unasked, longitudes that close the circle where a tile holds all of them."""
    whole = periodic and len(tiles_of(config, shape, periodic=periodic).columns) == 1
    return config.encoder.padding or ("longitude" if whole else "zeros")


def _layer(encoder: EncoderConfig, in_channels: int, padding: Padding) -> RecurrentLayer2d:
    make = getattr(layers, LAYERS[encoder.encoder])
    mechanisms: dict[str, Any] = {}
    possible = mechanisms_of(encoder.encoder)
    if "axial" in possible:
        mechanisms = {
            "bottleneck": encoder.bottleneck,
            "dilations": encoder.dilations,
            "squeeze_excitation": "squeeze-excitation" not in encoder.without,
            "axial": has_axial_attention(encoder),
            "attention_every": encoder.attention_every,
            "attention_heads": encoder.attention_heads,
            "attention_pool": encoder.attention_pool or 1,
        }
    if "peephole" in possible:
        mechanisms["peephole"] = "peephole" not in encoder.without
    layer = make(
        in_channels,
        encoder.hidden,
        encoder.kernel_size,
        num_layers=encoder.layers,
        padding=padding,
        **mechanisms,
    )
    return cast("RecurrentLayer2d", layer)


def has_axial_attention(encoder: EncoderConfig) -> bool:
    """Return whether an encoder has attention maps."""
    return "axial" in mechanisms_of(encoder.encoder) and "axial" not in encoder.without


def _season_features(sub_daily: bool) -> int:
    phase = torch.zeros(1, 1)
    return seasonal_encoding(phase, phase if sub_daily else None).shape[-1]


def build_domain(
    config: RunConfig, grid: Grid, valid: np.ndarray, statics: np.ndarray | tuple[()] = ()
) -> Domain:
    """Build the constants of a grid.

    Args:
        config: resolved.
        grid: of h x w points.
        valid: (c, h, w) share of the training steps at which a point holds a value.
        statics: (s, h, w) static channels.
    """
    shape = grid.shape
    tiles = tiles_of(config, shape, periodic=grid.periodic)
    weights = np.zeros(tiles.shape)
    weights[: shape[0], : shape[1]] = np.where(valid.max(axis=0) > 0, grid.area, 0.0)
    nodes = nodes_of(config, shape)
    node_y = _node_places(shape[0], nodes[0], tiles.shape[0], wrap=False)
    node_x = _node_places(shape[1], nodes[1], tiles.shape[1], wrap=grid.periodic)
    index = [tiles.index(number) for number in range(len(tiles))]
    padded_statics = np.zeros((len(statics), *tiles.shape))
    if len(statics):
        padded_statics[:, : shape[0], : shape[1]] = statics
    return Domain(
        area=torch.from_numpy(weights / weights.sum()).float(),
        node_y=torch.from_numpy(node_y).float(),
        node_x=torch.from_numpy(node_x).float(),
        coordinates=torch.from_numpy(_coordinates(grid.lat, grid.lon, shape, tiles.shape)).float(),
        tile_rows=torch.from_numpy(np.stack([rows for rows, _ in index])),
        tile_columns=torch.from_numpy(np.stack([columns for _, columns in index])),
        blend=torch.from_numpy(tiles.blend()).float(),
        statics=torch.from_numpy(padded_statics).float(),
    )


def build_target_domain(config: RunConfig, grid: Grid, valid: np.ndarray) -> Domain:
    """Build the constants of the grid of a target, which no network sees: it has patches of one point."""
    encoder = config.encoder.model_copy(update={"patch": 1})
    tiling = config.tiling.model_copy(update={"tile": None})
    return build_domain(config.model_copy(update={"encoder": encoder, "tiling": tiling}), grid, valid)


def load_target(checkpoint: Checkpoint, number: int) -> EofCoordinates:
    """Build the EOFs of a checkpoint's target of that number from 0.

    Raises:
        CheckpointError: the weights are not those of the settings.
    """
    prefix = f"{number}."
    weights = {
        name.removeprefix(prefix): one for name, one in checkpoint.decoder.items() if name.startswith(prefix)
    }
    lags, count, channels, *nodes = weights["on_x"].shape
    coordinates = EofCoordinates(lags, count, channels, (nodes[0], nodes[1]))
    _load(coordinates, weights)
    return coordinates


def _node_places(points: int, nodes: int, padded_points: int, *, wrap: bool) -> np.ndarray:
    """Place ``points`` evenly between ``nodes``; points of the padding lie on the last node."""
    step = nodes / points if wrap else (nodes - 1) / max(points - 1, 1)
    places: np.ndarray = np.minimum(np.arange(padded_points), points - 1) * step
    return places


def _coordinates(
    lat: np.ndarray, lon: np.ndarray, shape: tuple[int, int], padded_shape: tuple[int, int]
) -> np.ndarray:
    """Features (h, w, 5) of each point: its place on the unit sphere, and in the domain from -1 to 1.

    A point whose place is not known (beyond the edge of a swath) has 0.
    """
    lat2d, lon2d = (lat, lon) if lat.ndim == 2 else np.meshgrid(lat, lon, indexing="ij")
    phi, lam = np.deg2rad(lat2d), np.deg2rad(lon2d)
    v, u = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    features = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi), u, v], axis=-1)
    extra = [(0, padded_shape[axis] - shape[axis]) for axis in range(2)]
    return np.pad(np.nan_to_num(features), [*extra, (0, 0)])


def load_encoder(checkpoint: Checkpoint) -> SubspaceEncoder:
    """Build the encoder of a checkpoint with its weights, ready for inference.

    Raises:
        CheckpointError: it was trained to forecast; the weights are not those of the settings.
    """
    _check_task(checkpoint, "embed")
    encoder = _encoder_of(checkpoint)
    _load(encoder, checkpoint.encoder)
    return encoder.eval()


def _encoder_of(checkpoint: Checkpoint) -> SubspaceEncoder:
    weights = checkpoint.encoder
    return build_encoder(
        checkpoint.config,
        len(checkpoint.channels),
        checkpoint.grid_shape,
        eofs=weights["eofs.mean"].shape[-1],
        periodic=checkpoint.periodic,
        sub_daily=checkpoint.sub_daily,
        changes=len(weights.get("tendencies.weight", ())),  # embeddings of before have none
        statics=len(checkpoint.constants.static_names),
    )


def first_modes(checkpoint: Checkpoint, asked: int | None) -> int:
    """Return how many modes to take: those asked for, or all of the checkpoint's.

    Raises:
        UsageError: it has fewer.
    """
    known = checkpoint.config.encoder.embedding
    if asked is not None and asked > known:
        raise UsageError(
            f"--modes {asked} is too many",
            wanted=f"the checkpoint has {known} modes",
            do=f"ask for at most {known}",
        )
    return asked or known


def load_forecaster(checkpoint: Checkpoint) -> Forecaster | LeadForecaster:
    """Build the forecasting network of a checkpoint with its weights, ready for inference.

    Raises:
        CheckpointError: it was trained to embed; the weights are not those of the settings.
    """
    _check_task(checkpoint, "forecast")
    config, channels, shape = checkpoint.config, len(checkpoint.channels), checkpoint.grid_shape
    periodic, statics = checkpoint.periodic, len(checkpoint.constants.static_names)
    forecaster: Forecaster | LeadForecaster
    if config.closed_loop:
        forecaster = build_forecaster(config, channels, shape, periodic=periodic, statics=statics)
    elif "eofs.mean" not in checkpoint.encoder:
        raise CheckpointError(
            "the checkpoint is of an earlier version of faconv and forecasts frame by frame",
            wanted="such networks are trained with --closed-loop now",
            do="train again",
        )
    else:
        forecaster = LeadForecaster(_encoder_of(checkpoint), channels)
    _load(forecaster.encoder, checkpoint.encoder)
    _load(forecaster.decoder, checkpoint.decoder)
    return forecaster.eval()


def _check_task(checkpoint: Checkpoint, wanted: str) -> None:
    task = checkpoint.config.fit.task
    if task != wanted:
        raise CheckpointError(
            f"the checkpoint was trained to {task}",
            wanted=f"this command needs one that was trained to {wanted}",
            do=f"use faconv {task}, or train with --task {wanted}",
        )


def _load(module: torch.nn.Module, weights: Weights) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights do not fit the settings ({str(error).splitlines()[-1].strip()})",
            wanted="both must come from one training",
            do="train again",
        ) from None
