"""From an embedding to regimes: the whole of ``faconv cluster`` but reading, writing and printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from faconv_cli.cube.cube import Cube
from faconv_cli.cube.shape.season import WHOLE_YEAR, Season
from faconv_cli.cube.time.sametime import match_steps
from faconv_cli.cube.time.timeaxis import TimeAxis
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
from faconv_cli.regimes.composites import (
    MAX_INPUT_NUMBERS,
    Composites,
    Origin,
    composites,
    input_separation,
    match_labels,
)
from faconv_cli.regimes.embedding import Embedding
from faconv_cli.regimes.hmm import choose_modes, follows_among
from faconv_cli.regimes.rednoise import steps_apart
from faconv_cli.regimes.selection import Criterion
from faconv_cli.regimes.significance import T_TEST, red_noise_regimes
from faconv_cli.regimes.statistics import (
    MISSING,
    UNCLASSIFIED,
    Persistence,
    Separation,
    consecutive_steps,
    persistence,
    seasonality,
    separation,
)
from faconv_cli.regimes.target import FEWEST_YEARS, TargetScores, score_target, stability_of
from faconv_cli.regimes.timeofday import told_by_hour

# The number the Euro-Atlantic literature settled on. Not a range: on reanalyses hardly any number stands out
# of red noise, and regimes whose number hops with each new year of data are hard to work with.
DEFAULT_CLUSTERS = (4,)
DOUBT = 0.3  # of the embedding's variance told from a field, above which it may be part of what was embedded
SEASONAL = 0.3  # of `seasonality`, above which a user should know


@dataclass(frozen=True, eq=False)
class KnownRegimes:
    """What ``--assign`` needs of a regime file.

    Attributes:
        model: labels new steps.
        season: the months it was fitted to.
        checkpoint: sha256 of the checkpoint that made the embedding it was fitted to.
        source: path of the file.
        time: of its steps.
        labels: (t,) of its steps, as in `Regimes`.
        embedding_modes: number of modes of the embedding, of which the model may use the first few.
    """

    model: RegimeModel
    season: Season
    checkpoint: str
    source: str
    time: TimeAxis
    labels: np.ndarray
    embedding_modes: int


@dataclass(frozen=True, eq=False)
class Regimes:
    """Labels of an embedding's steps and what there is to say about them.

    Attributes:
        embedding: what was labelled, cut to the modes that were used.
        embedding_modes: number of modes it had before.
        model: labels new steps; its regime i is label i + 1.
        labels: (t,) int8 1..k by falling frequency; 0 unclassified (HDBSCAN's noise), -1 not labelled.
        distance: (t,) Euclidean distance to the own centroid; NaN where there is no regime.
        probability: (t,) of the own regime, for ``gmm``, `SEQUENTIAL` and ``hdbscan``; NaN where unknown.
        probabilities: (t, k) of all regimes, for `SEQUENTIAL`; NaN where there is none.
        season: the months that were labelled.
        seed: of the fit; None where old centroids were assigned.
        persistence: shares, spells and transitions.
        separation: on the embedding; None where fewer than two regimes have members.
        criterion: where a range of k was asked for.
        composites: where data were given.
        input_separation: on the data; None where not given or too large.
        assigned: the regime file whose centroids were used; empty where fitted here.
        refound: labelled steps that have a regime in that file too.
        notes: sentences for the user.
        data_sources: the files of the data, where given.
        data_notes: what was chosen, merged, dropped or masked in them.
        targets: what the regimes tell of each target that was given.
    """

    embedding: Embedding
    embedding_modes: int
    model: RegimeModel
    labels: np.ndarray
    distance: np.ndarray
    probability: np.ndarray | None
    probabilities: np.ndarray | None
    season: Season
    seed: int | None
    persistence: Persistence
    separation: Separation | None
    criterion: Criterion | None = None
    composites: Composites | None = None
    input_separation: Separation | None = None
    assigned: str = ""
    refound: int = 0
    notes: tuple[str, ...] = ()
    data_sources: tuple[str, ...] = ()
    data_notes: tuple[str, ...] = ()
    targets: tuple[TargetScores, ...] = ()

    @property
    def k(self) -> int:
        """Number of regimes."""
        return len(self.model.centroids)


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

    Fitted on steps whose state had warmed up; cold-start steps are labelled too, by the nearest centroid
    (``gmm`` and `SEQUENTIAL`: the most probable regime). Of the embedding, the first ``modes`` are clustered:
    by default all, for `SEQUENTIAL` as many as the likelihood of held-out steps asks for.

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


def add_data(regimes: Regimes, cube: Cube, advance: Callable[[], None] = lambda: None) -> Regimes:
    """Add composites of the data, and the separation on them where they are small enough.

    Raises:
        InputError: the data have none of the labelled steps.
    """
    sources = ", ".join(cube.sources)
    step = regimes.embedding.data_step or regimes.embedding.time.step
    labels = match_labels(cube.time, regimes.embedding.time, regimes.labels, sources, step)
    notes, score = list(regimes.notes), input_separation(cube, labels)
    absent = int((regimes.labels != MISSING).sum() - (labels != MISSING).sum())
    if absent:
        notes.append(f"{absent} labelled steps are not in the data and not in the composites")
    if cube.time.step != step:
        count = int((labels != MISSING).sum())
        notes.append(
            f"the data have a step of {cube.time.step}, the labels of {step}: composites are of the {count} "
            "steps with a label"
        )
    if score is None and regimes.separation is not None:
        notes.append(
            "separation on the input is not computed: it needs points with a value at each labelled "
            f"step, and at most {MAX_INPUT_NUMBERS:,} numbers"
        )
    fields = composites(cube, labels, regimes.k, _origin(regimes, cube), advance)
    notes.extend(_significance_notes(fields, regimes))
    return replace(
        regimes,
        composites=fields,
        input_separation=score,
        notes=tuple(notes),
        data_sources=cube.sources,
        data_notes=(*cube.notes, *cube.masked),
    )


def add_targets(regimes: Regimes, targets: Sequence[tuple[str, Cube, int]]) -> Regimes:
    """Add what the regimes tell of targets outside the training period of the embedding's checkpoint.

    Args:
        regimes: found or assigned.
        targets: FILE[:VARIABLE] as asked for, opened, and the steps by which it is later.

    Raises:
        InputError: see `score_target`.
    """
    embedding, method = regimes.embedding, regimes.model.method
    rows = season_rows(embedding, regimes.season)
    stability = stability_of(embedding, regimes.labels, method, regimes.k, rows, seed=regimes.seed or 0)
    scores = [
        score_target(
            embedding, regimes.labels, regimes.k, cube, source=source, lead=lead, stability=stability
        )
        for source, cube, lead in targets
    ]
    notes = list(regimes.notes)
    if not regimes.assigned:
        notes.append(
            "the regimes were found on all steps, including those on which targets are scored (but not on "
            "the targets); for regimes of the training period alone, cluster its embedding and --assign them"
        )
    if any(score.validation for score in scores):
        notes.append(
            f"less than {FEWEST_YEARS} years lie beyond the validation period, which chose the "
            "network: targets are scored on it as well"
        )
    return replace(regimes, targets=tuple(scores), notes=tuple(notes))


def _origin(regimes: Regimes, cube: Cube) -> Origin:
    """Report what the regimes come from."""
    embedding, method, null = regimes.embedding, regimes.model.method, None
    if regimes.seed is not None and method != "hdbscan":
        rows = np.flatnonzero((regimes.labels > 0) & embedding.warm)
        apart = steps_apart(embedding.time, rows)
        null = partial(red_noise_regimes, method, embedding.values[rows], apart, regimes.k, seed=regimes.seed)
    matched = match_steps(cube.time, embedding.time)
    modes = np.where(matched[:, None] >= 0, embedding.values[matched], np.nan)
    return Origin(frozenset(embedding.channels), modes, null)


def _shared_steps(regimes: Regimes, known: KnownRegimes) -> int:
    rows = match_steps(regimes.embedding.time, known.time)
    return int(((regimes.labels > 0) & (rows >= 0) & (known.labels[rows] > 0)).sum())


def _significance_notes(found: Composites, regimes: Regimes) -> list[str]:
    by_test: dict[str, list[str]] = {}
    for channel, test in zip(found.channels, found.tests, strict=True):
        by_test.setdefault(test, []).append(channel.name)
    notes = [f"p-values of {', '.join(names)}: {test}" for test, names in by_test.items()]
    for channel, test, embedded, told in zip(
        found.channels, found.tests, found.embedded, found.told, strict=True
    ):
        if test == T_TEST and (doubt := _doubt(channel.name, embedded, told, regimes)):
            notes.append(doubt)
    return notes


def _doubt(name: str, embedded: bool, told: float, regimes: Regimes) -> str:
    """Report where a t test finds too much significant; empty if there is no sign of that."""
    if regimes.assigned and not regimes.refound:
        return ""
    if embedded and regimes.assigned:
        return (
            f"{name} was embedded, and {regimes.refound} of the steps have a regime in {regimes.assigned} "
            "too: on steps that the regimes were found on, the t test calls too much significant"
        )
    if embedded:
        return (
            f"{name} was embedded, and {regimes.model.method} finds no regimes in red noise to compare with: "
            "the t test calls too much significant"
        )
    if told > DOUBT:
        return (
            f"{told:.0%} of the embedding's variance can be told from {name}: were it embedded under another "
            "name, the t test would call too much significant"
        )
    return ""


def season_rows(embedding: Embedding, season: Season) -> np.ndarray:
    """(t,) valid steps of the season.

    Raises:
        InputError: there are none.
    """
    if len(season.months) < 12:
        embedding.time.need_dates(f"--season {season.name}")
    valid, within = embedding.valid, np.isin(embedding.time.month, season.months)
    if not valid.any():
        raise InputError(
            f"{embedding.source}: all {len(valid)} rows are missing",
            wanted="regimes need steps with valid rows",
            do="check embedding_flag, and the data that faconv embed was given",
        )
    if not (valid & within).any():
        raise InputError(
            f"{embedding.source}: no valid step lies in season {season.name}",
            wanted=f"the record has months {', '.join(map(str, np.unique(embedding.time.month[valid])))}",
            do="choose one of these months",
        )
    return np.asarray(valid & within)


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
