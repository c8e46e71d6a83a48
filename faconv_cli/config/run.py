"""All settings of a run, and what follows from several of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from faconv_cli.config.base import Config
from faconv_cli.config.data import DataConfig
from faconv_cli.config.encoder import EOF, EncoderConfig
from faconv_cli.config.fit import FitConfig
from faconv_cli.config.merge import check_leads, check_used, eof_tiling, first_complaint, option, read_toml
from faconv_cli.config.tiling import TilingConfig
from faconv_cli.errors import UsageError

One = TypeVar("One")


class RunConfig(Config):
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
                f"--stride {stride} is not a multiple of --attention-every {every}: a step would have "
                "attention in one window and not in the next"
            )
        fitted = self.encoder.encoder == EOF and self.fit.task == "embed" and stride is None
        if fitted and self.tiling.burn_in != self.tiling.window - 1:
            raise ValueError(
                f"--burn-in {self.tiling.burn_in} does not fit extended EOFs of --window "
                f"{self.tiling.window}, which look {self.tiling.window - 1} steps back"
            )
        weights = self.fit.lead_weight
        if weights is not None and len(weights) != len(self.fit.lead):
            raise ValueError(f"--lead-weight has {len(weights)} values for {len(self.fit.lead)} lead times")
        self._check_targets()
        if self.encoder.encoder == EOF and self.data.static:
            raise ValueError(
                f"--static was given with --encoder {EOF}, but only a network sees static fields"
            )
        if self.fit.task == "forecast" and not 0 < self.teacher_forced < self.tiling.window:
            raise ValueError(
                f"--teacher-forced {self.teacher_forced} of --window {self.tiling.window} leaves nothing to "
                "forecast"
            )
        if self.encoder.encoder == EOF and (self.fit.closed_loop or not self.encoder.skip):
            raise ValueError(f"--encoder {EOF} forecasts all lead times at once, never in closed loop")
        return self

    def _check_targets(self) -> None:
        targets = len(self.fit.target)
        for name in ("target_weight", "target_lead"):
            values = getattr(self.fit, name)
            if values is not None and not targets:
                raise ValueError(f"{option(name)} was given without --target")
            if values is not None and len(values) not in (1, targets):
                raise ValueError(
                    f"{option(name)} has {len(values)} values for {targets} targets: give one, or one each"
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
        named = dict[str, str]()  # as the user gave it, for messages
        for key, value in (read_toml(toml) if toml else {}).items():
            if key in merged and isinstance(value, dict):
                merged[key].update(value)
                named |= {inner: f"{toml}: {key}.{inner}" for inner in value}
            else:
                merged[cls.section_of(key, f"{toml}: {key}")][key] = value
                named[key] = f"{toml}: {key}"
        for key, value in options.items():
            if value is not None:
                merged[cls.section_of(key, option(key))][key] = value
                named[key] = option(key)
        check_used(merged, named)
        if merged["encoder"].get("encoder") == EOF:
            merged["tiling"] = eof_tiling(merged["tiling"], merged["fit"].get("task"))
            if not {"objective", "lead", "lead_weight"} & merged["fit"].keys():
                merged["fit"]["objective"] = "reconstruct"  # the EOF analysis, unless leads are asked for
        try:
            config = cls.model_validate(merged)
        except ValidationError as error:
            raise UsageError(
                first_complaint(error, named),
                wanted="faconv train --help lists the settings and their values",
                do="correct this one",
            ) from None
        check_leads(config.fit.lead, named)
        return config

    @classmethod
    def section_of(cls, key: str, named: str) -> str:
        """Name the section that has a field called ``key``, given by a user as ``named``."""
        for name, info in cls.model_fields.items():
            section = info.annotation
            assert isinstance(section, type)
            assert issubclass(section, BaseModel)
            if key in section.model_fields:
                return name
        raise UsageError(
            f"{named} is an unknown setting",
            wanted="settings have the names of the options of faconv train, with underscores",
            do="correct or remove it",
        )


def _one_each(values: tuple[One, ...], count: int) -> tuple[One, ...]:
    """Repeat a single value for each of ``count``."""
    return values * count if len(values) == 1 else values
