"""Two-dimensional incompressible flow on the unit torus, solved by a pseudo-spectral method on torch.

With velocity (u, v), vorticity ω = ∂v/∂x - ∂u/∂y and stream function ψ, -Δψ = ω, u = ∂ψ/∂y, v = -∂ψ/∂x,

    ∂ω/∂t = (∂²/∂y² - ∂²/∂x²)(uv) - ∂²/∂x∂y (v² - u²) + νΔω + f,

in which advection takes four Fourier transforms (Basdevant 1983, J. Comput. Phys. 50). Products are freed of
aliasing by the two-thirds rule. Time is stepped by the classical Runge-Kutta method of fourth order with the
exact diffusion as integrating factor.

Initial fields and forcing are those of Li et al. 2021 (Fourier neural operator, arXiv 2010.08895; α = 2.5),
as Horuz et al. 2025 (arXiv 2508.03614; α = 2) use them. Their covariance is that of both groups' generators,
2 τ^(2α-2) (-Δ + τ²)^(-α) with τ = 7; the formula that Li et al. print, 7^(3/2) (-Δ + 49)^(-5/2), gives a
field 6.1 times weaker.

All is in float64: an error of rounding grows, in float32 to 1e-3 of the vorticity within 50 units of time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from faconv_cli.errors import UsageError
from faconv_cli.sample.config import NavierStokesConfig
from faconv_cli.sample.noise import Float32

STABLE = 2 * math.sqrt(2)  # of the Runge-Kutta method, on the imaginary axis
CPU_BATCH, CUDA_BATCH = 8, 1024  # flows on 64 × 64 points at once: what a cache holds, what fills a GPU


class Flow:
    """Flows on one grid; a state is the spectrum of the vorticity, (b, n, n // 2 + 1) complex128.

    Args:
        resolution: n, points along a side; fields are (b, n, n) with y first, at multiples of 1 / n.
        viscosity: ν.
        dt: time step.
        forcing: (n, n) f, constant in time; none by default.
        device: where to compute.
    """

    def __init__(
        self,
        resolution: int,
        viscosity: float,
        dt: float,
        forcing: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        waves = torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64, device=device)
        y, x = waves[:, None], waves[None, : resolution // 2 + 1].abs()
        self.resolved = (y.abs() < resolution / 3) & (x < resolution / 3)
        ky, kx = 2 * math.pi * y * self.resolved, 2 * math.pi * x * self.resolved
        square = kx**2 + ky**2
        inverse = torch.where(square > 0, 1 / square, 0)
        self.resolution, self.dt = resolution, dt
        self._velocity = torch.stack([1j * ky * inverse, -1j * kx * inverse])
        self._products = torch.stack([kx**2 - ky**2, kx * ky])
        self._half_decay = torch.exp(-viscosity * square * dt / 2)
        self._decay = self._half_decay**2
        self._forcing = 0.0 if forcing is None else self.spectrum(forcing.to(square))
        self._highest = 2 * math.pi * ((resolution - 1) // 3)

    def spectrum(self, vorticity: Tensor) -> Tensor:
        """Transform vorticity (..., n, n), and leave out what products would alias into."""
        state: Tensor = torch.fft.rfft2(vorticity) * self.resolved
        return state

    def vorticity(self, state: Tensor) -> Tensor:
        """Return the vorticity (b, n, n) of a state."""
        return self._field(state)

    def _field(self, spectrum: Tensor) -> Tensor:
        field: Tensor = torch.fft.irfft2(spectrum, s=(self.resolution, self.resolution))
        return field

    def velocity(self, state: Tensor) -> Tensor:
        """Return the velocity (b, 2, n, n) of a state: u along x, v along y."""
        return self._field(self._velocity * state[:, None])

    def tendency(self, state: Tensor) -> Tensor:
        """Return the change of a state in time by advection and forcing."""
        u, v = self.velocity(state).unbind(1)
        products: Tensor = torch.fft.rfft2(torch.stack([u * v, v**2 - u**2], dim=1))
        return (products * self._products).sum(1) + self._forcing

    def step(self, state: Tensor) -> Tensor:
        """Advance a state by ``dt``."""
        half, full, dt = self._half_decay, self._decay, self.dt
        k1 = self.tendency(state)
        k2 = self.tendency(half * (state + dt / 2 * k1))
        k3 = self.tendency(half * state + dt / 2 * k2)
        k4 = self.tendency(full * state + dt * half * k3)
        return full * state + dt / 6 * (full * k1 + 2 * half * (k2 + k3) + k4)

    def courant(self, state: Tensor) -> Tensor:
        """Return (b,) dt times the fastest rate of advection of a resolved wave; up to `STABLE` is stable."""
        return self.velocity(state).abs().sum(1).amax((1, 2)) * self._highest * self.dt


def forcing_field(config: NavierStokesConfig) -> Tensor:
    """Return A (sin 2πm(x + y) + cos 2πm(x + y)), (n, n) float64."""
    x = torch.arange(config.resolution, dtype=torch.float64) / config.resolution
    phase = 2 * math.pi * config.wavenumber * (x[:, None] + x)
    return config.forcing * (torch.sin(phase) + torch.cos(phase))


def initial_state(config: NavierStokesConfig, sample: int) -> Tensor:
    """Draw the initial vorticity of a sample, (n, n // 2 + 1) complex128, the same at every resolution.

    Each sample has a random stream of its own, and waves are drawn from the longest to the shortest.
    """
    n, highest = config.resolution, config.highest_wavenumber
    y, x = np.meshgrid(np.arange(-highest, highest + 1), np.arange(highest + 1), indexing="ij")
    half = (x > 0) | (y > 0)  # the other half are the conjugates
    y, x = y[half], x[half]
    order = np.lexsort((x, y, np.maximum(abs(y), x)))
    y, x = y[order], x[order]
    variance = 2 * config.tau ** (2 * config.alpha - 2)
    variance = variance * (4 * np.pi**2 * (x**2 + y**2) + config.tau**2) ** -config.alpha
    drawn = np.random.default_rng([config.seed, sample]).standard_normal((y.size, 2)) @ [1, 1j]
    waves = n**2 * config.amplitude * np.sqrt(variance / 2) * drawn
    state = np.zeros((n, n // 2 + 1), np.complex128)
    state[y, x] = waves
    state[-y[x == 0], 0] = waves[x == 0].conj()
    return torch.from_numpy(state)


def blocks(config: NavierStokesConfig, device: torch.device, batch: int) -> Iterator[Float32]:
    """Yield the frames (t, 1, grid, grid) of ``batch`` samples at a time, one sample after the other.

    Raises:
        UsageError: a flow too fast for the time step.
    """
    substeps = math.ceil(config.interval / config.time_step - 1e-9)
    dt = config.interval / substeps
    flow = Flow(config.resolution, config.viscosity, dt, forcing_field(config), device)
    for first in range(0, config.samples, batch):
        samples = range(first, min(first + batch, config.samples))
        yield _solve(flow, config, samples, substeps, device)


@torch.inference_mode()
def _solve(
    flow: Flow, config: NavierStokesConfig, samples: range, substeps: int, device: torch.device
) -> Float32:
    """Return the frames (t, 1, grid, grid) of some samples."""
    state = torch.stack([initial_state(config, sample) for sample in samples]).to(device)
    frames = []
    for number in range(config.steps):
        for _ in range(substeps):
            state = flow.step(state)
        _check_stable(flow.courant(state), samples, config, (number + 1) * config.interval)
        vorticity = flow.vorticity(state)
        frames.append(torch.nn.functional.avg_pool2d(vorticity, config.resolution // config.grid))
    kept: Float32 = torch.stack(frames, 1).flatten(0, 1)[:, None].float().cpu().numpy()
    return kept


def _check_stable(courant: Tensor, samples: range, config: NavierStokesConfig, time: float) -> None:
    worst = int(courant.nan_to_num(math.inf).argmax())
    if not (fastest := float(courant[worst])) <= STABLE:
        found = f"with --dt {config.time_step:g}" if config.dt is not None else "with the default time step"
        raise UsageError(
            f"sample {samples[worst] + 1} is too fast at time {time:g} {found}: Courant number {fastest:.3g}",
            wanted=f"advection is stable up to {STABLE:.2f}",
            do="pass a shorter --dt",
        )


def default_batch(config: NavierStokesConfig, device: torch.device) -> int:
    """Return how many samples to solve at once on a device."""
    on_64 = CUDA_BATCH if device.type == "cuda" else CPU_BATCH
    return max(1, on_64 * 64**2 // config.resolution**2)
