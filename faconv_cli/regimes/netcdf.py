"""The regime file: CF NetCDF, written whole or not at all, and read back for --assign."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

import faconv_cli
from faconv_cli import schema
from faconv_cli.cube.shape.season import Season
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.cube.units.units import units_metadata
from faconv_cli.errors import InputError
from faconv_cli.files import atomic_output
from faconv_cli.regimes import selection
from faconv_cli.regimes.cluster import METHODS, SEQUENTIAL, RegimeModel
from faconv_cli.regimes.composites import Composites
from faconv_cli.regimes.embedding import open_netcdf
from faconv_cli.regimes.result import KnownRegimes, Regimes
from faconv_cli.regimes.selection import Criterion
from faconv_cli.regimes.statistics import MISSING, UNCLASSIFIED, Persistence, Separation
from faconv_cli.regimes.target import CONFIDENCE, EXTREME, TargetScores

WEIGHT, COVARIANCE, OTHER_MODE, K = "component_weight", "component_covariance", "other_mode", "k"
START, MODEL_TRANSITION, DURATION = (
    "model_start_probability",
    "model_transition_probability",
    "model_duration",
)
COEFFICIENT, INTERCEPT, INNOVATION = "model_coefficient", "model_intercept", "model_innovation_covariance"
BOUND, INTERVALS = "bound", "bootstrap over years"
_METHOD, _SEASON, _MONTHS = "faconv_method", "faconv_season", "faconv_season_months"
_MODES = "faconv_embedding_modes"
_CHAIN = {"start": START, "transition": MODEL_TRANSITION, "covariances": COVARIANCE}
_PARAMETERS = {
    "gmm": {"weights": WEIGHT, "covariances": COVARIANCE},
    "hmm": _CHAIN,
    "hmm-ar": {**_CHAIN, "coefficients": COEFFICIENT, "intercept": INTERCEPT, "innovations": INNOVATION},
}
_SCORES = {
    "silhouette": "mean silhouette, Euclidean distance",
    "silhouette_cosine": "mean silhouette, cosine distance",
    "davies_bouldin": "Davies-Bouldin index",
    "calinski_harabasz": "Calinski-Harabasz index",
    "rmse": "root mean square distance to the own centroid",
    "inter_cluster_distance": "mean of smallest distances between regimes and largest within",
}

Variables = dict[str, xr.Variable]


def write_regimes(path: Path, regimes: Regimes, *, command: str = "", overwrite: bool = False) -> None:
    """Write labels, centroids, statistics and composites as CF NetCDF.

    Args:
        path: created whole; untouched when anything goes wrong.
        regimes: as from `find_regimes` or `assign_regimes`.
        command: command line for ``history``.
        overwrite: replace a file that exists.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    variables = _coordinates(regimes) | _series(regimes) | _model(regimes.model)
    variables |= _statistics(regimes.persistence)
    for prefix, scores in (("embedding", regimes.separation), ("input", regimes.input_separation)):
        variables |= _separation(prefix, scores) if scores else {}
    variables |= _criterion(regimes.criterion) if regimes.criterion else {}
    variables |= _composites(regimes.composites) if regimes.composites else {}
    variables |= _targets(regimes.targets) if regimes.targets else {}
    file = xr.Dataset(variables, attrs=_attributes(regimes, command))
    with atomic_output(path, overwrite=overwrite) as temporary:
        # not under netcdf_lock(): xarray takes the same lock, which is not re-entrant, for each variable
        file.to_netcdf(temporary, engine="netcdf4", format="NETCDF4")


