"""Scores of a trained network on steps that it was not trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from faconv_cli import schema
from faconv_cli.checkpoint import Checkpoint
from faconv_cli.cube.cube import Cube
from faconv_cli.embed.run import Embedder
from faconv_cli.forecast.run import ForecastRun
from faconv_cli.forecast.verify import Verification
from faconv_cli.regimes.cluster import fit_regimes

Steps = tuple[int, int]


def score_embedding(
    checkpoint: Checkpoint,
    cube: Cube,
    training: np.ndarray,
    test: Steps,
    labels: Mapping[str, np.ndarray],
    device: torch.device,
) -> dict[str, float]:
    """Embed a record and compare it with labels, if there are some.

    K-means with as many clusters as a label has classes, and a logistic regression on the standardised
    embedding, are fitted to the training steps and scored on the test steps: normalised mutual information,
    adjusted Rand index, accuracy.

    Returns:
        Time steps embedded per second, and the scores of each label.
    """
    embedder = Embedder(checkpoint, cube, device, batch=None, attention=False)
    started = time.perf_counter()
    rows = list(embedder.run(0, len(cube.time)))
    seconds = time.perf_counter() - started
    z = np.concatenate([part.embedding for part in rows]).astype(np.float64)
    usable = np.concatenate([part.flag for part in rows]) == schema.OK
    in_training, in_test = (np.zeros(len(z), bool) for _ in range(2))
    in_training[training], in_test[slice(*test)] = True, True
    scores = {"inference steps/s": len(z) / seconds}
    for name, truth in labels.items():
        known = usable & (truth != "")
        fit, held = known & in_training, known & in_test
        classes = len(set(truth[fit]))
        clusters = fit_regimes("kmeans", z[fit], classes, seed=checkpoint.config.fit.seed).model.predict(
            z[held]
        )
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(z[fit], truth[fit])
        scores |= {
            f"{name} NMI": float(normalized_mutual_info_score(truth[held], clusters)),
            f"{name} ARI": float(adjusted_rand_score(truth[held], clusters)),
            f"{name} probe": float(probe.score(z[held], truth[held])),
        }
    return scores


def score_forecasts(
    checkpoint: Checkpoint, cube: Cube, test: Steps, steps: int, device: torch.device
) -> dict[str, float]:
    """Forecast from every start in the test steps, and compare with the observed fields.

    Returns:
        Frames forecast per second; RMSE (in standard deviations, mean over channels) and anomaly correlation
        by lead, and those of persistence and climatology.
    """
    run = ForecastRun(checkpoint, cube, steps, device, truth=True)
    normalizer = checkpoint.normalizer
    # in units of the standard deviation, so that channels can be averaged
    unit = np.ones_like(normalizer.std)
    verification = Verification(cube.grid.area, unit, normalizer.mean / normalizer.std)
    starts = run.starts(*test)
    started = time.perf_counter()
    for part in run.run(starts):
        verification.add(part)
    seconds = time.perf_counter() - started
    scores = {"inference steps/s": len(starts) * steps / seconds}
    found = verification.scores()
    for lead in range(steps):
        for kind, values in (("RMSE", found.rmse), ("ACC", found.acc)):
            for method, by_channel in values.items():
                name = kind if method == "forecast" else f"{kind} {method}"
                scores[f"{name} +{lead + 1}"] = float(by_channel[:, lead].mean())
    return scores
