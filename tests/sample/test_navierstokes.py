"""Flows obey the equations, and their file is a cube as the rest of faconv reads it."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import xarray as xr

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import OutputError, UsageError
from faconv_cli.sample.config import NavierStokesConfig
from faconv_cli.sample.navierstokes import (
    Flow,
    blocks,
    default_batch,
    forcing_field,
    initial_state,
)
from faconv_cli.sample.netcdf import write_navier_stokes

SMALL = NavierStokesConfig(samples=3, steps=4, interval=0.5, resolution=16, grid=8)
CPU = torch.device("cpu")
PI = math.pi


def frames(config, batch=8):
    """(samples, steps, grid, grid)"""
    made = np.concatenate(list(blocks(config, CPU, batch)))
    return made.reshape(config.samples, config.steps, config.grid, config.grid)


def write(path, config=SMALL, batch=8, **options):
    for _ in write_navier_stokes(config, path, blocks(config, CPU, batch), **options):
        pass
    return path


def positions(n):
    x = torch.arange(n, dtype=torch.float64) / n
    return torch.meshgrid(x, x, indexing="ij")  # y, x


def advance(flow, state, steps):
    for _ in range(steps):
        state = flow.step(state)
    return state


def turbulence(resolution, samples=2, **options):
    """States of a grid, alike at every resolution."""
    config = NavierStokesConfig(resolution=resolution, amplitude=10.0, **options)
    return torch.stack([initial_state(config, sample) for sample in range(samples)])


# --- the equations ------------------------------------------------------------------------------------------


def test_taylor_green_vortex_decays_at_the_exact_rate():
    viscosity, dt, steps = 1e-2, 0.02, 100
    y, x = positions(16)
    vortex = (torch.cos(2 * PI * x) * torch.cos(2 * PI * y))[None]
    flow = Flow(16, viscosity, dt)
    found = flow.vorticity(advance(flow, flow.spectrum(vortex), steps))
    # two waves of wavenumber 2π: Δω = -8π² ω, and advection of ω along its own streamlines is nothing
    exact = math.exp(-8 * PI**2 * viscosity * steps * dt) * vortex
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-14)


def test_forcing_from_rest_builds_the_exact_laminar_flow():
    config = replace(SMALL, forcing=0.2, wavenumber=2, viscosity=1e-2)
    dt, steps = 0.01, 200
    flow = Flow(16, config.viscosity, dt, forcing_field(config))
    found = flow.vorticity(advance(flow, torch.zeros(1, 16, 9, dtype=torch.complex128), steps))
    y, x = positions(16)
    rate = config.viscosity * 2 * (2 * PI * 2) ** 2
    force = 0.2 * (torch.sin(4 * PI * (x + y)) + torch.cos(4 * PI * (x + y)))
    torch.testing.assert_close(
        found[0], force / rate * (1 - math.exp(-rate * dt * steps)), rtol=1e-8, atol=1e-14
    )


def test_tendency_is_advection_by_the_velocity():
    flow, n = Flow(32, 1e-3, 0.01), 32
    state = turbulence(32) * (torch.arange(17) < 5) * (torch.fft.fftfreq(n, 1 / n).abs() < 5)[:, None]
    waves = 2 * PI * torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    along_x, along_y = (
        torch.fft.irfft2(1j * k * state, s=(n, n)) for k in (waves[:17].abs(), waves[:, None])
    )
    u, v = flow.velocity(state).unbind(1)
    torch.testing.assert_close(
        flow.vorticity(flow.tendency(state)), -(u * along_x + v * along_y), rtol=0, atol=1e-12
    )


def test_velocity_has_no_divergence_and_the_vorticity_as_its_curl():
    n = 16
    flow, state = Flow(n, 1e-3, 0.01), turbulence(n)
    u, v = torch.fft.rfft2(flow.velocity(state)).unbind(1)
    ky = 2 * PI * torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)[:, None]
    kx = 2 * PI * torch.fft.rfftfreq(n, 1 / n, dtype=torch.float64)
    assert (kx * u + ky * v).abs().max() < 1e-10
    torch.testing.assert_close(1j * (kx * v - ky * u), state, rtol=0, atol=1e-10)


def test_time_steps_converge_with_the_fourth_order():
    n, time = 16, 1.0
    forcing = forcing_field(replace(SMALL, forcing=0.5))

    def solve(steps):
        flow = Flow(n, 1e-3, time / steps, forcing)
        return flow.vorticity(advance(flow, turbulence(n), steps))

    reference = solve(320)
    errors = [float((solve(steps) - reference).abs().max()) for steps in (20, 40, 80)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < 1e-4 * float(reference.abs().max())
    np.testing.assert_allclose(orders, 4, atol=0.5)


def test_finer_grids_converge_to_one_flow():
    def solve(n):
        flow = Flow(n, 5e-3, 0.01)
        return flow.vorticity(advance(flow, turbulence(n, alpha=4.0), 100))[:, :: n // 16, :: n // 16]

    finest = solve(64)
    coarse, fine = (float((solve(n) - finest).abs().max()) for n in (16, 32))
    assert fine < 1e-4 * float(finest.abs().max())
    assert fine < coarse / 30


def test_energy_and_enstrophy_decay_without_forcing_and_the_mean_stays():
    flow, state = Flow(16, 1e-3, 0.01), turbulence(16)
    state[:, 0, 0] = 0.3 * 16**2
    energy, enstrophy = [], []
    for _ in range(20):
        energy.append(flow.velocity(state).square().sum((1, 2, 3)))
        enstrophy.append((flow.vorticity(state) - 0.3).square().sum((1, 2)))
        state = advance(flow, state, 5)
    assert (torch.stack(energy).diff(dim=0) < 0).all()
    assert (torch.stack(enstrophy).diff(dim=0) < 0).all()
    torch.testing.assert_close(flow.vorticity(state).mean((1, 2)), torch.full((2,), 0.3).double())


def test_energy_is_lost_to_viscosity_alone():
    def energy(viscosity):
        flow = Flow(32, viscosity, 0.005)
        return flow.velocity(advance(flow, turbulence(32), 100)).square().sum()

    start = Flow(32, 0.0, 0.005).velocity(turbulence(32)).square().sum()
    assert abs(energy(0.0) / start - 1) < 1e-6
    assert energy(1e-3) < 0.99 * start


# --- the initial fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "tau", "amplitude"), [(2.0, 7.0, 1.0), (2.5, 7.0, 1.0), (2.0, 20.0, 3.0)])
def test_initial_vorticity_has_the_spectrum_of_the_formula(alpha, tau, amplitude):
    config = replace(SMALL, alpha=alpha, tau=tau, amplitude=amplitude)
    flow = Flow(16, 1e-3, 0.1)
    states = torch.stack([initial_state(config, sample) for sample in range(2000)])
    k = torch.fft.fftfreq(16, 1 / 16, dtype=torch.float64)
    square = 4 * PI**2 * (k[:, None] ** 2 + k[:9] ** 2)
    expected = 2 * tau ** (2 * alpha - 2) * (square + tau**2) ** -alpha * amplitude**2
    expected[~flow.resolved], expected[0, 0] = 0, 0
    power = (states.abs() / 16**2).square().mean(0)
    torch.testing.assert_close(power, expected, rtol=0.2, atol=0)
    torch.testing.assert_close(torch.fft.rfft2(flow.vorticity(states)), states)  # of a real field


def test_the_same_sample_starts_alike_at_every_resolution():
    coarse, fine = (initial_state(replace(SMALL, resolution=n), 1) / n**2 for n in (16, 32))
    torch.testing.assert_close(fine[:6, :6], coarse[:6, :6], rtol=1e-14, atol=0)
    torch.testing.assert_close(fine[-5:, :6], coarse[-5:, :6], rtol=1e-14, atol=0)


# --- the options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"interval": 0.4},
        {"resolution": 24},
        {"viscosity": 2e-3},
        {"forcing": 0.0},
        {"wavenumber": 2},
        {"alpha": 2.5},
        {"tau": 5.0},
        {"amplitude": 2.0},
        {"dt": 0.25},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_option_moves_the_flow(change):
    assert np.abs(frames(replace(SMALL, **change)) - frames(SMALL)).max() > 1e-7


def test_more_samples_and_steps_begin_with_the_fewer():
    more = frames(replace(SMALL, samples=4, steps=6))
    np.testing.assert_allclose(more[:3, :4], frames(SMALL), rtol=0, atol=1e-7)


def test_samples_do_not_depend_on_how_many_are_solved_at_once():
    np.testing.assert_allclose(frames(SMALL, 1), frames(SMALL, 2), rtol=0, atol=1e-7)
    assert [len(block) for block in blocks(SMALL, CPU, 2)] == [8, 4]


def test_samples_differ():
    first, second, third = frames(SMALL)
    assert min(np.abs(first - second).max(), np.abs(second - third).max()) > 0.05


def test_a_coarse_grid_holds_block_means_of_the_fine_one():
    fine = frames(replace(SMALL, grid=16))
    means = fine.reshape(3, 4, 8, 2, 8, 2).mean((3, 5))
    np.testing.assert_allclose(frames(SMALL), means, rtol=0, atol=1e-6)


def test_frames_are_an_interval_apart_however_it_is_divided():
    halves = frames(replace(SMALL, interval=0.25, steps=8))
    np.testing.assert_allclose(frames(SMALL), halves[:, 1::2], rtol=0, atol=1e-5)


def test_a_step_too_long_for_the_flow_is_refused():
    with pytest.raises(
        UsageError, match=r"sample \d is too fast at time .* with --dt 0.5.*Pass a shorter --dt"
    ):
        frames(replace(SMALL, amplitude=100.0, dt=0.5, steps=20))
    with pytest.raises(UsageError, match="the default time step"):
        frames(replace(SMALL, amplitude=1000.0))


def test_fewer_flows_are_solved_at_once_on_finer_grids():
    assert default_batch(NavierStokesConfig(), CPU) == 8
    assert default_batch(NavierStokesConfig(resolution=128), CPU) == 2
    assert default_batch(NavierStokesConfig(resolution=1024), CPU) == 1
    assert default_batch(NavierStokesConfig(), torch.device("cuda")) > 100


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("samples", 0),
        ("samples", 10_000),
        ("steps", 1),
        ("interval", 0.0),
        ("interval", math.inf),
        ("resolution", 6),
        ("resolution", 17),
        ("grid", 5),
        ("grid", 2),
        ("grid", 32),
        ("viscosity", 0.0),
        ("forcing", -0.1),
        ("wavenumber", 0),
        ("wavenumber", 6),
        ("alpha", 1.0),
        ("tau", 0.0),
        ("amplitude", -1.0),
        ("dt", 0.0),
        ("dt", math.nan),
        ("seed", -1),
    ],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(UsageError, match=f"--{option} is"):
        replace(SMALL, **{option: value})


# --- the file -----------------------------------------------------------------------------------------------


def test_the_file_is_a_periodic_cube_of_equal_weights_whose_segments_are_the_samples(tmp_path):
    cube = open_cube([write(tmp_path / "a.nc")])
    assert [channel.name for channel in cube.channels] == ["vorticity"]
    assert cube.grid.periodic
    np.testing.assert_allclose(cube.grid.area * 64, 1, rtol=0, atol=1e-4)
    assert cube.time.segments == ((0, 4), (4, 8), (8, 12))
    assert cube.time.step == "12 hours"
    found = cube.fields.to_numpy()[:, 0].reshape(3, 4, 8, 8)
    np.testing.assert_array_equal(found, frames(SMALL))


def test_the_file_says_which_frame_is_of_which_sample(tmp_path):
    with xr.open_dataset(write(tmp_path / "a.nc", replace(SMALL, grid=16))) as data:
        np.testing.assert_array_equal(data["sample"], np.repeat([1, 2, 3], 4))
        np.testing.assert_array_equal(data["time"].dt.year, data["sample"])
        np.testing.assert_allclose(data["lon"], np.arange(16) * 22.5)
        np.testing.assert_allclose(data["lat"], np.arange(16) / 16 - 0.5)


def test_points_of_a_coarse_grid_are_the_centres_of_their_cells(tmp_path):
    with xr.open_dataset(write(tmp_path / "a.nc")) as data:
        np.testing.assert_allclose(data["lon"], (np.arange(8) + 0.25) * 45)
        np.testing.assert_allclose(data["lat"], (np.arange(8) + 0.25) / 8 - 0.5)


@pytest.mark.parametrize("interval", [0.1, 30.0, 45.0, 90.0, 359.0, 400.0])
def test_samples_are_apart_for_any_interval(tmp_path, interval):
    config = replace(SMALL, interval=interval, forcing=0.0, viscosity=0.1, dt=10.0)
    cube = open_cube([write(tmp_path / "a.nc", config)])
    assert cube.time.segments == ((0, 4), (4, 8), (8, 12))


def test_file_complies_with_cf(tmp_path, assert_cf):
    assert_cf(write(tmp_path / "a.nc"))


def test_settings_are_in_the_file(tmp_path):
    config = replace(SMALL, viscosity=2e-3)
    with xr.open_dataset(write(tmp_path / "a.nc", config)) as data:
        for field in fields(config):
            expected = getattr(config, field.name)
            assert data.attrs[f"navier_stokes_{field.name}"] == (0.08 if expected is None else expected)
        assert "--viscosity 0.002" in data.attrs["history"]


def test_the_same_settings_give_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.nc"), write(tmp_path / "b.nc")
    assert first.read_bytes() == second.read_bytes()


def test_a_flow_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="too fast"):
        write(tmp_path / "a.nc", replace(SMALL, amplitude=1000.0))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_replaced_only_when_asked(tmp_path):
    path = write(tmp_path / "a.nc")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write(path, replace(SMALL, seed=1))
    write(path, replace(SMALL, seed=1), overwrite=True)
    assert path.read_bytes() != before