def read_known(path: Path) -> KnownRegimes:
    """Read what labels new steps from a regime file.

    Raises:
        InputError: no such file, not NetCDF, or not a regime file.
    """
    with open_netcdf(path) as file:
        method = file.attrs.get(_METHOD)
        parameters = _PARAMETERS.get(str(method), {})
        if method not in METHODS or not {schema.CENTROID, *parameters.values()} <= set(file.data_vars):
            raise InputError(
                f"{path} holds no regimes (variables: {', '.join(map(str, file.data_vars)) or 'none'})",
                wanted="--assign takes a file that faconv cluster wrote",
                do="give that file",
            )
        centroids = file[schema.CENTROID].values
        months = np.atleast_1d(file.attrs[_MONTHS]).tolist()
        return KnownRegimes(
            model=RegimeModel(
                str(method), centroids, **{one: file[name].values for one, name in parameters.items()}
            ),
            season=Season(file.attrs[_SEASON], tuple(months)),
            checkpoint=str(file.attrs[schema.CHECKPOINT_SHA256]),
            source=str(path),
            time=TimeAxis.from_values(file[schema.TIME].values, file[schema.TIME].encoding.get("calendar")),
            labels=file[schema.REGIME].fillna(MISSING).values.astype(np.int8),
            embedding_modes=int(np.asarray(file.attrs.get(_MODES, centroids.shape[1]))),
        )


def _coordinates(regimes: Regimes) -> Variables:
    numbers = np.arange(1, regimes.k + 1, dtype=np.int32)
    modes = np.arange(1, regimes.model.centroids.shape[1] + 1, dtype=np.int32)
    return {
        schema.TIME: regimes.embedding.time.to_variable().variable,
        schema.CLUSTER: _variable(schema.CLUSTER, numbers, "number of the regime, by falling frequency"),
        schema.NEXT_CLUSTER: _variable(schema.NEXT_CLUSTER, numbers, "regime of the next time step"),
        schema.MODE: _variable(schema.MODE, modes, "number of the embedding's mode"),
    }


def _series(regimes: Regimes) -> Variables:
    meanings = {number: f"regime_{number}" for number in range(1, regimes.k + 1)}
    if regimes.model.method == "hdbscan":
        meanings = {UNCLASSIFIED: "unclassified", **meanings}
    regime = xr.Variable(
        schema.TIME,
        regimes.labels.astype(np.int8),
        {
            "long_name": f"regime, clustered by {regimes.model.method}",
            "flag_values": np.array(list(meanings), np.int8),
            "flag_meanings": " ".join(meanings.values()),
        },
        {"_FillValue": np.int8(MISSING)},
    )
    variables = {
        schema.REGIME: regime,
        schema.REGIME_DISTANCE: _variable(
            schema.TIME, regimes.distance, "Euclidean distance of the embedding to the centroid of its regime"
        ),
    }
    if regimes.probability is not None:
        variables[schema.REGIME_PROBABILITY] = _variable(
            schema.TIME, regimes.probability, "probability of the regime, or strength of membership in it"
        )
    if regimes.model.method in SEQUENTIAL and regimes.probabilities is not None:
        variables[schema.REGIME_PROBABILITIES] = _variable(
            (schema.CLUSTER, schema.TIME), regimes.probabilities.T, "probability of each regime"
        )
    return variables


def _model(model: RegimeModel) -> Variables:
    by_mode = (schema.CLUSTER, schema.MODE)
    variables = {schema.CENTROID: _variable(by_mode, model.centroids, "centroid of the regime")}
    if model.weights is not None:
        variables[WEIGHT] = _variable(schema.CLUSTER, model.weights, "weight of the Gaussian component")
    if model.covariances is not None:
        variables[COVARIANCE] = _variable(
            (*by_mode, OTHER_MODE), model.covariances, "covariance of the Gaussian component"
        )
        variables[OTHER_MODE] = _variable(
            OTHER_MODE, np.arange(1, model.centroids.shape[1] + 1, dtype=np.int32), "number of the other mode"
        )
    return variables | _chain(model) | _dynamics(model)


def _chain(model: RegimeModel) -> Variables:
    if model.start is None or model.transition is None or model.expected_duration is None:
        return {}
    return {
        START: _variable(
            schema.CLUSTER, model.start, "probability of the regime at the beginning of a run of steps"
        ),
        MODEL_TRANSITION: _variable(
            (schema.CLUSTER, schema.NEXT_CLUSTER),
            model.transition,
            "probability of the regime of the next time step in the hidden Markov model",
        ),
        DURATION: _variable(
            schema.CLUSTER,
            model.expected_duration,
            "expected length of a spell in time steps in the hidden Markov model",
        ),
    }


