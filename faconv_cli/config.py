"""What a run is made of: strict, frozen models, read from TOML and options, kept in the checkpoint.

A field's description is the help text of its command-line option: one place says what it means.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from faconv_cli.errors import UsageError

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
One = TypeVar("One")


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DataConfig(_Config):
    """Which part of the files is used and what is taken off it."""

    variables: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Variables to take, in this order; CHANNEL=NAME gives the file's NAME the checkpoint's "
        "CHANNEL. Default: every variable on the grid.",
    )
    levels: tuple[float, ...] | None = Field(
        None, min_length=1, description="Levels to take, in the file's units. Default: all."
    )
    time_range: str | None = Field(
        None, description="FIRST:LAST, each a date such as 1979, 1979-12 or 1979-12-31. Default: all."
    )
    time_dim: str | None = Field(None, description="Name of the time coordinate, where it cannot be told.")
    time_index: bool = Field(
        False,
        description="Number the time steps instead of decoding their times: evenly spaced, without seasons.",
    )
    member: str | None = Field(
        None,
        description="Ensemble member to take, by its name or number in the file; all takes "
        "all, one after another, as samples. Default: there must be one.",
    )
    step: str | None = Field(
        None,
        description="Of files that hold forecasts, the lead to take: hours, or a number with a unit such "
        "as 2d.",
    )
    stream: str | None = Field(
        None,
        description="Of GRIB messages of several streams, the one to take, such as oper or enda.",
    )
    data_type: str | None = Field(
        None,
        description="Of GRIB messages of several types, the one to take: an (analysis), fc (forecast), em "
        "(mean of an ensemble), es (its spread) and so on.",
    )
    deaccumulate: bool = Field(
        False,
        description="Take differences of what is accumulated since the start of a forecast or run: each "
        "step then holds what was added in it.",
    )
    engine: str | None = Field(
        None,
        description="xarray's engine to open the files with, unchecked, whatever they hold; an escape. "
        "Default: NetCDF, GRIB or Zarr by content.",
    )
    missing_value: tuple[float, ...] = Field(
        (),
        description="Values that stand for missing data where the files do not say so: -9999, or several "
        "with commas. Default: what the files declare, and what certainly is none.",
    )
    regrid: Annotated[float, Field(gt=0, le=45)] | None = Field(
        None,
        description="Spacing in degrees of the regular grid that reduced Gaussian, HEALPix and unstructured "
        "grids are brought to. Default: none, they are refused.",
    )
    region: str | None = Field(
        None,
        description="LAT0:LAT1,LON0:LON1 in degrees, longitudes from west to east, across any meridian: "
        "20:80,-90:30 or 20:60,120:-120. Default: all.",
    )
    derive: tuple[str, ...] = Field(
        (),
        description="Channel worked out of others, NAME=FORMULA: 'wind=hypot(u10,v10)'; + - * / **, hypot "
        "sqrt exp log abs sin cos arctan2 minimum maximum. What it reads need not be a channel. Repeatable.",
    )
    mask: str | None = Field(
        None,
        description="FILE[:VARIABLE] on the grid of the data; points where it is 0 or missing are taken as "
        "missing. Default: none.",
    )
    static: tuple[str, ...] = Field(
        (),
        description="FILE[:NAME,NAME] on the grid of the data: channels that do not change in time, seen by "
        "the network but not to be given back (orography, land-sea mask). Repeatable.",
    )
    coarsen: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Means over blocks of so many points per side, weighted by area. Default: none.",
    )
    smooth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Means over the last DAYS, each step and those before it. Default: none."
    )
    season: str | None = Field(
        None,
        description="Months to keep: initials in order (DJF, NDJFM) or numbers (12,1,2). Default: all.",
    )
    validation: str = Field(
        "0.2",
        coerce_numbers_to_str=True,
        description="Held out for early stopping: a share at the end of the record (0.2), or FIRST:LAST; "
        "0 for none.",
    )
    anomaly: Literal["auto", "none", "monthly", "daily", "diurnal", "seasonal-diurnal", "hourly"] = Field(
        "auto",
        description="Cycles of the training period to subtract at each point: monthly means, smoothed daily "
        "(mean and four harmonics of the year), diurnal (mean and harmonics of the day), seasonal-diurnal "
        "(the same, with one harmonic of the year that changes the diurnal cycle), hourly (daily, and a "
        "diurnal cycle that changes with the season), or none, which subtracts the mean alone (in closed "
        "loop, that of all points: the laws of a flow are those of the whole field). auto: hourly for steps "
        "below a day, daily below a month, monthly for months, where training covers two years; "
        "else none, or below a day seasonal-diurnal where training sees nine months of the year, or diurnal.",
    )
    detrend: bool = Field(
        False, description="Subtract the linear trend of the training period at each point."
    )

    def replayed(self, **asked: Any) -> Self:
        """Settings for more data of the same kind, in any format: the whole record, and what is asked for."""
        given = {name: value for name, value in asked.items() if value is not None}
        return self.model_copy(update={"time_range": None, "engine": None} | given)


class TilingConfig(_Config):
    """How a cube is cut into windows in time and tiles in space."""

    window: PositiveInt = Field(24, description="Time steps the encoder sees at once.")
    stride: PositiveInt | None = Field(
        None,
        description="Steps from one window to the next. Default: window less burn-in, in whole "
        "multiples of attention-every.",
    )
    burn_in: NonNegativeInt = Field(
        8, description="First steps of a window that only warm the state up; also how far back z looks."
    )
    tile: PositiveInt | None = Field(
        None, description="Largest side of a tile, in grid points. Default: 512, so most grids are one tile."
    )
    halo: NonNegativeInt = Field(16, description="Grid points that neighbouring tiles share.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = self.model_fields_set
        if self.burn_in >= self.window and ("burn_in" in given or "window" not in given):
            raise ValueError(f"burn_in {self.burn_in} leaves nothing of a window of {self.window} steps")
        if self.stride is not None and self.stride > max(self.window - self.burn_in, 0):
            raise ValueError(
                f"stride {self.stride} would skip steps: a window of {self.window} with burn_in "
                f"{self.burn_in} gives at most {self.window - self.burn_in}"
            )
        if self.tile is not None and 2 * self.halo >= self.tile:
            raise ValueError(f"halo {self.halo} leaves nothing of a tile of {self.tile}")
        return self


EOF = "eof"  # the encoder that is fitted, not trained

Mechanism = Literal["squeeze-excitation", "peephole", "axial", "temporal", "season", "changes"]


def mechanisms_of(encoder: str) -> tuple[Mechanism, ...]:
    """List what can be switched off in an encoder; what belongs to the head is in all but EOFs."""
    if encoder == EOF:
        return ()
    gates: tuple[Mechanism, ...] = ("peephole",) if encoder in ("faconvlstm", "convlstm") else ()
    mixing: tuple[Mechanism, ...] = ("squeeze-excitation", "axial") if "fa" in encoder else ()
    return (*gates, *mixing, "temporal", "season", "changes")


class EncoderConfig(_Config):
    """The network; every mechanism of FAConvLSTM can be switched off."""

    encoder: Literal[
        "faconvlstm",
        "minfaconvlstm",
        "convlstm",
        "convgru",
        "minconvlstm",
        "minconvgru",
        "minconvexplstm",
        "eof",
    ] = Field(
        "faconvlstm",
        description="Recurrent layer: faconvlstm, minfaconvlstm, convlstm, convgru, minconvlstm, minconvgru "
        "or minconvexplstm; or eof, the EOF analysis, where nothing is trained, and a --window above 1 (its "
        "default then) makes extended EOFs.",
    )
    hidden: PositiveInt = Field(32, description="Hidden channels F.")
    layers: PositiveInt = Field(1, description="Recurrent layers, each after the first with a residual.")
    bottleneck: PositiveInt = Field(16, description="Channels R of the 1x1 bottleneck.")
    kernel_size: Literal[3, 5, 7] = Field(3, description="Side of the kernels: 3, 5 or 7.")
    padding: Literal["zeros", "longitude", "circular"] | None = Field(
        None,
        description="What kernels see beyond the edge: zeros, longitude (wraps around it) or circular (wraps "
        "around both, a torus). Default: longitude where the grid closes the circle, else zeros.",
    )
    dilations: tuple[PositiveInt, ...] = Field(
        (1, 2, 4), min_length=1, description="Dilations of the shared depthwise mix."
    )
    attention_every: PositiveInt = Field(4, description="Axial attention on each K-th step.")
    attention_heads: PositiveInt = Field(
        2,
        description="Heads of the axial and the temporal attention; of the latter as many of them as share "
        "the EOFs evenly.",
    )
    attention_pool: PositiveInt | None = Field(
        None,
        description="Axial attention on a grid this much coarser. Default: its longest side is at most 64.",
    )
    embedding: PositiveInt = Field(
        16,
        description="Modes d of an embedding, numbers per time step. Its first k are the best k. To forecast "
        "with eof: EOFs, by default as many as networks start from, at most 64.",
    )
    eof_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.98,
        description="Share of the variance that the EOFs explain in which leads are forecast; they are at "
        "most 64, and one for ten training steps.",
    )
    causal: bool = Field(True, description="Let z look at earlier steps only, so that a record can grow.")
    patch: Literal[1, 2, 4] | None = Field(
        None,
        description="Grid points per side that one hidden point covers: 1, 2 or 4. Default: 1 up to 16,384 "
        "points, 2 up to 131,072, else 4.",
    )
    skip: bool = Field(
        True,
        description="Forecast the change from the last frame, not the frame itself (in closed loop).",
    )
    without: tuple[Mechanism, ...] = Field(
        (),
        description="Mechanisms to switch off, for ablation: squeeze-excitation, peephole, axial, temporal, "
        "season, changes (what the last changes of the field tell of the leads without a network).",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        absent = [name for name in self.without if name not in mechanisms_of(self.encoder)]
        if absent:
            raise ValueError(f"{self.encoder} has no {', '.join(absent)} to leave out")
        if self.bottleneck % self.attention_heads:
            raise ValueError(
                f"bottleneck {self.bottleneck} is not a multiple of {self.attention_heads} heads"
            )
        return self


class FitConfig(_Config):
    """How the network is trained."""

    task: Literal["embed", "forecast"] = Field(
        "embed",
        description="What is trained: embed (a few numbers per time step) or forecast (the next frames, for "
        "faconv forecast).",
    )
    teacher_forced: PositiveInt | None = Field(
        None,
        description="Steps of a window that are given when training to forecast; the rest is forecast. "
        "Default: two thirds of the window.",
    )
    closed_loop: bool = Field(
        False,
        description="Forecast frame by frame, each from the network's own last one, as a flow goes on; else "
        "all leads at once, as corrections of their linear forecasts. --no-skip implies it.",
    )
    objective: Literal["reconstruct", "forecast", "both"] = Field(
        "both",
        description="What z must tell: reconstruct the field now (the EOF analysis; nothing is trained "
        "but for a target), forecast it at the leads, or both.",
    )
    lead: tuple[PositiveInt, ...] = Field(
        (1, 2, 3, 5), min_length=1, description="Leads of the forecasts, in time steps."
    )
    lead_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None, description="Weights of the leads, where the field now has 1. Default: 1 each."
    )
    target: tuple[str, ...] = Field(
        (),
        description="FILE[:VARIABLE]: what z must tell as well, never an input: a field on any grid, or a "
        "series (NetCDF without a grid, or CSV with a column of dates). Repeatable.",
    )
    target_weight: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        None,
        min_length=1,
        description="Weight of the targets, where the field now has 1: one for all, or one each. Default: 1.",
    )
    target_lead: tuple[NonNegativeInt, ...] | None = Field(
        None,
        min_length=1,
        description="Time steps by which the targets are later than z: one number for all, or one each. "
        "Default: 0.",
    )
    updates: NonNegativeInt | None = Field(
        None,
        description="Updates of the weights; 0 keeps the analysis that training starts from. Default: "
        "three for ten training steps, at least 30 and at most 600.",
    )
    refit: bool = Field(
        True,
        description="When the best update is known, fit climatology, scaling, EOFs, forecasts without the "
        "network, and modes again, to the held-out steps as well (not in closed loop). --no-refit keeps "
        "these steps out of the checkpoint.",
    )
    batch: PositiveInt | None = Field(
        None,
        description="Windows per optimiser step. Default: 8, fewer where they would need over 4 GiB or where "
        "fewer cover the training period.",
    )
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Highest learning rate of the cosine schedule. Default: 0.01, in closed loop 0.003.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.1, description="AdamW's weight decay.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the hidden channels that an update of the weights does without."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic of the network: float32 or bfloat16 (automatic mixed precision)."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="Seed of everything random.")


class RunConfig(_Config):
    """All that `faconv train` needs to know besides the data and the machine."""

    data: DataConfig = DataConfig()
    tiling: TilingConfig = TilingConfig()
    encoder: EncoderConfig = EncoderConfig()
    fit: FitConfig = FitConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        stride, every = self.tiling.stride, self.encoder.attention_every
        if stride is not None and stride % every:
            raise ValueError(
                f"stride {stride} is not a multiple of attention_every {every}: a step would be attended in "
                "one window and not in the next"
            )
        fitted = self.encoder.encoder == EOF and self.fit.task == "embed" and stride is None
        if fitted and self.tiling.burn_in != self.tiling.window - 1:
            raise ValueError(
                f"burn_in {self.tiling.burn_in}, where EOFs of a window of {self.tiling.window} look "
                f"{self.tiling.window - 1} steps back"
            )
        weights = self.fit.lead_weight
        if weights is not None and len(weights) != len(self.fit.lead):
            raise ValueError(f"{len(weights)} lead weights for {len(self.fit.lead)} leads")
        self._check_targets()
        if self.encoder.encoder == EOF and self.data.static:
            raise ValueError(f"static fields are seen by a network, which encoder {EOF} is not")
        if self.fit.task == "forecast" and not 0 < self.teacher_forced < self.tiling.window:
            raise ValueError(
                f"teacher_forced {self.teacher_forced} of a window of {self.tiling.window} steps leaves "
                "nothing to forecast"
            )
        if self.encoder.encoder == EOF and (self.fit.closed_loop or not self.encoder.skip):
            raise ValueError(f"encoder {EOF} forecasts all leads at once, never in closed loop")
        return self

    def _check_targets(self) -> None:
        targets = len(self.fit.target)
        for name in ("target_weight", "target_lead"):
            values = getattr(self.fit, name)
            if values is not None and not targets:
                raise ValueError(f"{name} without a target")
            if values is not None and len(values) not in (1, targets):
                raise ValueError(
                    f"{len(values)} numbers of {name} for {targets} targets: give one or one each"
                )

    @property
    def teacher_forced(self) -> int:
        """Steps of a window that are given in training to forecast."""
        return self.fit.teacher_forced or self.tiling.window - self.tiling.window // 3

    @property
    def closed_loop(self) -> bool:
        """Whether forecasts go on frame by frame."""
        return self.fit.task == "forecast" and (self.fit.closed_loop or not self.encoder.skip)

    @property
    def leads(self) -> tuple[int, ...]:
        """Leads that are told at once, in steps: those an embedding must tell, or those left in a window.

        None where an embedding is of the field now alone, or forecasts go on frame by frame.
        """
        if self.fit.task == "forecast":
            left = self.tiling.window - self.teacher_forced
            return () if self.closed_loop else tuple(range(1, left + 1))
        return () if self.fit.objective == "reconstruct" else self.fit.lead

    @property
    def lead_weights(self) -> tuple[float, ...]:
        """Weights of the leads."""
        return (self.fit.lead_weight or (1.0,) * len(self.leads)) if self.leads else ()

    @property
    def target_weights(self) -> tuple[float, ...]:
        """Weights of the targets."""
        return _one_each(self.fit.target_weight or (1.0,), len(self.fit.target))

    @property
    def target_leads(self) -> tuple[int, ...]:
        """Steps by which the targets are later."""
        return _one_each(self.fit.target_lead or (0,), len(self.fit.target))

    @property
    def predicts(self) -> bool:
        """There is something to predict: the field at leads, or targets."""
        return bool(self.leads or self.fit.target)

    @property
    def part_weights(self) -> tuple[float, ...]:
        """Weights of what an embedding tells: the field now, where it does, the leads and the targets."""
        now = () if self.fit.objective == "forecast" else (1.0,)
        return (*now, *self.lead_weights, *self.target_weights)

    @property
    def steps_read(self) -> int:
        """Steps that training reads for one window: with the longest lead beyond it, or the window itself."""
        if self.fit.task == "forecast":
            return self.tiling.window
        return self.tiling.window + max(self.leads, default=0)

    @property
    def steps_seen(self) -> int:
        """Steps of a window that a network runs over in training."""
        leads_of_a_window = self.fit.task == "forecast" and not self.closed_loop
        return self.teacher_forced if leads_of_a_window else self.tiling.window

    @property
    def lags(self) -> int:
        """Time steps in an extended EOF; the step itself counts as one."""
        return self.tiling.burn_in + 1

    @classmethod
    def build(cls, toml: Path | None, options: Mapping[str, Any]) -> Self:
        """Merge defaults, a TOML file and given options (``None`` means not given), the later winning.

        A flat option or TOML key goes to the section that has a field of its name; TOML may also use the
        sections' names as tables.

        Raises:
            UsageError: an unknown key, a value of the wrong kind, or values that contradict each other.
        """
        merged: dict[str, dict[str, Any]] = {name: {} for name in cls.model_fields}
        origin = str(toml) if toml else "options"
        for key, value in (_read_toml(toml) if toml else {}).items():
            if key in merged and isinstance(value, dict):
                merged[key].update(value)
            else:
                merged[cls.section_of(key, origin)][key] = value
        for key, value in options.items():
            if value is not None:
                merged[cls.section_of(key, "options")][key] = value
        _check_used(merged, origin)
        if merged["encoder"].get("encoder") == EOF:
            merged["tiling"] = _eof_tiling(merged["tiling"], merged["fit"].get("task"))
            if not {"objective", "lead", "lead_weight"} & merged["fit"].keys():
                merged["fit"]["objective"] = "reconstruct"  # the EOF analysis, unless leads are asked for
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise UsageError(
                f"{origin}: {_first_complaint(error)}",
                wanted="the settings must be of their kinds and fit together",
                do="correct it (faconv train --help lists them)",
            ) from None

    @classmethod
    def section_of(cls, key: str, origin: str) -> str:
        """Name the section that has a field called ``key``."""
        for name, info in cls.model_fields.items():
            section = info.annotation
            assert isinstance(section, type)
            assert issubclass(section, BaseModel)
            if key in section.model_fields:
                return name
        raise UsageError(
            f"{origin}: unknown setting {key!r}",
            wanted="settings are named as the options, with underscores",
            do="correct or remove it",
        )


def _one_each(values: tuple[One, ...], count: int) -> tuple[One, ...]:
    """Repeat a single value for each of ``count``."""
    return values * count if len(values) == 1 else values


def _eof_tiling(given: Mapping[str, Any], task: object) -> dict[str, Any]:
    """Give the tiling of EOFs: one step, unless a window (to forecast, a burn-in) asks for extended ones."""
    if task == "forecast":
        return {"burn_in": 0, **given}
    window = given.get("window", 1)
    return {"window": window, "burn_in": window - 1 if isinstance(window, int) else 0, **given}


_OF_ONE_TASK = {
    "embed": (
        *("objective", "lead", "lead_weight", "eof_share", "causal"),
        *("target", "target_weight", "target_lead"),
    ),
    "forecast": ("teacher_forced", "skip", "closed_loop"),
}


def _check_used(merged: Mapping[str, Mapping[str, Any]], origin: str) -> None:
    """Refuse settings that the task would not read.

    Raises:
        UsageError: there is one.
    """
    task = merged["fit"].get("task", "embed")
    given = {key for section in merged.values() for key in section}
    for other, names in _OF_ONE_TASK.items():
        unused = [name for name in names if name in given and other != task]
        if unused:
            raise UsageError(
                f"{origin}: {unused[0]} with task {task}",
                wanted=f"it is for the task {other}",
                do="drop it, or choose that --task",
            )
    closed_loop = merged["fit"].get("closed_loop") or merged["encoder"].get("skip") is False
    if closed_loop and "dropout" in given:
        raise UsageError(
            f"{origin}: dropout in closed loop",
            wanted="it is for forecasts of all leads at once",
            do="drop it, or leave --closed-loop and --no-skip out",
        )
    leads = [name for name in ("lead", "lead_weight") if name in given]
    if leads and merged["fit"].get("objective") == "reconstruct":
        raise UsageError(
            f"{origin}: {leads[0]} with objective reconstruct",
            wanted="the field now has no leads",
            do="drop it, or choose another --objective",
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path}: {error}", wanted="the configuration must be a TOML file", do="correct it"
        ) from None


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
