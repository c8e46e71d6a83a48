"""Forecasts of all leads at once: linear ones in the space of the EOFs, and what a network adds to them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faconv_cli.nn.encoder import Encoding, SubspaceEncoder
from faconv_cli.nn.mechanisms.domain import Domain


class LeadForecaster(nn.Module):
    """Fields at the leads 1..L, from the EOF coordinates that a `SubspaceEncoder` forecasts.

    x_{t+l} = field of (linear forecast + r_l correction) + k_l (x_t - field of p_t): what is finer than the
    EOFs persists, damped. Beyond L steps it goes on from its own forecasts.

    Args:
        encoder: with the leads 1..L.
        channels: channels c of the fields.
    """

    def __init__(self, encoder: SubspaceEncoder, channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = FineScales(encoder.leads, channels)

    def forecast(
        self,
        x: Float[Tensor, "b t c h w"],
        valid: Bool[Tensor, "b t c h w"],
        year_fraction: Float[Tensor, "b t2"],
        day_fraction: Float[Tensor, "b t2"],
        steps: int,
        domain: Domain,
    ) -> Float[Tensor, "b steps c h w"]:
        """Forecast ``steps`` frames after the last of ``x``.

        Args:
            x: frames, 0 where they are not valid.
            valid: where they hold a value.
            year_fraction: place in the year of the frames and of those that are forecast, t2 = t + steps.
            day_fraction: place in the day, likewise.
            steps: frames to forecast.
            domain: constants of the grid.
        """
        given, leads = x.shape[1], self.encoder.leads
        there = valid[:, -1:].expand(-1, leads, -1, -1, -1)
        forecasts: list[Tensor] = []
        for begin in range(0, steps, leads):
            seen = slice(begin, begin + given)
            times = year_fraction[:, seen], day_fraction[:, seen]
            forecasts.append(self._ahead(x[:, seen], valid[:, seen], *times, domain))
            x = torch.cat([x, forecasts[-1] * there], dim=1)
            valid = torch.cat([valid, there], dim=1)
        return torch.cat(forecasts, dim=1)[:, :steps]

    def _ahead(self, x: Tensor, valid: Tensor, year: Tensor, day: Tensor, domain: Domain) -> Tensor:
        """Forecast the L frames (b, l, c, h, w) after the last of ``x``."""
        encoding: Encoding = self.encoder(x, valid, year, day, domain)
        fields = self.encoder.eofs.fields(self.encoder.forecasts(encoding)[:, -1], domain)
        fine = (x[:, -1] - self.encoder.eofs.fields(encoding.now[:, -1], domain)) * valid[:, -1]
        ahead: Tensor = fields + self.decoder(fine)
        return ahead


class FineScales(nn.Module):
    """What is left after the leads of the fields that are finer than the EOFs: k_lc times these.

    Args:
        leads: L.
        channels: c.
    """

    kept: Tensor

    def __init__(self, leads: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(leads, channels))

    def forward(self, fine: Float[Tensor, "b c h w"]) -> Float[Tensor, "b l c h w"]:
        """Damp fields."""
        return self.kept[:, :, None, None] * fine[:, None]
