"""What regimes tell of a target that they were not found on, outside the training period."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.target import known_steps, steps_later, steps_of_target, target_cycle
from faconv_cli.cube.time.sametime import full_stamps
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError
from faconv_cli.regimes.cluster import fit_regimes, one_thread
from faconv_cli.regimes.embedding import Embedding
from faconv_cli.regimes.hmm import follows_among
from faconv_cli.regimes.selection import adjusted_rand
from faconv_cli.regimes.statistics import consecutive_steps

EXTREME = 0.95  # quantile of the training period, at each point
CONFIDENCE = 0.9
RESAMPLES = 1000  # of the years, with replacement
FEWEST_YEARS = 3  # to resample
FEWEST_STEPS = 20
UNDATED_BLOCKS = 10  # in place of years, of numbered steps
MAX_NUMBERS = 100_000_000  # 400 MB; the target is held in memory


class Score(NamedTuple):
    """A score, and where it lies with a probability of `CONFIDENCE`; NaN where there are too few years."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class TargetScores:
    """What regimes tell of a target.

    Attributes:
        name: of the target's channel.
        source: FILE[:VARIABLE] as asked for.
        lead: steps by which the target is later than the regime.
        period: first and last scored step.
        steps: that are scored.
        years: that they are of, resampled for the intervals.
        training_steps: that means and quantiles are of.
        validation: scored steps are those of the validation period, as there are too few beyond it.
        share: of the target's variance about its training mean that lies between the regimes, whose means
            are those of the training period; below 0 where these are worse than none.
        brier_skill: of exceeding the `EXTREME` quantile, by how often each regime did so in training,
            against how often all steps did.
        persistence: share of scored steps whose next step has the same regime.
        stability: adjusted Rand index between the labels that fits of even and of odd years give to all
            steps; NaN where the method or the years do not allow it.
    """

    name: str
    source: str
    lead: int
    period: tuple[str, str]
    steps: int
    years: int
    training_steps: int
    validation: bool
    share: Score
    brier_skill: Score
    persistence: float
    stability: float


class Periods(NamedTuple):
    """Which steps (t,) of an embedding are of the training and of the validation period of its checkpoint.

    After a refit to both, all of them are of the training period.
    """

    training: np.ndarray
    validation: np.ndarray


def periods_of(embedding: Embedding) -> Periods:
    """Find the training and the validation period of an embedding's checkpoint on its time axis.

    Raises:
        InputError: the file does not say what they were.
    """
    told = embedding.training.get("period")
    if not told:
        raise InputError(
            f"{embedding.source} does not say which period its checkpoint was trained on",
            wanted="a target is scored outside that period",
            do="give a file that faconv embed has written",
        )
    held_out = embedding.training.get("validation period")
    validation = _within(embedding.time, held_out) if held_out else np.zeros(len(embedding.time), bool)
    training = _within(embedding.time, told)
    if embedding.training.get("refitted"):
        return Periods(training | validation, np.zeros_like(validation))
    return Periods(training & ~validation, validation)


def _within(time: TimeAxis, period: list[str]) -> np.ndarray:
    if not time.dated:
        return np.asarray((time.values >= float(period[0])) & (time.values <= float(period[1])))
    first, last = (stamp if "T" in stamp else f"{stamp}T00:00:00" for stamp in period)
    stamps = np.array(full_stamps(time))
    return np.asarray((stamps >= first) & (stamps <= last))


def _data_time(embedding: Embedding) -> TimeAxis:
    """Return the time axis in steps of the data: of one month of each year, none follows another."""
    time, step = embedding.time, embedding.data_step
    if step in ("", time.step):
        return time
    return replace(time, step=step, segments=tuple((row, row + 1) for row in range(len(time))))


def score_target(
    embedding: Embedding,
    labels: np.ndarray,
    k: int,
    target: Cube,
    *,
    source: str,
    lead: int,
    stability: float,
) -> TargetScores:
    """Score labels (t,) of an embedding's steps by what they tell of a target.

    The target is made anomalies, with the options of the checkpoint's training, from its labelled training
    steps whose target, too, is of the training period. Means, quantiles and frequencies are of those steps,
    and the scores of steps outside: beyond the validation period, or in it where that leaves less than
    `FEWEST_YEARS`. Of a field, errors are added up over the area.

    Raises:
        InputError: another calendar or time step; too few steps of the target in the training period or
            outside; too large a target.
    """
    periods = periods_of(embedding)
    time = _data_time(embedding)
    rows = steps_of_target(time, target, lead)
    used = (labels > 0) & (rows >= 0)
    training = used & periods.training & steps_later(time, periods.training, lead, False)
    _check_count(source, int(training.sum()), "in the training period", target, embedding)
    anomalies, known = _anomalies(embedding, target, rows, used, training)
    used[used] = known
    training &= used
    _check_count(source, int(training.sum()), "in the training period", target, embedding)
    years = year_blocks(embedding.time, labels > 0)
    beyond = used & ~periods.training & ~periods.validation
    validation = len(np.unique(years[beyond])) < FEWEST_YEARS
    scored = used & ~periods.training if validation else beyond
    _check_count(source, int(scored.sum()), "outside the training period", target, embedding)
    values, codes = anomalies[known], labels[used].astype(int) - 1
    learned, own = training[used], scored[used]
    area = target.grid.area.ravel()
    limit = np.nanquantile(values[learned], EXTREME, axis=0)
    extreme = np.where(np.isfinite(values), values > limit, np.nan)
    share, brier_skill = (
        _skill(one[learned], codes[learned], one[own], codes[own], k, area, years[used][own])
        for one in (values, extreme)
    )
    at = np.flatnonzero(scored)
    pairs = consecutive_steps(embedding.time) & scored[1:] & scored[:-1]
    same = labels[1:][pairs] == labels[:-1][pairs]
    return TargetScores(
        name=target.channels[0].name,
        source=source,
        lead=lead,
        period=(embedding.time.labels[at[0]], embedding.time.labels[at[-1]]),
        steps=len(at),
        years=len(np.unique(years[scored])),
        training_steps=int(training.sum()),
        validation=bool(validation and (scored & periods.validation).any()),
        share=share,
        brier_skill=brier_skill,
        persistence=float(same.mean()) if len(same) else np.nan,
        stability=stability,
    )


