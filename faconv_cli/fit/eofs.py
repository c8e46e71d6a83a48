"""Empirical orthogonal functions on the pattern nodes, and their linear forecasts: where training starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.decomposition import PCA, IncrementalPCA

from faconv_cli.nn.encoder import IN_COMMON, SubspaceEncoder
from faconv_cli.nn.head import EofCoordinates, products_of
from faconv_cli.nn.mechanisms.domain import Domain, patch_bases
from faconv_cli.windows.adapt import need_room
from faconv_cli.windows.dataset import WindowReader
from faconv_cli.windows.memory import EXACT_NUMBERS
from faconv_cli.windows.plan import Segments
from faconv_cli.windows.resolve import FEWEST_PAIRS

BLOCKS = 5  # that a fit is tried on
SHRINKAGES = (0.0, *np.logspace(-4, 2, 13))  # of the mean variance of a component


@dataclass(frozen=True, eq=False)
class Eofs:
    """EOFs of normalised anomalies.

    Attributes:
        patterns: (lag, d, c, gh, gw) U on the nodes, of the step itself first and then of those before it; a
            field is mean + sum of PC_d U_0d.
        mean: (c, gh, gw) mean field.
        mean_projection: (lag, d) the patterns of each lag applied to the mean field.
        scale: factor to units in which the variance of the whole field is 1.
        variance_share: (d,) share of the total variance.
        components: (n, d) principal components of the training steps.
        steps: (n,) which steps those are.
        changes: (n, d) of the components since the step before, over the points that both steps hold.
        known: (n,) whether the step before is there and holds enough of them.
    """

    patterns: np.ndarray
    mean: np.ndarray
    mean_projection: np.ndarray
    scale: float
    variance_share: np.ndarray
    components: np.ndarray
    steps: np.ndarray
    changes: np.ndarray
    known: np.ndarray

    def turned_towards(self, other: EofCoordinates) -> Eofs:
        """Rotate the EOFs among each other so that they are as close to others as possible.

        Their space stays the same; a network trained with the others can then use these.
        """
        ours, theirs = self.patterns[0].reshape(len(self.patterns[0]), -1), other.on_x[0].double().flatten(1)
        left, _, right = np.linalg.svd(theirs.cpu().numpy() @ ours.T)
        turn = left @ right
        return replace(
            self,
            patterns=np.einsum("de,le...->ld...", turn, self.patterns),
            mean_projection=self.mean_projection @ turn.T,
            components=self.components @ turn.T,
            changes=self.changes @ turn.T,
        )

    def propagator(self, lead: int, segments: Segments) -> np.ndarray:
        """Fit PC(t + lead) = PC(t) A by regression over pairs without a gap: A (d, d).

        The linear inverse model of Penland and Sardeshmukh (1995), shrunk towards the damped persistence of
        each component by as much as best predicts blocks of pairs that the fit has not seen.
        """
        now, later = self._pairs(lead, segments)
        return regress(self.components[now], self.components[later], persist=True)

    def skill(self, lead: int, segments: Segments, propagator: np.ndarray) -> float:
        """Share of the variance of PC(t + lead) that ``propagator`` (d, d) predicts in training, 0 to 1."""
        now, later = self._pairs(lead, segments)
        truth = self.components[later]
        rest = truth - self.components[now] @ propagator
        return max(0.0, 1 - float((rest**2).sum()) / max(float((truth**2).sum()), 1e-30))

    def tendencies(
        self, lead: int, segments: Segments, propagator: np.ndarray, changes: int
    ) -> list[np.ndarray]:
        """Fit what the last changes of the components add to ``propagator`` (d, d) in predictions.

        Term n is a regression, on PC(t) and its n last changes PC(t) - PC(t - 1), ..., of what the terms
        before leave unexplained, shrunk towards zero by as much as unseen blocks require.

        Returns:
            B_n (n + 1, d, d) for n = 1..changes.
        """
        terms: list[np.ndarray] = []
        for number in range(1, changes + 1):
            now, later = self._pairs(lead, segments, before=number)
            x = self._state(now, number)
            rest = self.components[later] - self._told(now, propagator, terms)
            terms.append(regress(x, rest, persist=False).reshape(number + 1, *propagator.shape))
        return terms

    def advection(
        self, lead: int, segments: Segments, propagator: np.ndarray, terms: list[np.ndarray]
    ) -> np.ndarray:
        """Fit what products of the components predict of the residuals of those linear forecasts: C (m, d).

        In the units of the coordinates, shrunk towards zero by as much as unseen blocks require.
        """
        now, later = self._pairs(lead, segments, before=len(terms))
        rest = self.components[later] - self._told(now, propagator, terms)
        of_all = self.products(segments)
        spread = np.maximum(of_all.std(0), 1e-12)
        scaled = (self._products(now) - of_all.mean(0)) / spread
        return np.asarray(regress(scaled, rest * self.scale, persist=False) / spread[:, None])

    def products(self, segments: Segments) -> np.ndarray:
        """Products of the coordinates (n, m) at all steps that have one before them, without a gap."""
        return self._products(self._pairs(0, segments, before=1)[0])

    def coordinates(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The coordinates (n, d), their changes (n, d), and where those are known (n,)."""
        now, changes = (torch.from_numpy(one * self.scale).float() for one in (self.components, self.changes))
        return now, changes, torch.from_numpy(self.known)

    def _products(self, rows: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(self._state(rows, 1) * self.scale)
        return np.asarray(products_of(*state.chunk(2, dim=1)))

    def _state(self, rows: np.ndarray, changes: int) -> np.ndarray:
        """Components of rows beside so many of their last changes (n, d + changes d)."""
        last = [self.changes[rows - number] for number in range(changes)]
        return np.concatenate([self.components[rows], *last], axis=1)

    def _told(self, rows: np.ndarray, propagator: np.ndarray, terms: list[np.ndarray]) -> np.ndarray:
        """Linear forecasts (n, d) from rows, by all terms."""
        told = np.concatenate([propagator[None], np.zeros((len(terms), *propagator.shape))])
        for term in terms:
            told[: len(term)] += term
        forecasts: np.ndarray = self._state(rows, len(terms)) @ told.reshape(-1, len(propagator))
        return forecasts

    def _pairs(self, lead: int, segments: Segments, before: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Rows of steps whose ``before`` last changes are known, and of those ``lead`` later in one run."""
        row_of = {int(step): row for row, step in enumerate(self.steps)}
        pairs = [
            (row_of[step], row_of[step + lead])
            for begin, end in segments
            for step in range(begin, end - lead)
            if step - before in row_of and step - before >= begin and step + lead in row_of
        ]
        pairs = [(row, later) for row, later in pairs if self.known[row - before + 1 : row + 1].all()]
        now, later = np.array(pairs or [(before, before)]).T
        return now, later


def regress(x: np.ndarray, y: np.ndarray, *, persist: bool) -> np.ndarray:
    """Fit y = x A by ridge regression, rows in time order: A (d, k).

    It is shrunk as much as best predicts blocks of rows that a fit has not seen.

    Args:
        x: (n, d) without a mean.
        y: (n, k) without a mean.
        persist: shrink towards the regression of each number on itself, where y is x later; else towards 0.
    """
    blocks = [_Pairs.of(x[rows], y[rows]) for rows in np.array_split(np.arange(len(x)), BLOCKS) if len(rows)]
    whole = _sum(blocks)
    if len(x) < FEWEST_PAIRS:
        return whole.fit(SHRINKAGES[-1], persist=persist)
    rest = [_sum([*blocks[:number], *blocks[number + 1 :]]) for number in range(len(blocks))]
    errors = [
        sum(
            block.error(others.fit(shrinkage, persist=persist))
            for block, others in zip(blocks, rest, strict=True)
        )
        for shrinkage in SHRINKAGES
    ]
    return whole.fit(SHRINKAGES[int(np.argmin(errors))], persist=persist)


class _Pairs(NamedTuple):
    """Sums over pairs of rows x (n, d) and y (n, k): x'x, x'y, and the sum of y squared."""

    gram: np.ndarray
    cross: np.ndarray
    squares: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Pairs:
        return cls(x.T @ x, x.T @ y, float((y**2).sum()))

    def fit(self, shrinkage: float, *, persist: bool) -> np.ndarray:
        """Regress y on x, shrunk by so many times the mean variance of x."""
        # a component may stand still in all pairs
        variance = np.maximum(np.diag(self.gram), 1e-12 * np.trace(self.gram) + 1e-30)
        ridge = np.eye(len(self.gram)) * shrinkage * variance.mean()
        towards = ridge @ np.diag(np.diag(self.cross) / variance) if persist else 0.0
        try:
            return np.asarray(np.linalg.solve(self.gram + ridge, self.cross + towards))
        except np.linalg.LinAlgError:  # not shrunk, and more numbers than rows: the smallest of the solutions
            return np.asarray(np.linalg.lstsq(self.gram + ridge, self.cross + towards)[0])

    def error(self, propagator: np.ndarray) -> float:
        """Sum of squares of y - x A."""
        explained = 2 * (propagator * self.cross).sum() - (propagator * (self.gram @ propagator)).sum()
        return self.squares - float(explained)


def _sum(pairs: list[_Pairs]) -> _Pairs:
    grams, crosses, squares = zip(*pairs, strict=True)
    return _Pairs(np.sum(grams, axis=0), np.sum(crosses, axis=0), sum(squares))


def fit_eofs(
    reader: WindowReader,
    domain: Domain,
    nodes: tuple[int, int],
    segments: Segments,
    *,
    count: int,
    seed: int,
    lags: int = 1,
    share: float = 1.0,
    least: int = 1,
    compared: bool = False,
) -> Eofs:
    """Fit EOFs to the steps in ``segments``, area-weighted, missing values counting as the mean.

    With more than one lag these are extended EOFs (Weare and Nasstrom 1982): of each step joined with the
    ``lags - 1`` steps before it, if there is no gap between them.

    Args:
        reader: of the fields.
        domain: constants of the grid.
        nodes: rows and columns of the nodes.
        segments: runs of steps without a gap.
        count: of EOFs at most.
        seed: of the decomposition.
        lags: see above.
        share: of the variance; no more EOFs than explain it are kept.
        least: at least this many.
        compared: look for the points that a step and the one before both hold, which costs one more pass over
            a record with gaps; else changes are those of the components.

    Raises:
        InputError: fewer steps or valid points than EOFs asked for.
    """
    to_nodes = _adjoint(domain, nodes)
    area = to_nodes(domain.area.double().numpy())
    used = area > 0
    root = np.sqrt(area[used])

    def blocks() -> Iterator[np.ndarray]:
        for segment in segments:
            held = np.zeros((0, channels, len(root)), np.float32)
            for fields in _fields(reader, segment):
                pooled = to_nodes(fields * domain.area.numpy())[..., used] / root
                held = np.concatenate([held, pooled.astype(np.float32)])
                if len(held) >= lags:
                    joined = sliding_window_view(held, lags, axis=0)[..., ::-1].transpose(0, 3, 1, 2)
                    yield joined.reshape(len(joined), -1)
                held = held[max(len(held) - lags + 1, 0) :]

    steps = np.concatenate([np.arange(begin + lags - 1, end) for begin, end in segments])
    channels = reader.cube.shape[1]
    features = lags * channels * int(used.sum())
    need_room(count, len(steps), features)
    pca, components = _decompose(blocks, len(steps) * features, count, seed)
    explained = np.asarray(pca.explained_variance_ratio_[:count])
    if share < 1:
        count = min(count, max(least, 1 + int(np.searchsorted(np.cumsum(explained), share))))
    components = components[:, :count]

    def project(fields: np.ndarray) -> np.ndarray:
        pooled = to_nodes(fields * domain.area.numpy())[..., used] / root
        return np.asarray(pooled.reshape(len(fields), -1) @ pca.components_[:count].T)

    patterns = np.zeros((lags, count, channels, *nodes))
    mean = np.zeros((channels, *nodes))
    weights = pca.components_[:count].reshape(count, lags, channels, -1).swapaxes(0, 1)
    means = pca.mean_.reshape(lags, channels, -1)
    patterns[..., used] = weights / root
    mean[:, used] = means[0] / root
    total = components[:, 0].var() / explained[0]
    scale = float(1 / np.sqrt(total / lags))
    projection = np.einsum("ldcp,lcp->ld", weights, means)
    changes = np.diff(components, axis=0, prepend=components[:1])
    known = np.diff(steps, prepend=steps[0]) == 1
    if compared and lags == 1 and _has_gaps(reader):
        changes, known = _changes_in_common(reader, domain, segments, project)
    return Eofs(
        patterns,
        mean,
        projection,
        scale,
        explained[:count],
        components,
        steps,
        changes,
        known,
    )


def _has_gaps(reader: WindowReader) -> bool:
    """Return whether some points hold values only at some of the training steps."""
    valid = reader.normalizer.valid
    return bool(((valid > 0) & (valid < 1)).any())


def _changes_in_common(
    reader: WindowReader,
    domain: Domain,
    segments: Segments,
    project: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The changes (n, d) from step to step over the points that both hold, and which are known (n,)."""
    area, changes, known = domain.area.numpy(), [], []
    for begin, end in segments:
        last: np.ndarray | None = None
        for start, stop in reader.cube.blocks(start=begin, stop=end):
            fields = reader.anomalies(start, stop)
            change = np.diff(fields, axis=0, prepend=fields[:1] * np.nan if last is None else last)
            shared, own = (np.where(np.isnan(one), 0, area).sum((-3, -2, -1)) for one in (change, fields))
            changes.append(project(np.nan_to_num(change)))
            known.append(shared > IN_COMMON * own)
            last = fields[-1:]
    return np.concatenate(changes), np.concatenate(known)


def _decompose(
    blocks: Callable[[], Iterator[np.ndarray]], numbers: int, count: int, seed: int
) -> tuple[PCA | IncrementalPCA, np.ndarray]:
    if numbers <= EXACT_NUMBERS:
        matrix = np.concatenate(list(blocks()))
        pca = PCA(count, svd_solver=_solver(matrix.shape, count), random_state=seed).fit(matrix)
        return pca, pca.transform(matrix)
    pca = IncrementalPCA(2 * count + 8)
    for block in _at_least(blocks(), 2 * count + 8):
        pca.partial_fit(block)
    pca.components_ = pca.components_[:count]
    return pca, np.concatenate([(block - pca.mean_) @ pca.components_.T for block in blocks()])


def _solver(shape: tuple[int, ...], count: int) -> Literal["covariance_eigh", "full", "arpack"]:
    """Choose how to decompose a matrix exactly.

    Like scikit-learn's ``auto``, but never by random projections: these mix modes of similar variance,
    differently for each seed.
    """
    rows, columns = shape
    if columns <= 1000 and rows >= 10 * columns:
        return "covariance_eigh"
    return "full" if max(shape) <= 500 or count >= 0.8 * min(shape) else "arpack"


def _at_least(blocks: Iterator[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Join blocks until each has ``rows`` rows; a shorter remainder joins the last one."""
    held: np.ndarray | None = None
    ready: np.ndarray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        if len(held) >= rows:
            if ready is not None:
                yield ready
            ready, held = held, None
    last = [part for part in (ready, held) if part is not None]
    if last:
        yield np.concatenate(last)


def _fields(reader: WindowReader, segment: tuple[int, int]) -> Iterator[np.ndarray]:
    """Read normalised anomalies (t, c, h, w), 0 where missing, block by block."""
    for start, stop in reader.cube.blocks(start=segment[0], stop=segment[1]):
        yield reader.fields(start, stop)


def _adjoint(domain: Domain, nodes: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the adjoint of the interpolation: fields (..., h, w) to the nodes (..., gh, gw)."""
    if nodes == domain.shape:
        return lambda fields: fields
    basis_y, basis_x = (basis.double().numpy() for basis in patch_bases(domain, nodes))
    return lambda fields: basis_y.T @ fields @ basis_x


def start_encoder(
    encoder: SubspaceEncoder,
    eofs: Eofs,
    leads: Sequence[int],
    segments: Segments,
    targets: Sequence[np.ndarray] = (),
) -> None:
    """Make the untrained network the linear analysis: EOFs now, and the linear inverse model at the leads.

    Args:
        encoder: the network.
        eofs: of the field.
        leads: of the forecasts.
        segments: of the training period.
        targets: (K, K) of each target, its regression on the EOFs.
    """
    start_coordinates(encoder.eofs, eofs)
    propagators = [*(eofs.propagator(lead, segments) for lead in leads), *targets]
    if propagators:
        encoder.propagators.copy_(torch.from_numpy(np.stack(propagators)))
    if encoder.tendencies is not None:
        changes = len(encoder.tendencies.weight)
        terms = [
            eofs.tendencies(lead, segments, propagator, changes)
            for lead, propagator in zip(leads, propagators[: len(leads)], strict=True)
        ]
        stacked = [np.stack(of_all_leads) for of_all_leads in zip(*terms, strict=True)]
        encoder.tendencies.start_from([torch.from_numpy(one) for one in stacked])
        start_advection(encoder, eofs, leads, segments, terms)


def start_advection(
    encoder: SubspaceEncoder,
    eofs: Eofs,
    leads: Sequence[int],
    segments: Segments,
    terms: Sequence[list[np.ndarray]],
) -> None:
    """Set what products of the coordinates add to the linear forecasts of those terms."""
    assert encoder.advection is not None
    weights = [
        eofs.advection(lead, segments, propagator.double().numpy(), own)
        for lead, propagator, own in zip(leads, encoder.propagators[: len(leads)], terms, strict=True)
    ]
    products = eofs.products(segments)
    range_of = products.mean(0), products.min(0), products.max(0)
    encoder.advection.start_from(*map(torch.from_numpy, (*range_of, np.stack(weights))))


def start_coordinates(coordinates: EofCoordinates, eofs: Eofs) -> None:
    """Make the coordinates of a field its principal components."""
    patterns, mean, field = map(torch.from_numpy, (eofs.patterns, eofs.mean_projection, eofs.mean))
    coordinates.start_from(patterns, mean, field, eofs.scale)
