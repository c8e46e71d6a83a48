"""Regimes as they are found, assigned, written and shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faconv_cli.cube.shape.season import Season
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.cluster import RegimeModel
from faconv_cli.regimes.composites import Composites
from faconv_cli.regimes.embedding import Embedding
from faconv_cli.regimes.selection import Criterion
from faconv_cli.regimes.statistics import Persistence, Separation
from faconv_cli.regimes.target import TargetScores


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
