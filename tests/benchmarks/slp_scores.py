"""Scores of embeddings of the daily North Atlantic sea level pressure against labels, beside EOFs.

Usage: python tests/benchmarks/slp_scores.py EMBEDDING.nc [EMBEDDING.nc ...]

The data and the labels come from the folder that FACONV_DATA names. Probes are fitted on 2001-2007 and
tested on 2008-2010; EOFs are fitted on 2001-2007, as an encoder to be compared with them should be
(``faconv train DATA --time-range 2001:2007``).
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from faconv_cli.cube.climatology import fit_climatology
from faconv_cli.cube.join.source import open_cube

DATA = Path(os.environ.get("FACONV_DATA", Path(__file__).parents[3] / "shared" / "data"))
LEADS_DAYS = (0, 1, 3, 5)


def eofs(count: int) -> dict[str, np.ndarray]:
    """Principal components of the anomalies and of the raw pressure, fitted on 2001-2007."""
    cube = open_cube([DATA / "ncep_slp_daily_natl_2001-2010.nc"])
    training = cube.slice(*cube.time.indices_of("2001:2007"))
    raw = cube.read(0, cube.shape[0])
    anomalies = fit_climatology(training, "daily", False).subtract(raw, cube.time)
    found = {}
    for name, fields in (("anomalies", anomalies), ("raw", raw)):
        weighted = (fields * np.sqrt(cube.grid.area)).reshape(len(fields), -1)
        found[f"{count} EOFs of {name}"] = PCA(count).fit(weighted[: training.shape[0]]).transform(weighted)
    return found


def scores(z: np.ndarray) -> dict[str, float]:
    """Score one embedding (t, d) of 2001-2010, a row a day."""
    nao = pd.read_csv(DATA / "labels/nao_phase_2001-2010.csv", parse_dates=["date"])
    types = pd.read_csv(DATA / "labels/lamb_jc_lwt11_2001-2010.csv").lwt11.to_numpy()
    train, test = (nao.date.dt.year < 2008).to_numpy(), (nao.date.dt.year >= 2008).to_numpy()
    index = nao.cpc_nao.to_numpy()
    told = {
        "type today": _types(z, types, train, test, 0),
        "type tomorrow": _types(z, types, train, test, 1),
    }
    probed = {f"NAO R2 +{lead} d": value_probe(z, index, train, test, lead) for lead in LEADS_DAYS}
    return regime_scores(z) | told | probed


def regime_scores(z: np.ndarray) -> dict[str, float]:
    """Score k-means (4) on the days from November to March of an embedding (t, d) of 2001-2010."""
    nao = pd.read_csv(DATA / "labels/nao_phase_2001-2010.csv", parse_dates=["date"])
    known = nao.date.dt.month.isin([11, 12, 1, 2, 3]).to_numpy() & np.isfinite(nao.cpc_nao.to_numpy())
    regimes = KMeans(4, n_init=20, random_state=0).fit_predict(z[known])
    return match(regimes, np.array(nao.nao_phase.tolist())[known], nao.cpc_nao.to_numpy()[known])


def match(regimes: np.ndarray, phase: np.ndarray, index: np.ndarray) -> dict[str, float]:
    """Score how regimes (n,) tell of the phase (n,) and the value (n,) of the NAO index."""
    _, number = np.unique(regimes, return_inverse=True)
    means = np.bincount(number, index) / np.bincount(number)
    return {
        "NMI with NAO": float(normalized_mutual_info_score(phase, regimes)),
        "ARI with NAO": float(adjusted_rand_score(phase, regimes)),
        "NAO variance explained": float(np.var(means[number]) / np.var(index)),
    }


def pairs(z: np.ndarray, y: np.ndarray, chosen: np.ndarray, lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Chosen rows of z (t, d), and y (t,) so many rows later; not where that is unknown or past the end."""
    now = np.flatnonzero(chosen)
    now = now[now + lead < len(y)]
    valid = np.isfinite(y[now + lead]) if y.dtype.kind == "f" else np.ones(len(now), bool)
    return z[now[valid]], y[now[valid] + lead]


def _types(z: np.ndarray, types: np.ndarray, train: np.ndarray, test: np.ndarray, lead: int) -> float:
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    return float(probe.fit(*pairs(z, types, train, lead)).score(*pairs(z, types, test, lead)))


def value_probe(z: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, lead: int) -> float:
    """R² in test rows of a ridge regression of y (t,) so many rows after z (t, d)."""
    probe = make_pipeline(StandardScaler(), Ridge(1.0))
    return float(probe.fit(*pairs(z, y, train, lead)).score(*pairs(z, y, test, lead)))


def main(paths: list[str]) -> None:
    """Print a table, a row for each embedding and for EOFs of the same size."""
    embeddings = {}
    for path in paths:
        with xr.open_dataset(path) as file:
            embeddings[Path(path).stem] = file.embedding.values
    sizes = {z.shape[1] for z in embeddings.values()} or {8, 16}
    for size in sorted(sizes):
        embeddings |= eofs(size)
    table = pd.DataFrame({name: scores(z) for name, z in embeddings.items()}).T
    print(table.round(3).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
