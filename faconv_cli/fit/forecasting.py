"""The task of forecasting all leads at once: linear forecasts, and what a network adds to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from faconv_cli.config import EOF
from faconv_cli.fit.eofs import fit_eofs, start_encoder
from faconv_cli.fit.objective import Objective, expected_area, trusted
from faconv_cli.fit.prepare import Prepared
from faconv_cli.network import build_encoder, changes_seen
from faconv_cli.nn.head import EofCoordinates
from faconv_cli.nn.leadforecaster import LeadForecaster
from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.dataset import Batch, WindowReader
from faconv_cli.windows.layout import nodes_of
from faconv_cli.windows.plan import Window, evenly
from faconv_cli.windows.resolve import most_eofs

LEAST_SHARE = 0.01
SAMPLED_WINDOWS = 64  # evenly over the training period, to see how long fine scales last


class ForecastTask:
    """A `Task`: mean squared error at each lead, in the space of the EOFs, from the later rows of a window.

    The network sees the given steps of a window; the rest are leads of its last row. Leads are weighted by
    the share of the variance that the linear forecasts explain in training: where nothing can be predicted,
    a network only learns noise. Each lead trusts the correction as far as it helps in the validation
    period, so that no lead is worse there than the forecast that training starts from.

    Args:
        prepared: the data.
        reader: of its windows.
        domain: constants of the grid.
        like: EOFs that a network was trained with, towards which those of other steps are rotated.

    Raises:
        InputError: fewer steps or values than the EOFs that were asked for.
    """

    def __init__(
        self, prepared: Prepared, reader: WindowReader, domain: Domain, like: EofCoordinates | None = None
    ) -> None:
        config, cube = prepared.config, prepared.cube
        self._prepared = prepared
        self._given = config.teacher_forced
        self._first = min(config.tiling.burn_in, self._given - 1)
        values, training = int(np.count_nonzero(prepared.normalizer.valid)), prepared.split.training
        fitted = config.encoder.encoder == EOF
        eofs = fit_eofs(
            reader,
            domain,
            nodes_of(config, cube.grid.shape),
            training,
            count=len(like) if like else self._count(values),
            seed=config.fit.seed,
            lags=config.lags if fitted else 1,
            compared=changes_seen(config) > 0,
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
        self._model = LeadForecaster(encoder, cube.shape[1])
        start_encoder(encoder, eofs, config.leads, training)
        windows = evenly(prepared.covering_windows(), SAMPLED_WINDOWS)
        self._keep_fine_scales(reader.batches(windows), domain)
        expected = expected_area(prepared.normalizer.valid, domain)
        self._objective = Objective(config.leads, self._given, expected)
        kind = "linear" if encoder.advection is None else "quadratic"
        self.capturable = False
        self.notes: tuple[str, ...] = ()
        self.start = f"the {kind} inverse model"
        self.targets = tuple(f"lead {lead}" for lead in config.leads)
        skill = [
            eofs.skill(lead, training, propagator.double().numpy())
            for lead, propagator in zip(config.leads, encoder.propagators, strict=True)
        ]
        shares = torch.tensor(skill).clamp_min(LEAST_SHARE)
        self.shares = shares / shares.sum()

    def _count(self, values: int) -> int:
        """Count the EOFs of fields of that many values."""
        config, steps = self._prepared.config, len(self._prepared.split.training_steps)
        if config.encoder.encoder == EOF and "embedding" in config.encoder.model_fields_set:
            return config.encoder.embedding
        return most_eofs(config, steps, values)

    @torch.no_grad()
    def _keep_fine_scales(self, batches: Iterable[Batch], domain: Domain) -> None:
        """Regress what is finer than the EOFs on itself at earlier steps."""
        kept, eofs = self._model.decoder.kept, self._model.encoder.eofs
        products, squares = torch.zeros_like(kept), torch.zeros_like(kept)
        for batch in batches:
            fine = (batch.x - eofs.fields(eofs.whole(batch.x, domain), domain)) * batch.valid
            for number in range(min(len(kept), fine.shape[1] - 1)):
                now, later = fine[:, : -number - 1], fine[:, number + 1 :]
                there = batch.valid[:, number + 1 :] * domain.area
                products[number] += (there * now * later).sum((0, 1, 3, 4))
                squares[number] += (there * now.square()).sum((0, 1, 3, 4))
        kept.copy_((products / squares.clamp_min(1e-12)).clamp(0, 1))

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self._model

    def losses(self, model: nn.Module, batch: Batch, domain: Domain, *, checked: bool = False) -> Tensor:
        """Return the loss of each lead (s,) with the correction in full, in variances of the field."""
        found = self._objective(
            cast("LeadForecaster", model).encoder, self._rows(batch), domain, beside=checked
        )
        return found.errors(torch.ones_like(found.linear))

    def validate(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> Tensor | None:
        """Trust the correction of each lead time as far as it helps, and return the remaining losses (s,).

        None if no field is known at some lead time.
        """
        encoder = cast("LeadForecaster", model).encoder
        parts = [self._objective(encoder, self._rows(batch), domain) for batch in batches]
        found, confidence = trusted(parts)
        if not found.rows.all():
            return None
        encoder.confidence.copy_(confidence)
        return found.errors(encoder.confidence) / found.climatology.clamp_min(1e-12)

    def _rows(self, batch: Batch) -> Batch:
        """Count the rows after the warm-up that have all their lead times in the window."""
        return replace(
            batch,
            windows=tuple(
                replace(window, first_row=window.start + self._first, stop=window.start + self._given)
                for window in batch.windows
            ),
        )

    def finish(self, model: nn.Module, batches: Iterable[Batch], domain: Domain) -> None:
        """Do nothing: everything is in the weights."""

    def validation_windows(self) -> list[Window]:
        """List whole windows within the validation period, so that each of its starts counts once."""
        return self._prepared.whole_validation_windows(self._given - self._first)
