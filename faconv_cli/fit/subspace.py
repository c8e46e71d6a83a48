"""Canonical coordinates: the principal subspace of what z should predict, over the training period."""

from __future__ import annotations

import numpy as np
import torch

from faconv_cli.nn.encoder import SubspaceEncoder


class PartMoments:
    """Running moments of F (n, parts, k), in float64."""

    def __init__(self, parts: int, count: int) -> None:
        self._shape = parts, count
        self.rows, self.sum = 0, np.zeros(parts * count)
        self.products = np.zeros((parts * count, parts * count))

    def add(self, f: np.ndarray) -> None:
        """Add rows (n, parts, k)."""
        flat = f.reshape(len(f), -1).astype(np.float64)
        self.rows += len(flat)
        self.sum += flat.sum(axis=0)
        self.products += flat.T @ flat

    def mean(self) -> np.ndarray:
        """(parts, k)."""
        return self.sum.reshape(self._shape) / self.rows

    def covariance(self) -> np.ndarray:
        """(parts k, parts k)."""
        mean = self.sum / self.rows
        return self.products / self.rows - np.outer(mean, mean)

    def covariance_of_parts(self) -> np.ndarray:
        """(parts, k, k), of each part alone."""
        parts, count = self._shape
        blocks = self.covariance().reshape(parts, count, parts, count)
        return np.stack([blocks[part, :, part] for part in range(parts)])


def fit_subspace(encoder: SubspaceEncoder, moments: PartMoments, weights: np.ndarray) -> None:
    """Set an encoder's canonical coordinates: the leading axes of F, each part times the root of its weight.

    The sign of an axis is such that its largest number is positive.

    Args:
        encoder: with d modes.
        moments: of its F over the training period.
        weights: (parts,) above 0.
    """
    subspace = encoder.subspace
    embedding, parts, count = subspace.axes.shape
    root = np.repeat(np.sqrt(weights), count)
    covariance = moments.covariance() * root * root[:, None]
    variances, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    leading = axes[:, ::-1][:, :embedding].T
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=1)[:, None], axis=1)
    leading = leading * np.where(largest < 0, -1, 1)
    subspace.start_from(
        torch.from_numpy(leading.reshape(embedding, parts, count).copy()),
        torch.from_numpy(moments.mean()),
        torch.from_numpy(np.asarray(weights, float)),
    )
    variances = np.maximum(variances[::-1][:embedding], 0)  # which rounding may put below
    subspace.keep_moments(torch.from_numpy(variances.copy()), torch.from_numpy(moments.covariance_of_parts()))
