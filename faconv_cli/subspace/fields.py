"""From canonical coordinates back to fields on the grid, and how much of them each mode explains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faconv_cli.checkpoint import Checkpoint
from faconv_cli.errors import UsageError
from faconv_cli.network import build_domain, build_target_domain, load_encoder, load_target

BLOCK_NUMBERS = 2**22  # of a field or a mode, made at once


@dataclass(frozen=True, eq=False)
class Explained:
    """What modes explain in the training period.

    Attributes:
        standard_deviation: (d,) of the modes.
        share: (d,) of the variance of all that the embedding tells: the parts, weighted as in training.
        by_part: (d, part, c) share of the variance of each channel: of the field now, of each forecast.
        spread: (part, c) the root of that variance, in units of the channel.
        of_targets: (d, n) share of what is told of each target.
        told: (n,) share of the variance of each target that is told, out of which modes take theirs.
    """

    standard_deviation: np.ndarray
    share: np.ndarray
    by_part: np.ndarray
    spread: np.ndarray
    of_targets: np.ndarray
    told: np.ndarray


class SubspaceFields:
    """Turns canonical coordinates of a checkpoint into fields on its grid.

    Raises:
        CheckpointError: it was trained to forecast; the weights are not those of the settings.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._encoder = load_encoder(checkpoint)
        valid = checkpoint.normalizer.valid
        self._domain = build_domain(checkpoint.config, checkpoint.grid, valid, checkpoint.constants.statics)
        self.leads = (*((0,) if self._encoder.now else ()), *checkpoint.config.leads)
        self._targets = [TargetMaps(checkpoint, number) for number in range(len(checkpoint.targets))]

    def part(self, lead: int) -> int:
        """Return the index of the part of F for ``lead``; 0 is the field now.

        Raises:
            UsageError: the embedding does not tell of it.
        """
        if lead in self.leads:
            return self.leads.index(lead)
        raise UsageError(
            f"--lead {lead} is not in the checkpoint"
            if lead
            else "the checkpoint does not hold the field now",
            wanted=f"its lead times are {', '.join(map(str, self.leads))}",
            do="choose one of them with --lead",
        )

    def anomalies(self, z: np.ndarray, part: int) -> np.ndarray:
        """Return the anomalies (n, c, h, w) of rows of the first modes z (n, k).

        They are in the channels' units, and NaN where the grid is never valid.
        """
        return np.asarray(self.checkpoint.normalizer.invert(self._scaled(self._of_part(z, part))))

    def mean(self, part: int) -> np.ndarray:
        """Return the anomalies (c, h, w) where all coordinates are 0, the mean of the training period."""
        return np.asarray(self.anomalies(np.zeros((1, 1)), part)[0])

    def maps(self, mode: int, part: int) -> np.ndarray:
        """Return what one standard deviation of a mode (from 0) changes (c, h, w), in the channels' units."""
        z = np.zeros((2, mode + 1))
        z[1, mode] = self._encoder.subspace.variance[mode].sqrt().item()
        nothing, one = self._scaled(self._of_part(z, part))
        return np.asarray((one - nothing) * self.checkpoint.normalizer.std[:, None, None])

    def target_maps(self, mode: int, target: int) -> np.ndarray:
        """Return what one standard deviation of a mode (from 0) changes in a target (h, w), in its units."""
        z = np.zeros((2, mode + 1))
        z[1, mode] = self._encoder.subspace.variance[mode].sqrt().item()
        nothing, one = self._targets[target].fields(self._of_part(z, len(self.leads) + target))
        return np.asarray(one - nothing)

    def target_mean(self, target: int) -> np.ndarray:
        """Return the anomaly of a target (h, w) where all coordinates are 0."""
        mean = self._of_part(np.zeros((1, 1)), len(self.leads) + target)
        return np.asarray(self._targets[target].fields(mean)[0])

    def explained(self) -> Explained:
        """Return what each mode explains of the training variance of the fields, now and forecast.

        Modes are uncorrelated there, so what they explain adds up.
        """
        subspace, std = self._encoder.subspace, self.checkpoint.normalizer.std
        deviation = subspace.variance.double().sqrt()
        axes = subspace.inverse(torch.diag(deviation.float())) - subspace.mean
        by_mode = np.stack([self._power(axes[:, part]) for part in range(len(self.leads))], axis=1)
        total = np.stack([self._variance(part) for part in range(len(self.leads))])
        told = torch.einsum("pkk->p", subspace.covariance.double())[len(self.leads) :].numpy()
        of_targets = (axes[:, len(self.leads) :].double() ** 2).sum(-1).numpy()
        return Explained(
            deviation.numpy(),
            subspace.variance.double().numpy() / self._variance_of_all(),
            by_mode / total,
            np.sqrt(total) * std,
            of_targets / np.maximum(told, 1e-30),
            told / np.array([target.unit**2 for target in self._targets]),
        )

    def _of_part(self, z: np.ndarray, part: int) -> Tensor:
        """EOF coordinates (n, K) of one part of F."""
        coordinates: Tensor = self._encoder.subspace.inverse(torch.from_numpy(z).float())[:, part]
        return coordinates

    @torch.inference_mode()
    def _scaled(self, p: Tensor) -> np.ndarray:
        """Normalised anomalies (n, c, h, w) of EOF coordinates (n, K)."""
        h, w = self.checkpoint.grid_shape
        fields = self._encoder.eofs.fields(p, self._domain)[..., :h, :w].double().numpy()
        return np.where(self.checkpoint.normalizer.valid > 0, fields, np.nan)

    def _variance(self, part: int) -> np.ndarray:
        """(c,) variance of a channel in a part: 1 of the normalised field now, and that of its forecasts."""
        if self.leads[part] == 0:
            return np.ones(len(self.checkpoint.channels))
        values, axes = torch.linalg.eigh(self._encoder.subspace.covariance[part].double())
        return np.asarray(self._power((axes * values.clamp_min(0).sqrt()).T.float()).sum(axis=0))

    def _variance_of_all(self) -> float:
        """Variance of all that the embedding is to tell, where that of the field is 1."""
        subspace = self._encoder.subspace
        parts = torch.einsum("pkk->p", subspace.covariance)
        if self._encoder.now:  # EOF coordinates leave some of it out
            parts = torch.cat([torch.ones(1), parts[1:]])
        return float(subspace.weight @ parts)

    def _power(self, p: Tensor) -> np.ndarray:
        """(n, c) mean square over the valid area of the fields of EOF coordinates (n, K), less the mean."""
        valid = self.checkpoint.normalizer.valid
        area = valid * self.checkpoint.grid.area
        nothing = np.nan_to_num(self._scaled(torch.zeros_like(p[:1])))
        parts = []
        for start, stop in blocks(len(p), valid.size):
            fields = np.nan_to_num(self._scaled(p[start:stop])) - nothing
            parts.append((fields**2 * area).sum((-2, -1)) / area.sum((-2, -1)))
        return np.concatenate(parts)


