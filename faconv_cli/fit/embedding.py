"""The task of embedding: forecast EOF coordinates at the lead times, and keep the subspace of them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from faconv_cli.config import EOF
from faconv_cli.fit.eofs import Eofs, fit_eofs, start_encoder
from faconv_cli.fit.objective import Objective, counted_rows, encode, expected_area, trusted
from faconv_cli.fit.prepare import Prepared
from faconv_cli.fit.subspace import PartMoments, fit_subspace
from faconv_cli.fit.toldtarget import tell_target
from faconv_cli.network import build_encoder, changes_seen
from faconv_cli.nn.encoder import SubspaceEncoder
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.plan import Window
from faconv_cli.windows.resolve import FEWEST_PAIRS, most_eofs


class EmbeddingModel(nn.Module):
    """An encoder; its decoder is the inverse of its own subspace, with the EOFs of the targets."""

    def __init__(self, encoder: SubspaceEncoder, targets: Sequence[EofCoordinates] = ()) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, nn.ModuleList(targets)


class EmbeddingTask:
    """A `Task`: embed the field now, its forecasts, which start from an inverse model, and targets.

    Args:
        prepared: the data.
        reader: of its windows.
        domain: constants of the grid.
        like: EOFs that a network was trained with, towards which those of other steps are rotated.

    Raises:
        InputError: the data are too few for an embedding of this size.
    """

    def __init__(
        self, prepared: Prepared, reader: WindowReader, domain: Domain, like: EofCoordinates | None = None
    ) -> None:
        config, cube = prepared.config, prepared.cube
        self._prepared = prepared
        leads, training = config.leads, prepared.split.training
        embedding = config.encoder.embedding
        most = most_eofs(config, len(prepared.split.training_steps), _values(prepared))
        eofs = fit_eofs(
            reader,
            domain,
            nodes_of(config, cube.grid.shape),
            training,
            count=(len(like) if like else most) if config.predicts else embedding,
            seed=config.fit.seed,
            lags=config.lags if config.encoder.encoder == EOF else 1,
            compared=changes_seen(config) > 0,
            share=1.0 if like else config.encoder.eof_share,
            least=embedding,
        )
        eofs = eofs.turned_towards(like) if like else eofs
        encoder = build_encoder(
            config,
            cube.shape[1],
            cube.grid.shape,
            eofs=eofs.components.shape[1],
            periodic=cube.grid.periodic,
            sub_daily=cube.time.sub_daily,
            statics=len(cube.constants.static_names),
        )
        targets = [tell_target(target, eofs, config) for target in prepared.targets]
        start_encoder(encoder, eofs, leads, training, [target.propagator for target in targets])
        self._weights = np.array(config.part_weights)
        self._fit_linear(encoder, eofs)
        self._model = EmbeddingModel(encoder, [target.coordinates for target in targets])
        expected = expected_area(prepared.normalizer.valid, domain)
        self._objective = Objective(
            leads, config.tiling.window, expected, tuple(target.truth for target in targets)
        )
        self._trained = self._what_to_train(encoder)
        names = (*(f"lead {lead}" for lead in leads), *(target.name for target in prepared.targets))
        self.targets = tuple(names[number] for number in self._trained)
        kind = "linear" if encoder.advection is None else "quadratic"
        self.start = f"the {kind} inverse model" if config.predicts else "the EOFs"
        held = float((eofs.components * eofs.scale).var(axis=0).sum())
        self.capturable = False
        self.notes: tuple[str, ...] = (
            (f"the leading EOFs hold {held:.0%} of the variance; errors do not count the rest",)
            if leads and self._trained
            else ()
        )
        shares = torch.tensor((*config.lead_weights, *config.target_weights))[self._trained]
        self.shares = shares / shares.sum()

    def _what_to_train(self, encoder: SubspaceEncoder) -> list[int]:
        """List the forecasts that a network corrects: all but targets without validation values.

        Those are predicted linearly, as a correction could not be checked.
        """
        prepared, leads = self._prepared, len(self._prepared.config.leads)
        if encoder.layer is None:
            return []
        held_out = prepared.split.validation
        checked = [
            number
            for number, target in enumerate(prepared.targets, leads)
            if not prepared.split.validation_count or target.known(held_out) >= FEWEST_PAIRS
        ]
        unchecked = [number for number in range(leads, len(encoder.confidence)) if number not in checked]
        encoder.confidence[unchecked] = 0
        return [*range(leads), *checked]

    def _fit_linear(self, encoder: SubspaceEncoder, eofs: Eofs) -> None:
        """Fit the subspace of the untrained network, which needs no network."""
        now, change, known = (one[None] for one in eofs.coordinates())
        f = encoder.parts(now, encoder.untrained(now, change, known))
        moments = PartMoments(*encoder.subspace.mean.shape)
        moments.add(f[0].numpy())
        fit_subspace(encoder, moments, self._weights)

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self._model

    def losses(self, model: nn.Module, batch: Batch, domain: Domain, *, checked: bool = False) -> Tensor:
        """Return the loss of each lead and target (s,) with the correction in full, in variances."""
        found = self._objective(cast("EmbeddingModel", model).encoder, batch, domain, beside=checked)
        return found.errors(torch.ones_like(found.linear))[self._trained]

    def validate(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> Tensor | None:
        """Trust each correction as far as it helps, and return the remaining errors (s,), 1 for climatology.

        None if nothing is known at some lead time, after the end or in a gap: its error is unknown, not 0.
        """
        encoder = cast("EmbeddingModel", model).encoder
        parts = [self._objective(encoder, batch, domain) for batch in batches]
        found, confidence = trusted(parts)
        if not found.rows[self._trained].all():
            return None
        encoder.confidence[self._trained] = confidence[self._trained]
        return (found.errors(confidence) / found.climatology.clamp_min(1e-12))[self._trained]

    def finish(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> None:
        """Fit the canonical coordinates to what the network gives over the training period."""
        encoder, window = cast("EmbeddingModel", model).encoder, self._prepared.config.tiling.window
        moments = PartMoments(*encoder.subspace.mean.shape)
        for batch in batches:
            encoding = encode(encoder, batch, domain, window)
            f = encoder.parts(encoding.now, encoder.forecasts(encoding))
            counted = counted_rows(batch, window).bool() & batch.valid[:, :window].flatten(2).any(2).cpu()
            moments.add(f.cpu()[counted].double().numpy())
        if moments.rows:
            fit_subspace(encoder, moments, self._weights)

    def validation_windows(self) -> list[Window]:
        """List the windows an embedding would use for the validation steps; none where nothing is trained."""
        return self._prepared.validation_windows() if self.targets else []


def _values(prepared: Prepared) -> int:
    """The largest number of values that a field holds."""
    return int(np.count_nonzero(prepared.normalizer.valid))
