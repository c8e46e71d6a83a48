"""A plain ConvLSTM autoencoder: gives the field now back from d numbers, and is asked for nothing else.

ConvLSTM (Shi et al. 2015, Adv. Neural Inf. Process. Syst. 28) on the full grid, two convolutions of stride 2,
a linear map to d numbers; a linear map, two bilinear enlargements with convolutions back. The recurrent layer
has as many parameters as FAConvLSTM's (6.6 k). It sees the windows that FAConvLSTM is trained on, as often.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from faconv_cli.cube.cube import Cube
from faconv_cli.fit.loop import CHECKS, LARGEST_GRADIENT_NORM
from faconv_cli.fit.optimizer import learning_rate_share
from faconv_cli.fit.prepare import Prepared
from faconv_cli.windows.plan import Window, plan_windows
from tests.benchmarks.plain_convlstm import PlainConvLSTM
from tests.benchmarks.regimes.records import window_reader

HIDDEN, SQUEEZED = 13, 8
RATE = 3e-3  # errs 0.075 in the validation part of the pressure record (seed 0), 1e-3 errs 0.101


class ConvLSTMAutoencoder(nn.Module):
    """Fields of a window (b, t, c, h, w) to numbers (b, t, d) and back."""

    def __init__(self, channels: int, shape: tuple[int, int], embedding: int) -> None:
        super().__init__()
        self.shape = shape
        self.small = SQUEEZED, *(math.ceil(math.ceil(side / 2) / 2) for side in shape)
        numbers = math.prod(self.small)
        self.recurrent = PlainConvLSTM(channels, HIDDEN)
        self.squeeze = nn.Sequential(
            nn.Conv2d(HIDDEN, SQUEEZED, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(SQUEEZED, SQUEEZED, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(numbers, embedding),
        )
        self.spread = nn.Linear(embedding, numbers)
        self.middle = nn.Conv2d(SQUEEZED, SQUEEZED, 3, padding=1)
        self.last = nn.Conv2d(SQUEEZED, channels, 3, padding=1)

    def encode(self, x: Tensor) -> Tensor:
        """Give the numbers (b, t, d); each step sees itself and those before it."""
        h, _ = self.recurrent(x)
        return self.squeeze(h.flatten(0, 1)).unflatten(0, x.shape[:2])

    def decode(self, z: Tensor) -> Tensor:
        """Give the fields (b, t, c, h, w) of numbers."""
        y = F.relu(self.spread(z.flatten(0, 1))).unflatten(1, self.small)
        half = [math.ceil(side / 2) for side in self.shape]
        y = F.relu(self.middle(F.interpolate(y, half, mode="bilinear")))
        return self.last(F.interpolate(y, self.shape, mode="bilinear")).unflatten(0, z.shape[:2])


def train_autoencoder(
    prepared: Prepared, embedding: int, seed: int, rate: float = RATE
) -> tuple[ConvLSTMAutoencoder, float]:
    """Train on the training years; the weights that are best in their validation part are kept.

    Returns:
        The network, and its lowest validation error in variances of the field.
    """
    torch.manual_seed(seed)
    network = ConvLSTMAutoencoder(prepared.cube.shape[1], prepared.cube.grid.shape, embedding)
    reader, updates = window_reader(prepared, prepared.cube), prepared.config.fit.updates or 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    schedule = LambdaLR(optimizer, lambda step: learning_rate_share(step, updates))
    area = torch.from_numpy(prepared.cube.grid.area).float()
    batch, rng = prepared.config.fit.batch or 1, np.random.default_rng(seed)
    windows: list[Window] = []
    while len(windows) < updates * batch:
        windows += prepared.training_windows(rng, updates * batch - len(windows))
    best, kept = math.inf, copy.deepcopy(network.state_dict())
    for update, seen in enumerate(reader.batches(windows[: updates * batch]), 1):
        optimizer.zero_grad()
        _error(network, seen, area).backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        if update % math.ceil(updates / CHECKS) == 0 or update == updates:
            with torch.no_grad():
                held_out = list(reader.batches(prepared.whole_validation_windows()))
                error = float(np.mean([_error(network, one, area).item() for one in held_out]))
            if error < best:
                best, kept = error, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network.eval(), best


def _error(network: ConvLSTMAutoencoder, seen, area: Tensor) -> Tensor:
    """Mean square error over valid points, by area, of the windows of a batch."""
    real = len(seen.windows)
    weight = seen.valid[:real] * area
    squares = (network.decode(network.encode(seen.x[:real])) - seen.x[:real]) ** 2
    return (squares * weight).sum() / weight.sum()


@torch.inference_mode()
def embed(network: ConvLSTMAutoencoder, prepared: Prepared, cube: Cube) -> np.ndarray:
    """Embed a record like that of the training (t, d), in windows as ``faconv embed`` has them."""
    tiling = prepared.config.tiling
    windows = plan_windows(
        cube.time.segments, window=tiling.window, stride=tiling.stride or 1, burn_in=tiling.burn_in
    )
    parts = []
    for seen in window_reader(prepared, cube).batches(windows):
        z = network.encode(seen.x).numpy()
        parts += [
            z[row, window.first_row - window.start : window.stop - window.start]
            for row, window in enumerate(seen.windows)
        ]
    return np.concatenate(parts).astype(float)
