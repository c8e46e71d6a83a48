"""The task of embedding: z must give back the field now and at the leads; it starts from the EOFs."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from faconv_cli.config import EOF
from faconv_cli.fit.eofs import fit_eofs, start_from_eofs
from faconv_cli.fit.objective import Objective
from faconv_cli.fit.prepare import Prepared
from faconv_cli.network import build_decoder, build_encoder
from faconv_cli.nn.decoder import PointDecoder
from faconv_cli.nn.domain import Domain
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.eofs import EofEncoder
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.plan import Window


class EmbeddingModel(nn.Module):
    """Encoder and decoder, averaged and saved together."""

    def __init__(self, encoder: SubspaceEncoder | EofEncoder, decoder: PointDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


class EmbeddingTask:
    """A `Task`: reconstruct and forecast fields from their embedding.

    Raises:
        InputError: the data cannot carry an embedding of this size.
    """

    start = "the EOFs"

    def __init__(self, prepared: Prepared, reader: WindowReader, domain: Domain) -> None:
        config, cube = prepared.config, prepared.cube
        self._prepared = prepared
        self._objective = Objective(config.targets, config.fit.points, config.tiling.window)
        shape, channels = cube.grid.shape, cube.shape[1]
        encoder = build_encoder(
            config,
            channels,
            shape,
            periodic=cube.grid.periodic,
            sub_daily=cube.time.sub_daily,
            statics=len(cube.constants.static_names),
        )
        self._model = EmbeddingModel(encoder, build_decoder(config, channels, shape))
        training = prepared.split.training
        eofs = fit_eofs(
            reader,
            domain,
            nodes_of(config, shape),
            training,
            count=config.encoder.embedding,
            seed=config.fit.seed,
            lags=config.lags if config.encoder.encoder == EOF else 1,
        )
        start_from_eofs(encoder, self._model.decoder, eofs, self._objective.targets, training)
        self.targets = tuple(f"lead {lead}" if lead else "now" for lead in self._objective.targets)
        self.shares = torch.full((len(self.targets),), 1 / len(self.targets))

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self._model

    def losses(self, model: nn.Module, batch: Batch, domain: Domain, generator: torch.Generator) -> Tensor:
        """Give the loss of each target (s,), in variances of the fields."""
        both = cast("EmbeddingModel", model)
        return self._objective(both.encoder, both.decoder, batch, domain, generator)

    def validation_windows(self) -> list[Window]:
        """List the windows an embedding would use for the validation steps."""
        return self._prepared.validation_windows()
