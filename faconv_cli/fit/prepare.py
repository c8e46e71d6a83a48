"""Before training: split, climatology and scaling, all from the training period only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faconv_cli.config import EOF, DataConfig, RunConfig
from faconv_cli.cube.climatology import Climatology, fit_climatology
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.cycles import Kind, diurnal_left, resolve_anomaly
from faconv_cli.cube.size import told
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError, UsageError
from faconv_cli.fit.target import Target, prepare_targets
from faconv_cli.windows.adapt import LEAST_STEPS, Sizes, adapt
from faconv_cli.windows.layout import tiles_of
from faconv_cli.windows.memory import TRAINING_BYTES, training_bytes
from faconv_cli.windows.normalize import Normalizer, fit_normalizer
from faconv_cli.windows.plan import Window, clip_segments, plan_windows, training_windows
from faconv_cli.windows.resolve import default_updates, resolve

FEWEST_HELD_OUT = 6  # steps of a window of frames to validate forecasts on

Segment = tuple[int, int]


@dataclass(frozen=True)
class Split:
    """Steps to train on and steps held out.

    Attributes:
        training: runs [start, stop) without a gap.
        validation: one [start, stop) for each pass through time (members of an ensemble hold out the same
            period), empty where nothing is held out.
    """

    training: tuple[Segment, ...]
    validation: tuple[Segment, ...]

    @property
    def training_steps(self) -> np.ndarray:
        """Indices of the training steps, in order."""
        return np.concatenate([np.arange(*segment) for segment in self.training])

    @property
    def validation_count(self) -> int:
        """Number of steps held out."""
        return sum(end - begin for begin, end in self.validation)


def split_time(time: TimeAxis, validation: str) -> Split:
    """Hold out a share at the end of the record ("0.2"), a range ("2001:2003") or nothing ("0").

    Raises:
        UsageError: neither a share from 0 up to 1 nor a range, or nothing is left to train on.
    """
    held_out = tuple(_validation_range(time, one, validation) for one in time.passes)
    training = [
        part
        for (first, last), (begin, end) in zip(time.passes, held_out, strict=True)
        for part in (*clip_segments(time.segments, first, begin), *clip_segments(time.segments, end, last))
    ]
    if not training:
        raise UsageError(
            f"--validation {validation} holds out the whole record",
            wanted="some of the record must be left to train on",
            do="hold out less",
        )
    return Split(tuple(training), held_out)


def _validation_range(time: TimeAxis, one: Segment, validation: str) -> Segment:
    """The steps held out of one pass through time."""
    first, last = one
    if ":" in validation:
        begin, end = time.slice(first, last).indices_of(validation)
        return first + begin, first + end
    try:
        share = float(validation)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(
            f"--validation {validation} is neither a share nor a range",
            wanted="it is a share from 0 up to 1 such as 0.2, or a range such as 2001:2003",
            do="correct --validation",
        )
    return last - round(share * (last - first)), last


@dataclass(frozen=True, eq=False)
class Prepared:
    """A cube ready to be trained on.

    Attributes:
        cube: all steps, training and validation.
        split: which of them are for training and for validation.
        config: with every default resolved.
        climatology: of the training period.
        normalizer: of the training period.
        targets: what an embedding should predict beside the fields.
    """

    cube: Cube
    split: Split
    config: RunConfig
    climatology: Climatology
    normalizer: Normalizer
    targets: tuple[Target, ...] = ()

    def validation_windows(self) -> list[Window]:
        """List the windows that an embedding would use for the validation steps; only their rows count."""
        tiling = self.config.tiling
        windows = plan_windows(
            self.cube.time.segments,
            window=tiling.window,
            stride=tiling.stride or tiling.window,
            burn_in=tiling.burn_in,
        )
        cut = [
            replace(w, first_row=max(w.first_row, begin), stop=min(w.stop, end), segment_stop=w.segment_stop)
            for w in windows
            for begin, end in self.split.validation
        ]
        return [w for w in cut if w.first_row < w.stop]

    def with_config(self, config: RunConfig) -> Prepared:
        """Return the same data for other settings of network and training, of the same task and windows."""
        return replace(self, config=config)

    def with_fit(self, **changes: object) -> Prepared:
        """Return the same data for other settings of `FitConfig`."""
        return self.with_config(
            self.config.model_copy(update={"fit": self.config.fit.model_copy(update=changes)})
        )

    def whole_validation_windows(self, stride: int | None = None) -> list[Window]:
        """List the whole windows inside the validation period; none where nothing is held out."""
        if not self.split.validation_count:
            return []
        tiling = self.config.tiling
        return training_windows(
            _held_out(self.cube.time, self.split),
            window=tiling.window,
            stride=stride or tiling.stride or tiling.window,
            burn_in=tiling.burn_in,
        )

    def covering_windows(self) -> list[Window]:
        """List windows that give each training step one row, in order, as an embedding would."""
        return covering_windows(self.config, self.split)

    def training_windows(self, generator: np.random.Generator, at_least: int) -> list[Window]:
        """Draw the windows of a pass in random order, from the training steps alone.

        Each pass over the period starts at another offset, a multiple of the steps with attention. A short
        record is used several times, until there are ``at_least`` windows or all offsets have been used.
        Windows to forecast are drawn from all offsets: steps after a gap may differ from those long after it.
        """
        tiling, every = self.config.tiling, self.config.encoder.attention_every
        stride = tiling.stride or tiling.window
        if fits_any_record(self.config):
            return self.covering_windows()
        windows: list[Window] = []
        for offset in generator.permutation(np.arange(0, stride, every)):
            windows += training_windows(
                self.split.training,
                window=tiling.window,
                stride=stride,
                burn_in=tiling.burn_in,
                offset=int(offset),
            )
            if len(windows) >= at_least and self.config.fit.task == "embed":
                break
        return [windows[i] for i in generator.permutation(len(windows))]


@dataclass(frozen=True)
class Plan:
    """What will be trained, before anything is read.

    Attributes:
        config: with every default resolved.
        split: steps to train on and steps held out.
        notes: what was chosen instead of a default, and what is dropped.
    """

    config: RunConfig
    split: Split
    notes: tuple[str, ...]


def plan_training(cube: Cube, config: RunConfig, valid: np.ndarray | None = None) -> Plan:
    """Resolve settings on a cube and split its time, refusing what cannot be trained before anything is read.

    Args:
        cube: the record.
        config: as given; its defaults adapt to a small record.
        valid: (c, h, w) above 0 where a point ever holds a value; if None, all points count.

    Raises:
        UsageError: options that contradict the data.
        InputError: the record is too short to train on, or for the given settings.
    """
    config, split, notes = _hold_out(cube.time, config)
    runs = [end - begin for begin, end in split.training]
    held_out = [end - begin for begin, end in _held_out(cube.time, split)]
    valid = np.ones((cube.shape[1], *cube.grid.shape)) if valid is None else valid
    config, adapted = adapt(config, Sizes(runs, held_out, int(np.count_nonzero(valid))))
    if config.fit.updates is None:
        updates = default_updates(len(split.training_steps))
        config = config.model_copy(update={"fit": config.fit.model_copy(update={"updates": updates})})
    asked = config.fit.batch
    config = resolve(config, cube.shape[1], cube.grid.shape, periodic=cube.grid.periodic)
    if asked is None:
        config = _smaller_batch(config, split)
    notes += _memory_notes(cube, config)
    tiling = config.tiling
    if not fits_any_record(config):
        training_windows(
            split.training, window=tiling.window, stride=tiling.stride or 1, burn_in=tiling.burn_in
        )
        notes += _left_out(runs, tiling.window)
    if config.fit.task == "embed":
        _check_leads(split, config)
    else:
        _check_forecast(held_out, config)
    return Plan(config, split, (*notes, *adapted))


def _smaller_batch(config: RunConfig, split: Split) -> RunConfig:
    """Use no more windows at a time than cover the training period, or they would repeat steps."""
    there = len(covering_windows(config, split))
    batch = min(config.fit.batch or 1, max(there, 1))
    return config.model_copy(update={"fit": config.fit.model_copy(update={"batch": batch})})


def covering_windows(config: RunConfig, split: Split) -> list[Window]:
    """List windows that give each training step one row, in order, as an embedding would."""
    tiling = config.tiling
    return plan_windows(
        split.training,
        window=tiling.window,
        stride=tiling.stride or tiling.window,
        burn_in=tiling.burn_in,
    )


def _hold_out(time: TimeAxis, config: RunConfig) -> tuple[RunConfig, Split, list[str]]:
    """Split the time as given; by default, hold nothing out of a record that is too short to split."""
    data = config.data
    split = split_time(time, data.validation)
    if "validation" in data.model_fields_set or not split.validation_count:
        return config, split, []
    least = FEWEST_HELD_OUT if config.fit.task == "forecast" else 1
    longest = max(end - begin for begin, end in _held_out(time, split))
    if len(split.training_steps) >= LEAST_STEPS and longest >= least:
        return config, split, []
    config = config.model_copy(update={"data": data.model_copy(update={"validation": "0"})})
    note = f"No validation period is held out: {len(time)} steps are too few, so the last update is kept."
    return config, split_time(time, "0"), [note]


def _memory_notes(cube: Cube, config: RunConfig) -> list[str]:
    """Report a batch that is too large."""
    taken = training_bytes(
        config, cube.shape[1], tiles_of(config, cube.grid.shape, periodic=cube.grid.periodic)
    )
    if taken <= TRAINING_BYTES:
        return []
    windows = "1 window" if config.fit.batch == 1 else f"{config.fit.batch} windows"
    return [f"A batch of {windows} needs about {told(taken)}; see --batch, --hidden and --window."]


def _left_out(runs: Sequence[int], window: int) -> list[str]:
    """Report runs that are never trained on."""
    short = sum(run for run in runs if run < window)
    if not short:
        return []
    return [
        f"{short} of {sum(runs)} training steps lie in runs shorter than a window of {window} steps and are "
        "not trained on."
    ]


def prepare(cube: Cube, config: RunConfig) -> Prepared:
    """Split a cube, and fit climatology and scaling to its training period in two streaming passes.

    Channels without values or without variation are dropped with a note, unless they were asked for. Targets
    are opened and prepared in the same way.

    Raises:
        UsageError: options that contradict the data.
        InputError: see `plan_training`; no channel has values that vary, or one that was asked for has none.
    """
    split = plan_training(cube, config).split
    training = cube.take(split.training_steps)
    anomaly = _cycle(training, config.data)
    prepared = any(channel.anomaly for channel in training.channels)
    climatology = fit_climatology(
        training, "mean" if anomaly == "none" and not prepared else anomaly, config.data.detrend
    )
    if config.closed_loop and config.data.anomaly == "none":
        climatology = climatology.levelled(cube.grid.area)
    cube = cube.noted(*diurnal_left(anomaly, cube))
    normalizer, flaws = fit_normalizer(training, climatology)
    kept = [number for number in range(len(cube.channels)) if number not in flaws]
    if flaws:
        if not kept or config.data.variables is not None:
            raise next(iter(flaws.values()))
        cube = cube.pick(kept).noted(*(f"{flaw.found}; it is left out." for flaw in flaws.values()))
        climatology, normalizer = climatology.pick(kept), normalizer.pick(kept)
    plan = plan_training(cube, config, normalizer.valid)
    config = plan.config
    config = config.model_copy(update={"data": config.data.model_copy(update={"anomaly": anomaly})})
    targets = prepare_targets(cube, split.training, config, climatology.kind)
    notes = (*plan.notes, *(note for target in targets for note in _target_notes(target, split)))
    return Prepared(cube.noted(*notes), split, config, climatology, normalizer, targets)


def prepare_whole(prepared: Prepared) -> Prepared:
    """The same data with everything fitted to all of it, the held-out steps too; nothing is held out."""
    cube, config = prepared.cube, prepared.config
    split = split_time(cube.time, "0")
    climatology = fit_climatology(cube, prepared.climatology.kind, config.data.detrend)
    normalizer, flaws = fit_normalizer(cube, climatology)
    if flaws:
        raise next(iter(flaws.values()))
    targets = prepare_targets(cube, split.training, config, climatology.kind)
    return replace(prepared, split=split, climatology=climatology, normalizer=normalizer, targets=targets)


def _target_notes(target: Target, split: Split) -> list[str]:
    """Report what was done to a target, and where it has values."""
    training, held_out = len(target.training_steps), target.known(split.validation)
    told = [f"Target {target.name}: {note}" for note in (*target.cube.notes, *target.cube.masked)]
    return [
        *told,
        f"Target {target.name}: a value at {training} of {len(split.training_steps)} training steps and at "
        f"{held_out} of {split.validation_count} validation steps.",
    ]


def training_anomalies(time: TimeAxis, settings: DataConfig) -> tuple[Kind, np.ndarray]:
    """Choose the seasonal cycle to subtract from a record, and the steps to fit it to.

    Raises:
        UsageError: see `split_time`.
    """
    training = split_time(time, settings.validation).training_steps
    return resolve_anomaly(settings.anomaly, time.take(training)), training


def _cycle(training: Cube, settings: DataConfig) -> Kind:
    """The seasonal cycle to subtract; none if channels are anomalies already."""
    done = next((channel for channel in training.channels if channel.anomaly), None)
    if done is None:
        return resolve_anomaly(settings.anomaly, training.time)
    if settings.anomaly not in ("auto", "none"):
        raise UsageError(
            f"--anomaly {settings.anomaly} was asked for, but {done.name} already holds anomalies "
            f"({done.anomaly})",
            wanted="a seasonal cycle is subtracted only once",
            do="leave --anomaly out, or prepare the data without it",
        )
    return "none"


def fits_any_record(config: RunConfig) -> bool:
    """Return whether windows may be cut short: EOFs see only their lags, however long a window is."""
    return config.encoder.encoder == EOF and config.fit.task == "embed"


def _held_out(time: TimeAxis, split: Split) -> list[Segment]:
    """Runs without a gap of the validation steps."""
    return [part for one in split.validation for part in clip_segments(time.segments, *one)]


def _check_forecast(held_out: Sequence[int], config: RunConfig) -> None:
    window, given = config.tiling.window, config.teacher_forced
    if given >= window:
        raise UsageError(
            f"--teacher-forced {given} is all of a window of {window} steps",
            wanted="some steps must be left to forecast",
            do="give fewer, or leave it out",
        )
    if held_out and max(held_out) < window:
        raise InputError(
            f"the longest run of validation steps without a gap has {max(held_out)}",
            wanted=f"a window needs {window}",
            do="hold out more (--validation), or pass a smaller --window",
        )


def _check_leads(split: Split, config: RunConfig) -> None:
    longest = max(end - begin for begin, end in split.training)
    lead = max(config.leads, default=0)
    if lead and lead >= longest - config.tiling.burn_in:
        raise InputError(
            f"the longest run of training steps without a gap has {longest}",
            wanted=f"--lead {lead} after --burn-in {config.tiling.burn_in} needs more",
            do="give a longer record or a shorter --lead",
        )