def _dynamics(model: RegimeModel) -> Variables:
    if (found := model.dynamics) is None:
        return {}
    dims = (schema.CLUSTER, schema.MODE, OTHER_MODE)
    return {
        COEFFICIENT: _variable(dims, found.coefficients, "what a step is of each mode of the step before"),
        INTERCEPT: _variable(dims[:2], found.intercept, "what a step is beside that"),
        INNOVATION: _variable(dims, found.innovations, "covariance of what the step before does not tell"),
    }


def _statistics(found: Persistence) -> Variables:
    pairs = (schema.CLUSTER, schema.NEXT_CLUSTER)
    per_cluster = {
        "share": (found.share, "share of the labelled time steps"),
        "spells": (found.spells.astype(np.int32), "number of spells of consecutive time steps"),
        "mean_duration": (found.mean_duration, "mean length of a spell in time steps"),
        "persistence": (found.persistence, "probability that the regime goes on for another time step"),
    }
    return {
        schema.TRANSITION: _variable(
            pairs, found.transition, "probability of the regime of the next time step"
        ),
        **{name: _variable(schema.CLUSTER, *rest) for name, rest in per_cluster.items()},
    }


def _separation(prefix: str, scores: Separation) -> Variables:
    values = asdict(scores)
    return {
        f"{prefix}_{name}": _variable((), values[name], f"{long_name}, on the {prefix}")
        for name, long_name in _SCORES.items()
    }


def _criterion(criterion: Criterion) -> Variables:
    named = {
        "criterion": (criterion.skill, "skill of the reproducibility over red noise"),
        "reproducibility": (
            criterion.reproducibility,
            "mean adjusted Rand index between halves of the record",
        ),
        "red_noise_reproducibility": (criterion.red_noise, "the same of AR(1) surrogates"),
    }
    return {
        K: _variable(K, criterion.clusters.astype(np.int32), "number of regimes tried"),
        **{name: _variable(K, *rest) for name, rest in named.items()},
        "criterion_p_value": _variable(
            (), criterion.p_value, "probability that red noise stands out as much"
        ),
    }


def _targets(scores: Sequence[TargetScores]) -> Variables:
    """What the regimes tell of each target; variables of several of one name are numbered."""
    variables: Variables = {
        BOUND: _variable(BOUND, np.arange(2, dtype=np.int32), "lower and upper bound of an interval")
    }
    for number, one in enumerate(scores):
        earlier = sum(other.name == one.name for other in scores[:number])
        suffix = re.sub(r"\W", "_", one.name) + (f"_{earlier + 1}" if earlier else "")
        where = f"{one.name}, {one.lead} steps later" if one.lead else one.name
        about = {
            "comment": f"{one.source}; {one.steps} steps of {one.years} years outside the training period, "
            f"{one.period[0]} to {one.period[1]}; means, quantiles and frequencies of {one.training_steps} "
            "training steps"
        }
        named = {
            "share": (one.share, f"share of the variance of {where} between regimes"),
            "brier_skill": (
                one.brier_skill,
                f"Brier skill score of {where} above its {EXTREME:.0%} quantile",
            ),
        }
        for name, (score, told) in named.items():
            variables[f"target_{name}_{suffix}"] = _variable((), score.value, told, **about)
            variables[f"target_{name}_interval_{suffix}"] = _variable(
                BOUND, score[1:], f"{CONFIDENCE:.0%} confidence interval of the {told}", comment=INTERVALS
            )
        variables |= {
            f"target_persistence_{suffix}": _variable(
                (), one.persistence, "share of scored steps whose next step has the same regime", **about
            ),
            f"target_stability_{suffix}": _variable(
                (), one.stability, "adjusted Rand index between regimes of even and of odd years"
            ),
        }
    return variables


