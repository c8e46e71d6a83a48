"""From an embedding to regimes: find them, or assign those of a file, and describe them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faconv_cli.cube.shape.season import WHOLE_YEAR, Season
from faconv_cli.cube.time.sametime import match_steps
from faconv_cli.errors import CheckpointError, InputError, UsageError
from faconv_cli.regimes import selection
from faconv_cli.regimes.cluster import (
    MAX_TREE_STEPS,
    NOISE,
    SEQUENTIAL,
    Fit,
    RegimeModel,
    by_frequency,
    fit_regimes,
    one_thread,
)
from faconv_cli.regimes.embedding import Embedding, season_rows
from faconv_cli.regimes.hmm import choose_modes, follows_among
from faconv_cli.regimes.rednoise import steps_apart
from faconv_cli.regimes.result import KnownRegimes, Regimes
from faconv_cli.regimes.selection import Criterion
from faconv_cli.regimes.statistics import (
    MISSING,
    UNCLASSIFIED,
    consecutive_steps,
    persistence,
    seasonality,
    separation,
)
from faconv_cli.regimes.timeofday import told_by_hour

# The number the Euro-Atlantic literature settled on. Not a range: on reanalyses hardly any number stands out
# of red noise, and regimes whose number hops with each new year of data are hard to work with.
DEFAULT_CLUSTERS = (4,)
SEASONAL = 0.3  # of `seasonality`, above which a user should know


def find_regimes(
    embedding: Embedding,
    *,
    method: str = "kmeans",
    clusters: tuple[int, ...] | None = None,
    season: Season = WHOLE_YEAR,
    seed: int = 0,
    modes: int | None = None,
) -> Regimes:
    """Cluster the steps of a season; several ``clusters`` let `selection.choose` decide.

    Fitted to steps after the warm-up; steps within it are labelled too, by the nearest centroid
    (``gmm`` and `SEQUENTIAL`: the most probable regime). Of the embedding, the first ``modes`` are clustered:
    by default all, for `SEQUENTIAL` as many as maximise the likelihood of held-out steps.

    Raises:
        InputError: no usable steps, fewer than regimes, or all the same.
        UsageError: HDBSCAN with ``clusters``, `SEQUENTIAL` with several, more modes than there are.
    """
    if method == "hdbscan" and clusters is not None:
        raise UsageError(
            "--method hdbscan finds the number of regimes itself",
            wanted="-k has no meaning with this method",
            do="leave -k out",
        )
    clusters = clusters or DEFAULT_CLUSTERS
    if method in SEQUENTIAL and len(clusters) > 1:
        raise UsageError(
            f"--method {method} was given with -k {clusters[0]}:{clusters[-1]}",
            wanted="a hidden Markov model needs one number of regimes",
            do="give one number, or let --method kmeans or gmm choose it",
        )
    whole, embedding = embedding, embedding.cut(modes)
    rows = season_rows(embedding, season)
    warm = rows & embedding.warm
    x = embedding.values[warm]
    follows = follows_among(consecutive_steps(embedding.time), warm)
    _check_enough(embedding, x, clusters)
    apart = steps_apart(embedding.time, np.flatnonzero(warm))
    criterion = selection.choose(method, x, apart, clusters, seed=seed) if len(clusters) > 1 else None
    mode_notes = []
    if method in SEQUENTIAL and modes is None:
        autoregressive = method == "hmm-ar"
        with one_thread():
            tried, scores = choose_modes(x, clusters[0], follows, seed=seed, autoregressive=autoregressive)
        embedding = embedding.cut(int(tried[scores.argmax()]))
        x = embedding.values[warm]
        listed = ", ".join(f"{m}: {score:.3f}" for m, score in zip(tried, scores, strict=True))
        mode_notes.append(
            f"the first {x.shape[1]} modes, by the log-likelihood of held-out steps (nats a step; {listed})"
        )
    fit = fit_regimes(method, x, criterion.chosen if criterion else clusters[0], seed=seed, follows=follows)
    labels, model = _ordered(_label_steps(embedding, fit, rows, warm), fit.model)
    regimes = replace(describe(embedding, model, labels, season), embedding_modes=whole.values.shape[1])
    if fit.strength is not None:
        regimes = replace(regimes, probability=_on_rows(fit.strength, warm))
    notes = [*_fit_notes(method, rows, warm), *mode_notes, *_criterion_notes(criterion), *regimes.notes]
    return replace(regimes, seed=seed, criterion=criterion, notes=tuple(notes))


def assign_regimes(embedding: Embedding, known: KnownRegimes, season: Season | None = None) -> Regimes:
    """Label the steps of an embedding with regimes found before, keeping their numbers.

    Exactly the labels of the fit for ``kmeans``, ``gmm`` and `SEQUENTIAL`; the nearest centroid for ``ward``
    and ``hdbscan``, whose fits have no rule for new steps. The labels of `SEQUENTIAL` look at neighbours:
    those of the last steps may change as a record grows, and those beside the edges of a season with it.

    Args:
        embedding: made by the checkpoint that made the one ``known`` was fitted to.
        known: as read from a regime file.
        season: default: that of ``known``.

    Raises:
        CheckpointError: another checkpoint, or another number of modes.
        InputError: no usable steps.
    """
    _check_match(embedding, known)
    embedding = embedding.cut(known.model.centroids.shape[1])
    season = season or known.season
    rows = season_rows(embedding, season)
    follows = follows_among(consecutive_steps(embedding.time), rows)
    labels = np.full(len(rows), MISSING, np.int8)
    labels[rows] = known.model.predict(embedding.values[rows], follows) + 1
    regimes = describe(embedding, known.model, labels, season)
    regimes = replace(regimes, embedding_modes=known.embedding_modes)
    if known.model.method not in ("kmeans", "gmm", *SEQUENTIAL):
        note = f"{known.model.method} has no rule for new steps: each gets the regime of the nearest centroid"
        regimes = replace(regimes, notes=(*regimes.notes, note))
    return replace(regimes, assigned=known.source, refound=_shared_steps(regimes, known))


def describe(embedding: Embedding, model: RegimeModel, labels: np.ndarray, season: Season) -> Regimes:
    """Gather the statistics of labels (t,)."""
    has_regime = labels > 0
    members, own = embedding.values[has_regime], labels[has_regime].astype(int) - 1
    distance = np.linalg.norm(members - model.centroids[own], axis=1)
    posterior = model.probabilities(members, follows_among(consecutive_steps(embedding.time), has_regime))
    probability = None if posterior is None else _on_rows(posterior[np.arange(len(own)), own], has_regime)
    score = separation(members, own)
    notes = []
    if score and seasonality(labels, embedding.time.month) > SEASONAL:
        notes.append(
            "the calendar month explains much of these regimes: they are seasons (train on anomalies, "
            "or cluster one --season)"
        )
    if score and embedding.time.sub_daily and (worst := told_by_hour(labels, embedding.time)):
        notes.append(
            f"the time of day explains much of these regimes, most in {worst}: they are the diurnal "
            "cycle (train with --anomaly hourly, or seasonal-diurnal below two years)"
        )
    if score and score.every > 1:
        notes.append(f"silhouette and inter-cluster distance are from every {score.every}th step")
    if unclassified := int((labels == UNCLASSIFIED).sum()):
        notes.append(f"{unclassified} steps are unclassified: too far from any dense region")
    return Regimes(
        embedding=embedding,
        embedding_modes=embedding.values.shape[1],
        model=model,
        labels=labels,
        distance=_on_rows(distance, has_regime),
        probability=probability,
        probabilities=None if posterior is None else _on_rows(posterior, has_regime),
        season=season,
        seed=None,
        persistence=persistence(labels, consecutive_steps(embedding.time), len(model.centroids)),
        separation=score,
        notes=tuple(notes),
    )


def _shared_steps(regimes: Regimes, known: KnownRegimes) -> int:
    rows = match_steps(regimes.embedding.time, known.time)
    return int(((regimes.labels > 0) & (rows >= 0) & (known.labels[rows] > 0)).sum())


def _check_enough(embedding: Embedding, x: np.ndarray, clusters: tuple[int, ...]) -> None:
    needed = clusters[-1] if len(clusters) == 1 else 4 * clusters[-1]
    different = len(np.unique(x, axis=0))
    if different == 1 and len(x) > 1:
        raise InputError(
            f"{embedding.source}: the embedding is constant, all {len(x)} usable steps are the same",
            wanted="regimes are differences between steps",
            do="check the data and the checkpoint",
        )
    if different < needed:
        why = (
            "a choice between numbers of regimes needs four times the largest"
            if needed > clusters[-1]
            else ""
        )
        raise InputError(
            f"{embedding.source} has {different} different steps after warm-up, fewer than {needed}",
            wanted=why or f"{clusters[-1]} regimes need at least that many",
            do="give a longer record, a longer season or a smaller -k",
        )


def _check_match(embedding: Embedding, known: KnownRegimes) -> None:
    modes, wanted = embedding.values.shape[1], known.embedding_modes
    if modes != wanted:
        raise CheckpointError(
            f"{embedding.source} has {modes} modes, but {known.source} has {wanted}",
            wanted="centroids only fit embeddings of the same checkpoint",
            do="embed with the checkpoint of the regimes",
        )
    if embedding.checkpoint != known.checkpoint:
        raise CheckpointError(
            f"{embedding.source} was made with checkpoint {embedding.checkpoint[:12] or 'unknown'}, but the "
            f"regimes in {known.source} with {known.checkpoint[:12] or 'an unknown one'}",
            wanted="modes of different checkpoints mean different things",
            do="embed with the checkpoint of the regimes, or cluster again without --assign",
        )


def _label_steps(embedding: Embedding, fit: Fit, rows: np.ndarray, warm: np.ndarray) -> np.ndarray:
    labels = np.full(len(rows), MISSING, np.int8)
    if fit.model.method in SEQUENTIAL:  # steps are labelled with their neighbours, cold or not
        follows = follows_among(consecutive_steps(embedding.time), rows)
        labels[rows] = fit.model.predict(embedding.values[rows], follows) + 1
        return labels
    labels[warm] = np.where(fit.labels == NOISE, UNCLASSIFIED, fit.labels + 1)
    cold = rows & ~warm
    if cold.any():
        labels[cold] = fit.model.predict(embedding.values[cold]) + 1
    return labels


def _ordered(labels: np.ndarray, model: RegimeModel) -> tuple[np.ndarray, RegimeModel]:
    order = by_frequency(labels.astype(int) - 1, len(model.centroids))
    renamed = labels.copy()
    for new, old in enumerate(order):
        renamed[labels == old + 1] = new + 1
    return renamed, model.reordered(order)


def _on_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spread values (n, ...) over the n true rows of (t,); NaN elsewhere."""
    spread = np.full((len(rows), *values.shape[1:]), np.nan)
    spread[rows] = values
    return spread


def _fit_notes(method: str, rows: np.ndarray, warm: np.ndarray) -> list[str]:
    notes, cold = [], int((rows & ~warm).sum())
    if cold:
        notes.append(f"{cold} warm-up steps are labelled but not used for the fit")
    if method == "ward" and warm.sum() > MAX_TREE_STEPS:
        notes.append(
            f"the Ward tree is of at most {MAX_TREE_STEPS:,} evenly spaced steps, others join the nearest"
        )
    return notes


def _criterion_notes(criterion: Criterion | None) -> list[str]:
    if criterion is None:
        return []
    notes = [f"k = {criterion.chosen} by {selection.DESCRIPTION}"]
    if not criterion.significant:
        notes.append(
            f"no number of regimes stands out of red noise at 95 % (p = {criterion.p_value:.3f}): read them "
            "as a partition of a continuum, not as preferred states"
        )
    return notes
