"""What generated cubes are made of; light to import."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from faconv_cli.errors import UsageError

Kind = Literal["snapshot", "motion", "teleconnection"]
Calendar = Literal["standard", "noleap", "360_day"]
Step = Literal["6-hourly", "daily", "monthly"]

SNAPSHOT_REGIMES, MAX_REGIMES = 4, 12


class Variable(NamedTuple):
    """A variable of the cube: its names and units, its mean and the size of its anomalies."""

    name: str
    standard_name: str
    units: str
    mean: float
    scale: float


VARIABLES = (
    Variable("t2m", "air_temperature", "K", 288.0, 3.0),
    Variable("msl", "air_pressure_at_mean_sea_level", "Pa", 101_325.0, 700.0),
    Variable("q850", "specific_humidity", "kg kg-1", 0.012, 0.0005),
    Variable("u850", "eastward_wind", "m s-1", 5.0, 4.0),
    Variable("v850", "northward_wind", "m s-1", 0.0, 4.0),
    Variable("z500", "geopotential_height", "m", 5500.0, 80.0),
)


def _check(option: str, value: object, fits: bool, wanted: str) -> None:
    if not fits:
        raise UsageError(f"--{option} is {value}", wanted=f"it must be {wanted}", do="change it")


@dataclass(frozen=True)
class PlantedConfig:
    """Size, regimes and noise of a planted cube.

    Attributes:
        kind: what tells the regimes apart.
        steps: time steps.
        lat: points from pole to pole.
        lon: points around the circle.
        variables: how many of `VARIABLES`.
        regimes: number of regimes; 4 for snapshots where not given, always 2 for the other kinds.
        duration: mean duration of a spell, in steps.
        noise: standard deviation of the noise over the root mean square of the signal.
        seed: of everything random.
        calendar: CF calendar.
        step: time step.
        missing: share of points that are land: missing at all times.
        start: first date, YYYY-MM-DD.

    Raises:
        UsageError: a value out of its range, or values that contradict each other.
    """

    kind: Kind = "snapshot"
    steps: int = 1461
    lat: int = 24
    lon: int = 48
    variables: int = 2
    regimes: int | None = None
    duration: float = 10.0
    noise: float = 2.5
    seed: int = 0
    calendar: Calendar = "standard"
    step: Step = "daily"
    missing: float = 0.0
    start: str = "2000-01-01"

    def __post_init__(self) -> None:
        for option, choices in (
            ("kind", get_args(Kind)),
            ("calendar", get_args(Calendar)),
            ("step", get_args(Step)),
        ):
            self._check(option, getattr(self, option) in choices, " or ".join(choices))
        self._check("steps", self.steps >= 2, "at least 2")
        self._check("lat", self.lat >= 6, "at least 6")
        self._check("lon", self.lon >= 12, "at least 12")
        self._check("variables", 1 <= self.variables <= len(VARIABLES), f"from 1 to {len(VARIABLES)}")
        self._check("duration", self.duration >= 1 and math.isfinite(self.duration), "at least 1 step")
        self._check("noise", self.noise >= 0 and math.isfinite(self.noise), "a number that is not negative")
        self._check("seed", 0 <= self.seed < 2**63, "from 0 to 2**63 - 1")
        self._check("missing", 0 <= self.missing <= 0.9, "a share from 0 to 0.9")
        most = MAX_REGIMES if self.kind == "snapshot" else 2
        self._check("regimes", 2 <= self.regime_count <= most, f"from 2 to {most} for the kind {self.kind}")
        self._check_start()

    def _check(self, option: str, fits: bool, wanted: str) -> None:
        _check(option, getattr(self, option), fits, wanted)

    def _check_start(self) -> None:
        import cftime  # heavy, and the command line reads this module to know its options

        try:
            day = cftime.datetime.strptime(self.start, "%Y-%m-%d", calendar=self.calendar).day
        except ValueError:
            day = 0
        self._check("start", day > 0, f"a date YYYY-MM-DD of the calendar {self.calendar}")
        self._check("start", day == 1 or self.step != "monthly", "the first of a month for monthly steps")

    @property
    def regime_count(self) -> int:
        """Number of regimes K."""
        if self.regimes is not None:
            return self.regimes
        return SNAPSHOT_REGIMES if self.kind == "snapshot" else 2

    @property
    def chosen(self) -> tuple[Variable, ...]:
        """The variables of the cube."""
        return VARIABLES[: self.variables]

    @property
    def step_bytes(self) -> int:
        """Size of one step of all variables."""
        return 4 * self.variables * self.lat * self.lon


@dataclass(frozen=True)
class NavierStokesConfig:
    """Flow, grid and size of a set of two-dimensional flows on the unit torus.

    Lengths are in sides of the torus; times are in units of the model.

    Attributes:
        samples: number of flows, each from its own initial field.
        steps: frames kept of each flow; the first is one ``interval`` after the initial field.
        interval: time between frames.
        resolution: points along a side of the grid the flow is solved on.
        grid: points along a side of the grid that is written: means over blocks of the other.
        viscosity: kinematic viscosity ν.
        forcing: amplitude A of the forcing A (sin 2πm(x + y) + cos 2πm(x + y)).
        wavenumber: its m.
        alpha, tau: of the initial vorticity, Gaussian with the covariance 2 τ^(2α-2) (-Δ + τ²)^(-α), mean 0.
        amplitude: factor on the initial vorticity.
        dt: longest time step; 1.28 / resolution where not given.
        seed: of the initial fields.

    Raises:
        UsageError: a value out of its range, or values that contradict each other.
    """

    samples: int = 200
    steps: int = 50
    interval: float = 1.0
    resolution: int = 64
    grid: int = 16
    viscosity: float = 1e-3
    forcing: float = 0.1
    wavenumber: int = 1
    alpha: float = 2.0
    tau: float = 7.0
    amplitude: float = 1.0
    dt: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._check("samples", self.samples >= 1, "at least 1")
        self._check("steps", self.steps >= 2, "at least 2")
        for option in ("interval", "viscosity", "tau"):
            value = getattr(self, option)
            self._check(option, value > 0 and math.isfinite(value), "a number above 0")
        for option in ("forcing", "amplitude"):
            value = getattr(self, option)
            self._check(option, value >= 0 and math.isfinite(value), "a number that is not negative")
        self._check("alpha", 1 < self.alpha < math.inf, "above 1, or the initial vorticity is no function")
        self._check("seed", 0 <= self.seed < 2**63, "from 0 to 2**63 - 1")
        self._check("dt", self.time_step > 0 and math.isfinite(self.time_step), "a number above 0")
        self._check_grids()
        years = self.samples * self.years
        self._check("samples", years <= 9999, f"at most {9999 // self.years}: each takes {self.years} years")

    def _check(self, option: str, fits: bool, wanted: str) -> None:
        _check(option, getattr(self, option), fits, wanted)

    def _check_grids(self) -> None:
        self._check("resolution", self.resolution >= 8 and self.resolution % 2 == 0, "even and at least 8")
        fits = 4 <= self.grid <= self.resolution and self.resolution % self.grid == 0
        self._check("grid", fits, f"at least 4 and divide the resolution of {self.resolution}")
        highest = self.highest_wavenumber
        self._check("wavenumber", 1 <= self.wavenumber <= highest, f"from 1 to {highest}, which is resolved")

    @property
    def time_step(self) -> float:
        """Longest time step."""
        return 1.28 / self.resolution if self.dt is None else self.dt

    @property
    def highest_wavenumber(self) -> int:
        """Highest wavenumber, in waves along a side, whose products do not alias into resolved ones."""
        return (self.resolution - 1) // 3

    @property
    def years(self) -> int:
        """Years of 360 days from one sample to the next: a unit of time is a day, and there is a gap."""
        return math.ceil((self.steps + 1) * self.interval / 360)