def _composites(found: Composites) -> Variables:
    coordinates, extra = found.grid.coordinates(), found.grid.attributes
    dims = (schema.CLUSTER, *found.grid.dims)
    variables: Variables = {name: _plain(values.variable) for name, values in coordinates.items()}
    for number, channel in enumerate(found.channels):
        name, title = re.sub(r"\W", "_", channel.name), channel.long_name or channel.name
        fields = (found.mean, found.anomaly, found.p_value, found.p_adjusted)
        mean, anomaly, p_value, p_adjusted = (found.grid.to_file_order(field[:, number]) for field in fields)
        units = {"units": channel.units or "1"}
        scale, difference = (
            {"units_metadata": told} if (told := units_metadata(one)) else {}
            for one in (channel, replace(channel, difference=True))
        )
        if channel.standard_name:
            scale["standard_name"] = channel.standard_name
        variables |= {
            f"{schema.COMPOSITE}_{name}": _variable(
                dims, mean, f"mean of {title} over the time steps of the regime", **units, **scale, **extra
            ),
            f"{schema.COMPOSITE}_anomaly_{name}": _variable(
                dims, anomaly, f"anomaly of {title} in the regime", **units, **difference, **extra
            ),
            f"{schema.COMPOSITE}_p_value_{name}": _variable(
                dims, p_value, f"p-value of the anomaly of {title}", comment=found.tests[number], **extra
            ),
            f"{schema.COMPOSITE}_p_adjusted_{name}": _variable(
                dims,
                p_adjusted,
                f"p-value of the anomaly of {title}, adjusted for the false discovery rate over the map",
                comment=found.tests[number],
                **extra,
            ),
        }
    return variables


def _variable(
    dims: str | tuple[str, ...], values: npt.ArrayLike, long_name: str, **attributes: str
) -> xr.Variable:
    """Make a variable, dimensionless unless ``attributes`` say; a fill value only where one is needed."""
    array = np.asarray(values)
    variable = xr.Variable(dims, array, {"long_name": long_name, "units": "1", **attributes})
    if array.dtype.kind == "f" and np.isnan(array).any():
        variable.encoding["_FillValue"] = array.dtype.type(netCDF4.default_fillvals[array.dtype.str[1:]])
        return variable
    return _plain(variable)


def _plain(variable: xr.Variable) -> xr.Variable:
    variable.encoding["_FillValue"] = None
    return variable


def _attributes(regimes: Regimes, command: str) -> dict[str, Any]:
    embedding, season = regimes.embedding, regimes.season
    attributes: dict[str, Any] = {
        "Conventions": schema.CONVENTIONS,
        "title": f"{regimes.k} regimes of {Path(embedding.source).name}",
        "institution": "not given",
        "source": f"faconv {faconv_cli.__version__}, {regimes.model.method}",
        "references": "Michelangeli et al. 1995, J. Atmos. Sci. 52 (regimes and their number)",
        "comment": "; ".join(regimes.notes) or "no remarks",
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {command}\n{embedding.history}".strip(),
        "faconv_version": faconv_cli.__version__,
        "faconv_embedding": embedding.source,
        schema.CHECKPOINT_SHA256: embedding.checkpoint,
        _METHOD: regimes.model.method,
        _MODES: np.int32(regimes.embedding_modes),
        _SEASON: season.name,
        _MONTHS: np.array(season.months, np.int32),
        schema.TIME_STEP: embedding.time.step,
    }
    if regimes.seed is not None:
        attributes["faconv_seed"] = np.int64(regimes.seed)
    if regimes.criterion is not None:
        attributes["faconv_criterion"] = selection.DESCRIPTION
    if regimes.data_sources:
        attributes["faconv_sources"] = ", ".join(regimes.data_sources)
        attributes["faconv_notes"] = " ".join(regimes.data_notes)
    if regimes.assigned:
        attributes["faconv_assigned_from"] = regimes.assigned
    return attributes
