"""The methods: each is fitted to the training years of a record and embeds files like it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from faconv_cli.files import last_path
from faconv_cli.regimes.embedding import read_embedding
from tests.benchmarks.regimes import autoencoder
from tests.benchmarks.regimes.records import Record, open_whole

MODES = 16
SIZES = (8, 16)

EOF = ("--encoder", "eof")
LINEAR = (*EOF, "--lead", "1,2,3,5")

Encode = Callable[[Path], np.ndarray]  # of a file like the record's: (t, d)


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        title: what it is called there.
        fit: fits it to a record with a seed, keeping what it is in the middle of under a name, and gives
            what embeds.
        random: fits of other seeds differ.
        sizes: numbers per step that are scored, of which the first few are the smaller ones; None: all of
            them, and regimes alone.
        targeted: it is given the target of a record, and nothing where there is none.
    """

    title: str
    fit: Callable[[Record, int, Path], Encode]
    random: bool = True
    sizes: tuple[int, ...] | None = SIZES
    targeted: bool = False


def faconv(*options: str) -> Callable[[Record, int, Path], Encode]:
    """Train and embed by the commands that a user types; a training that was stopped goes on."""

    def fit(record: Record, seed: int, name: Path) -> Encode:
        checkpoint = name.with_name(f"{name.name}.pt")
        going_on = "--resume" if last_path(checkpoint).exists() else "--overwrite"
        asked = ["--time-range", record.training, "--embedding", str(MODES), "--seed", str(seed), *options]
        _run("train", record.path, "-o", checkpoint, going_on, *asked)
        return lambda path: _embedding(checkpoint, path)

    return fit


def towards_target(*options: str) -> Callable[[Record, int, Path], Encode]:
    """The same, with the record's target."""

    def fit(record: Record, seed: int, name: Path) -> Encode:
        assert record.target is not None
        return faconv("--target", record.target, *options)(record, seed, name)

    return fit


def _embedding(checkpoint: Path, path: Path) -> np.ndarray:
    output = checkpoint.with_suffix(".nc")
    _run("embed", "-c", checkpoint, path, output, "--overwrite")
    return read_embedding(output).values


def _run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "faconv_cli", *map(str, words)], check=True, stdout=sys.stderr)


def convlstm_autoencoder(record: Record, seed: int, name: Path) -> Encode:
    """The bottleneck of `autoencoder` on its principal axes, so that its first numbers are the best."""
    prepared = record.prepared()
    network, _ = autoencoder.train_autoencoder(prepared, MODES, seed)

    def numbers(path: Path) -> np.ndarray:
        return autoencoder.embed(network, prepared, open_whole(path))

    axes = PCA().fit(numbers(record.path)[record.train])
    return lambda path: axes.transform(numbers(path))


def raw_field(record: Record, seed: int, name: Path) -> Encode:
    """Standardised anomalies at all points, times the root of the area."""
    weight = np.sqrt(record.prepared(validation="0").cube.grid.area)

    def encode(path: Path) -> np.ndarray:
        fields = record.anomalies(path)
        return (fields * weight).reshape(len(fields), -1)

    return encode


# as many parameters in the recurrent layer as FAConvLSTM has by default (6561), as near as they come
METHODS = {
    "eof": Method("EOFs", faconv(*EOF), random=False),
    "eof-detrended": Method("EOFs, trend taken off", faconv(*EOF, "--detrend"), random=False),
    "linear": Method("linear predictive subspace", faconv(*LINEAR), random=False),
    "untrained": Method("FAConvLSTM untrained: inverse model", faconv("--updates", "0"), random=False),
    "faconvlstm": Method("FAConvLSTM", faconv()),
    "faconvlstm-detrended": Method("FAConvLSTM, trend taken off", faconv("--detrend")),
    "faconvlstm-no-refit": Method("FAConvLSTM, validation years kept out", faconv("--no-refit")),
    "faconvlstm-target": Method(
        "FAConvLSTM, target of weight 3", towards_target("--target-weight", "3"), targeted=True
    ),
    "autoencoder": Method("ConvLSTM autoencoder", convlstm_autoencoder),
    "minfaconvlstm": Method(
        "MinFAConvLSTM", faconv("--encoder", "minfaconvlstm", "--hidden", "37", "--bottleneck", "18")
    ),
    "extended-eof": Method("extended EOFs, 5 steps", faconv(*EOF, "--window", "5"), random=False),
    "field": Method("the field itself", raw_field, random=False, sizes=None),
    "minconvgru": Method("MinConvGRU", faconv("--encoder", "minconvgru", "--hidden", "40")),
    "minconvlstm": Method("MinConvLSTM", faconv("--encoder", "minconvlstm", "--hidden", "27")),
    "minconvexplstm": Method("MinConvExpLSTM", faconv("--encoder", "minconvexplstm", "--hidden", "27")),
    "convlstm": Method("ConvLSTM in FAConvLSTM's place", faconv("--encoder", "convlstm", "--hidden", "10")),
    "faconvlstm-both-ways": Method("FAConvLSTM, not causal", faconv("--no-causal")),
}