class TargetMaps:
    """Turns the coordinates of a target of a checkpoint into its fields."""

    def __init__(self, checkpoint: Checkpoint, number: int) -> None:
        self._about, self._eofs = checkpoint.targets[number], load_target(checkpoint, number)
        valid = self._about.normalizer.valid
        self._domain = build_target_domain(checkpoint.config, self._about.grid, valid)

    @property
    def unit(self) -> float:
        """What a field with a variance of 1 measures in coordinates, of which nodes leave some out."""
        return float(self._eofs.scale)

    @torch.inference_mode()
    def fields(self, p: Tensor) -> np.ndarray:
        """The anomalies (n, h, w) in its units of coordinates (n, K), of which the first are its own."""
        h, w = self._about.grid.shape
        own = p[:, : self._eofs.mean.shape[-1]]
        scaled = self._eofs.fields(own, self._domain)[..., :h, :w].double().numpy()
        anomalies = self._about.normalizer.invert(scaled)
        return np.where(self._about.normalizer.valid > 0, anomalies, np.nan)[:, 0]


def blocks(rows: int, numbers: int) -> Iterator[tuple[int, int]]:
    """Cut ``rows`` fields of so many ``numbers`` into [start, stop) that are made at once."""
    at_once = max(1, BLOCK_NUMBERS // numbers)
    for start in range(0, rows, at_once):
        yield start, min(start + at_once, rows)