def _check_count(source: str, steps: int, where: str, target: Cube, embedding: Embedding) -> None:
    if steps < FEWEST_STEPS:
        raise InputError(
            f"{source} has a value at {steps} labelled steps {where} (it has {target.time.labels[0]} to "
            f"{target.time.labels[-1]}, the embedding {embedding.time.labels[0]} to "
            f"{embedding.time.labels[-1]})",
            wanted=f"a score needs at least {FEWEST_STEPS}",
            do="embed a longer record, or train on a part of it (--time-range)",
        )


def _anomalies(
    embedding: Embedding, target: Cube, rows: np.ndarray, used: np.ndarray, training: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n, p) anomalies of the target at the used steps, and (n,) which have values in enough of its area."""
    points = int(np.prod(target.grid.shape))
    if used.sum() * points > MAX_NUMBERS:
        raise InputError(
            f"{', '.join(target.sources)} has {used.sum()} steps of {points} points",
            wanted=f"a target is held in memory, with at most {MAX_NUMBERS:,} values",
            do="coarsen it first (faconv prepare --coarsen), or give its mean over a region",
        )
    own = target.take(rows[used])
    learned = own.take(np.flatnonzero(training[used]))
    settings = embedding.settings
    kind = target_cycle(settings.get("anomaly", "none"), target)
    climatology = fit_climatology(learned, kind, bool(settings.get("detrend", False)))
    fields = own.read(0, len(own.time))
    valid = np.isfinite(fields[training[used], 0]).mean(axis=0)
    anomalies = climatology.subtract(fields, own.time)[:, 0].reshape(len(fields), -1)
    return anomalies, known_steps(own, valid)


def _skill(
    learned: np.ndarray,
    codes: np.ndarray,
    scored: np.ndarray,
    own: np.ndarray,
    k: int,
    area: np.ndarray,
    years: np.ndarray,
) -> Score:
    """Skill in the square of errors of the regimes' training means over the mean of all training steps.

    Args:
        learned: (n, p) values of the training steps, NaN where missing.
        codes: (n,) their regimes, from 0.
        scored: (m, p) values of the steps to score.
        own: (m,) their regimes.
        k: number of regimes; one without training steps tells the mean of all.
        area: (p,) weights.
        years: (m,) blocks to resample.
    """
    everyone = np.nanmean(learned, axis=0)
    means = np.stack(
        [np.nanmean(learned[codes == one], axis=0) if (codes == one).any() else everyone for one in range(k)]
    )
    means = np.where(np.isfinite(means), means, everyone)
    _, block = np.unique(years, return_inverse=True)
    errors, total = (
        np.bincount(block, np.nan_to_num((scored - told) ** 2) @ area) for told in (means[own], everyone)
    )
    value = float(1 - errors.sum() / total.sum()) if total.sum() > 0 else np.nan
    if len(total) < FEWEST_YEARS:
        return Score(value, np.nan, np.nan)
    draws = np.random.default_rng(0).integers(len(total), size=(RESAMPLES, len(total)))
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = 1 - errors[draws].sum(axis=1) / total[draws].sum(axis=1)
    low, high = np.nanquantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Score(value, float(low), float(high))


def year_blocks(time: TimeAxis, used: np.ndarray) -> np.ndarray:
    """(t,) the year of each step; one of a season across the new year begins after the months without any.

    Steps without dates are cut into `UNDATED_BLOCKS`.
    """
    if not time.dated:
        return np.arange(len(time)) * UNDATED_BLOCKS // len(time)
    calendar_years = np.floor(time.years).astype(int)
    there = np.isin(np.arange(1, 13), time.month[used])
    if there.all() or not (there[0] and there[-1]):
        return calendar_years
    first = 1 + int(np.flatnonzero(~there)[-1]) + 1
    return calendar_years + (time.month >= first)


def stability_of(
    embedding: Embedding, labels: np.ndarray, method: str, k: int, season: np.ndarray, *, seed: int
) -> float:
    """Adjusted Rand index of the labels that fits of the even and of the odd years give to all steps.

    Args:
        embedding: cut to the modes that are clustered.
        labels: (t,) of the regimes.
        method: one of `cluster.METHODS`; of ``hdbscan``, which has no number, it is NaN.
        k: number of regimes.
        season: (t,) steps that are labelled.
        seed: of the fits.
    """
    years = year_blocks(embedding.time, labels > 0)
    halves = [season & embedding.warm & (years % 2 == parity) for parity in (0, 1)]
    if method == "hdbscan" or any(half.sum() <= k for half in halves):
        return np.nan
    follows = consecutive_steps(embedding.time)
    with one_thread():
        fits = [
            fit_regimes(method, embedding.values[half], k, seed=seed, follows=follows_among(follows, half))
            for half in halves
        ]
    everyone = embedding.values[season]
    return adjusted_rand(*(fit.model.predict(everyone, follows_among(follows, season)) for fit in fits))
