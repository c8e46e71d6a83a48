"""The subspace head: EOF coordinates now, a correction of their linear forecasts, canonical coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faconv_cli.nn.mechanisms.domain import Domain, interpolate, pool_sum

MOST_SQUARED, MOST_ADVECTED = 16, 12  # leading coordinates in the products of `Advection`


class EofCoordinates(nn.Module):
    """p_t = sum over lags l and points of area(p) P_l(p)·(x_{t-l}(p) - mean_l(p)): K numbers of a field.

    The patterns P are values on ``nodes`` (rows, columns), interpolated bilinearly to the grid, so they hold
    for any resolution of the same domain, and the sum adds up exactly over tiles. They are fitted, not
    trained. More than one lag makes extended EOFs (Weare and Nasstrom 1982, Mon. Wea. Rev. 110); steps before
    the first of a sequence count as the mean field.

    Args:
        lags: L, the step itself counting as one.
        count: K.
        channels: channels of x.
        nodes: rows and columns of nodes.
    """

    on_x: Tensor
    mean: Tensor
    mean_field: Tensor
    scale: Tensor

    def __init__(self, lags: int, count: int, channels: int, nodes: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("on_x", torch.zeros(lags, count, channels, *nodes))
        self.register_buffer("mean", torch.zeros(lags, count))
        self.register_buffer("mean_field", torch.zeros(channels, *nodes))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def start_from(self, patterns: Tensor, mean: Tensor, mean_field: Tensor, scale: float) -> None:
        """Set the EOFs, and the unit of the coordinates.

        Args:
            patterns: (L, K, c, gh, gw), orthonormal over the area.
            mean: (L, K) what they give for the mean field.
            mean_field: (c, gh, gw).
            scale: factor to the coordinates; 1 / scale is one standard deviation of the whole field.
        """
        self.on_x.copy_(patterns * scale)
        self.mean.copy_(mean * scale)
        self.mean_field.copy_(mean_field)
        self.scale.fill_(scale)

    def __len__(self) -> int:
        """K."""
        return self.mean.shape[1]

    @torch.no_grad()
    def shift(self, by: Float[Tensor, " k"]) -> None:
        """Count coordinates from another field than the mean, which has ``by`` now, so that it has 0."""
        self.mean[0] += by
        self.mean_field += torch.einsum("k,kcyx->cyx", by.to(self.on_x) / self.scale**2, self.on_x[0])

    def fields(self, p: Float[Tensor, "*n k"], domain: Domain) -> Float[Tensor, "*n c h w"]:
        """Return the fields that coordinates stand for, on the grid."""
        nodes = torch.einsum("...k,kcyx->...cyx", p / self.scale**2, self.on_x[0]) + self.mean_field
        return interpolate(nodes, domain)

    def forward(
        self, x: Float[Tensor, "b t c th tw"], domain: Domain, tile: int = 0
    ) -> Float[Tensor, "b t k"]:
        """Sum over the points of one tile; the first tile bears what the mean field gives."""
        area = domain.cut(domain.area, tile) * domain.blend[tile]
        patterns = domain.cut(interpolate(self.on_x, domain), tile) * area
        by_lag = project(x, patterns.flatten(0, 1)).view(*x.shape[:2], *self.mean.shape)
        if tile == 0:
            by_lag = by_lag - self.mean
        p: Tensor = by_lag[:, :, 0].clone()
        for lag in range(1, min(by_lag.shape[2], x.shape[1])):
            p[:, lag:] += by_lag[:, :-lag, lag]
        return p

    def changes(
        self,
        p: Float[Tensor, "b t k"],
        x: Float[Tensor, "b t c th tw"],
        valid: Bool[Tensor, "b t c th tw"],
        domain: Domain,
        tile: int = 0,
    ) -> Float[Tensor, "b t k"]:
        """Return how p changed since the step before, over the points that both steps hold; 0 at the first.

        Args:
            p: coordinates of ``x`` in one tile.
            x: fields of the tile, 0 where they are not valid.
            valid: where they hold a value.
            domain: constants of the grid.
            tile: its number.
        """
        change = p - earlier(p, 1)
        change[:, :1] = 0
        in_one_alone = x[:, 1:] * ~valid[:, :-1] - x[:, :-1] * ~valid[:, 1:]
        if in_one_alone.any():
            area = domain.cut(domain.area, tile) * domain.blend[tile]
            patterns = domain.cut(interpolate(self.on_x[0], domain), tile) * area
            change[:, 1:] -= project(in_one_alone, patterns)
        return change

    def whole(self, x: Float[Tensor, "b t c h w"], domain: Domain) -> Float[Tensor, "b t k"]:
        """Return the coordinates of whole fields."""
        return torch.stack([self(domain.cut(x, tile), domain, tile) for tile in range(domain.tiles)]).sum(0)


class Tendencies(nn.Module):
    """Sum over n of [p_t, d_t, ..., d_{t-n+1}] B_n, with d_t the last change (`EofCoordinates.changes`).

    Each term adds what one change more tells beyond the terms before it. A term counts where all its changes
    are known.

    Args:
        leads: L.
        count: EOF coordinates K.
        changes: N.
    """

    weight: Tensor

    def __init__(self, leads: int, count: int, changes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(changes, leads, changes + 1, count, count))

    @torch.no_grad()
    def start_from(self, weights: Sequence[Tensor]) -> None:
        """Set B_n (L, n + 1, K, K) for n = 1..N."""
        for number, weight in enumerate(weights, 1):
            self.weight[number - 1, :, : number + 1].copy_(weight)

    def forward(
        self,
        p: Float[Tensor, "b t *n k"],
        change: Float[Tensor, "b t *n k"],
        known: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t *n l k"]:
        """Add the terms up; ``known`` marks the steps that can be compared with the one before."""
        told, state, all_known = [], [p], torch.ones_like(known)
        for number, weight in enumerate(self.weight):
            state.append(earlier(change, number))
            all_known = all_known & earlier(known, number)
            term = torch.einsum("s...k,lskj->...lj", torch.stack(state), weight[:, : number + 2])
            told.append(term * all_known.view(*known.shape, *(1,) * (term.ndim - 2)))
        return torch.stack(told).sum(0)


class Advection(nn.Module):
    """Products of the leading coordinates with each other and with their last changes, as a flow has them.

    Sum over m of (q_m - mean_m) C_m, q being p_i p_j for the first I coordinates and p_i d_j for the first J:
    the quadratic inverse model of Kravtsov et al. (2005, J. Climate 18, 4404). Products are kept to the range
    they had in training, beyond which nothing is known of them.

    Args:
        leads: L.
        count: EOF coordinates K.
    """

    mean: Tensor
    lowest: Tensor
    highest: Tensor
    weight: Tensor

    def __init__(self, leads: int, count: int) -> None:
        super().__init__()
        number = products_of(torch.zeros(1, count), torch.zeros(1, count)).shape[-1]
        for name in ("mean", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(number))
        self.register_buffer("weight", torch.zeros(leads, number, count))

    @torch.no_grad()
    def start_from(self, mean: Tensor, lowest: Tensor, highest: Tensor, weight: Tensor) -> None:
        """Set the mean and range of the products (m,), and C (L, m, K)."""
        pairs = (self.mean, mean), (self.lowest, lowest), (self.highest, highest), (self.weight, weight)
        for own, new in pairs:
            own.copy_(new)

    def forward(
        self, p: Float[Tensor, "b t k"], change: Float[Tensor, "b t k"], known: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t l k"]:
        """Add the products up; nothing where the last change is not known."""
        return self.by_tile(p[:, :, None], change, known)[:, :, 0]

    def by_tile(
        self,
        p: Float[Tensor, "b t n k"],
        change: Float[Tensor, "b t k"],
        known: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t n l k"]:
        """Return what each of n tiles adds: a product is of the tiles of its first factor."""
        whole = p.sum(2, keepdim=True)
        parts = products_of(whole, change[:, :, None], p)
        products = parts.sum(2, keepdim=True)
        within = products.clamp(self.lowest, self.highest) / torch.where(products == 0, 1, products)
        shares = parts * within - self.mean / p.shape[2]
        told: Tensor = torch.einsum("btnm,lmk->btnlk", shares, self.weight) * known[..., None, None, None]
        return told


def products_of(
    p: Float[Tensor, "... k"], change: Float[Tensor, "... k"], first: Float[Tensor, "... k"] | None = None
) -> Float[Tensor, "... m"]:
    """Multiply leading coordinates (others as ``first`` factor) with each other and with their changes."""
    first = p if first is None else first
    squared, own, changed = first[..., :MOST_SQUARED], first[..., :MOST_ADVECTED], change[..., :MOST_ADVECTED]
    i, j = torch.triu_indices(squared.shape[-1], squared.shape[-1])
    moved = own[..., :, None] * changed[..., None, :]
    return torch.cat([squared[..., i] * p[..., j], moved.flatten(-2)], dim=-1)


def earlier(x: Tensor, steps: int) -> Tensor:
    """Return what ``x`` (b, t, ...) was so many steps before; zero before the first."""
    shifted = torch.zeros_like(x)
    shifted[:, steps:] = x[:, : max(x.shape[1] - steps, 0)]
    return shifted


class LeadCorrection(nn.Module):
    """c_l = g_l * sum over points of area(p) E(p)·(W_l h(p)): what the hidden field adds to each forecast.

    W_l maps the hidden channels to a field of each channel, which is then seen along the EOFs E. The field is
    projected before it is mapped, so the cost does not grow with leads times points, and the same W_l serves
    all EOFs: some hundred weights a lead, which do not overfit. They start at zero.

    Args:
        leads: L.
        count: EOFs K.
        hidden_channels: F, on patches of the grid.
        channels: channels c of the fields.
        patch: points per side under one point of h.
    """

    def __init__(self, leads: int, count: int, hidden_channels: int, channels: int, patch: int = 1) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.zeros(leads, channels, hidden_channels))
        self.gain = nn.Parameter(torch.ones(leads, count))

    def forward(
        self, h: Float[Tensor, "b t f hp wp"], eofs: Tensor, domain: Domain, tile: int = 0
    ) -> Float[Tensor, "b t l k"]:
        """Sum over the points of one tile.

        Args:
            h: hidden states.
            eofs: (K, c, gh, gw) on their nodes.
            domain: constants of the grid.
            tile: its number.
        """
        area = domain.cut(domain.area, tile) * domain.blend[tile]
        patterns = domain.cut(interpolate(eofs, domain, self.patch), tile, self.patch)
        patterns = (patterns * pool_sum(area[None], self.patch)).flatten(-2)
        seen = h.to(patterns.dtype).flatten(-2) @ patterns.flatten(0, 1).T
        by_eof = seen.view(*seen.shape[:-1], *patterns.shape[:2])
        corrected: Tensor = torch.einsum("btfkc,lcf->btlk", by_eof, self.weight) * self.gain
        return corrected


class Subspace(nn.Module):
    """z = sum over parts i of sqrt(w_i) V_i (F_i - mean_i): canonical coordinates of F.

    The parts of F are EOF coordinates of the field now and of its forecasts, in units in which the field's
    variance is 1. V holds the leading principal axes of the weighted F over the training period: distances of
    z are distances of F as far as d numbers can tell, modes are uncorrelated in training and ordered by the
    variance of F they explain, and the first k of them are the best k.

    Args:
        embedding: d.
        parts: number of parts.
        count: EOFs K of each.
    """

    axes: Tensor
    mean: Tensor
    weight: Tensor
    variance: Tensor
    covariance: Tensor

    def __init__(self, embedding: int, parts: int, count: int) -> None:
        super().__init__()
        self.register_buffer("axes", torch.zeros(embedding, parts, count))
        self.register_buffer("mean", torch.zeros(parts, count))
        self.register_buffer("weight", torch.ones(parts))
        self.register_buffer("variance", torch.zeros(embedding))
        self.register_buffer("covariance", torch.zeros(parts, count, count))

    @torch.no_grad()
    def start_from(self, axes: Tensor, mean: Tensor, weight: Tensor) -> None:
        """Set V (d, parts, K), the mean of F (parts, K) and the weights w (parts,)."""
        for own, new in ((self.axes, axes), (self.mean, mean), (self.weight, weight)):
            own.copy_(new)

    @torch.no_grad()
    def keep_moments(self, variance: Tensor, covariance: Tensor) -> None:
        """Keep what the training period showed: variance of the modes (d,), covariance of F (parts, K, K)."""
        self.variance.copy_(variance)
        self.covariance.copy_(covariance)

    def forward(self, f: Float[Tensor, "... parts k"]) -> Float[Tensor, "... d"]:
        """Return z of F, without the mean, which `centre` takes off."""
        return torch.einsum("...pk,dpk->...d", f, self.axes * self.weight.sqrt()[:, None])

    def centre(self) -> Float[Tensor, " d"]:
        """Return z of the mean of F."""
        z: Tensor = self(self.mean)
        return z

    def inverse(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... parts k"]:
        """Return the F that z stands for; z may hold the first modes only."""
        axes = self.axes[: z.shape[-1]] / self.weight.sqrt()[:, None]
        return self.mean + torch.einsum("...d,dpk->...pk", z, axes)


def project(field: Tensor, patterns: Tensor) -> Tensor:
    """Sum over channels and points: (b, t, c, h, w) and (d, c, h, w) to (b, t, d)."""
    # the recurrent layers keep their features last in memory: no copy is made of such a field
    field, patterns = field.movedim(-3, -1).flatten(2), patterns.movedim(-3, -1).flatten(1)
    return field.to(patterns.dtype) @ patterns.T
