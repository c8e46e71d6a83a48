"""Check that the files of a variable are one record: same time step, same place in the month, one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from faconv_cli.cube.axes.conventions import OPTIONS, Layer, joined
from faconv_cli.cube.join.clock import Clock
from faconv_cli.cube.time.rounding import Keys
from faconv_cli.cube.time.timeaxis import UNDATED, TimeAxis
from faconv_cli.cube.time.timestep import days_of, months_of
from faconv_cli.errors import InputError

_LEAST_STEPS = 3  # steps needed to tell the time step of a file
_LARGEST_SHIFT = 0.25  # of a month or year, between the places at which two files are stamped
_TIGHT = 0.1  # of a month or year; spread of stamps at the same place, as months differ in length
_BY_CHANCE = 3  # times the longest step of a variable; longer common steps are a coincidence
_EVEN = 0.1  # of a step
_FINER = 0.75  # of a step; two steps that are closer together belong to another record
_YEAR_DAYS = 365


class Sampling(NamedTuple):
    """How one file samples time.

    Attributes:
        layer: the file.
        keys: (t,) its time stamps, sorted and unique.
        step: its usual time step, as text; empty if it has too few steps or they vary.
        place: mean position of its stamps in the month (or in the year, if the step is whole years), from 0
            to 1; NaN if that varies or the step is shorter than a month.
    """

    layer: Layer
    keys: Keys
    step: str
    place: float

    @property
    def steps_in_year(self) -> int:
        """Number of steps after which the time of year and day recurs; 0 if unknown."""
        months = months_of(self.step) if self.step else None
        if months:
            return 12 // months if 12 % months == 0 else 0
        days = days_of(self.step) if self.step else np.nan
        if not days < _YEAR_DAYS:
            return 0
        year = 360 if self.layer.stamps.calendar == "360_day" else _YEAR_DAYS
        return round(year / days)


class Likeness:
    """Compares the files of variables; channels that share their files are compared only once.

    Args:
        keys: (t,) stamps of each layer, by its ``id``.
        clock: how stamps are counted.
    """

    def __init__(self, keys: Mapping[int, Keys], clock: Clock) -> None:
        self._keys, self._clock = keys, clock
        self._known: dict[tuple[int, ...], list[Sampling]] = {}

    def check(self, name: str, layers: Sequence[Layer]) -> list[Sampling]:
        """Refuse files of a variable that are not one record, by their times or their attributes.

        Returns:
            How each file samples time.

        Raises:
            InputError: if runs, models, time steps, or the place of the stamps in the month differ.
        """
        files = tuple(id(layer.stamps) for layer in layers)
        if files not in self._known:
            self._known[files] = self._compared(name, layers)
        return self._known[files]

    def _compared(self, name: str, layers: Sequence[Layer]) -> list[Sampling]:
        _check_runs(name, layers)
        if len(layers) == 1:
            return [Sampling(layers[0], self._keys[id(layers[0])], "", np.nan)]
        samplings = [_sampling(layer, np.unique(self._keys[id(layer)]), self._clock) for layer in layers]
        short = [one for one in samplings if len(one.keys) < _LEAST_STEPS]
        if short:  # each is too short to tell its time step, but together they may not be
            together = np.unique(np.concatenate([one.keys for one in short]))
            samplings.append(_sampling(short[0].layer, together, self._clock))
        distinct = {(one.step, f"{one.place:.2f}"): one for one in samplings if one.step}
        union = np.unique(np.concatenate([one.keys for one in samplings]))
        for one, other in combinations(distinct.values(), 2):
            if other_steps(one, other):
                coarse, fine = sorted((one, other), key=lambda x: days_of(x.step), reverse=True)
                if not _filled(coarse, fine, union, self._clock):
                    raise unlike_steps(name, one, other)
            elif abs(one.place - other.place) > _LARGEST_SHIFT:
                raise _other_place(name, one.step, one.layer, other.layer)
        self._check_short(name, short, union)
        long = [one for one in samplings[: len(layers)] if one.step]
        for one in short:
            self._check_beside(name, one, long, union)
        return samplings

    def _check_short(self, name: str, short: Sequence[Sampling], union: Keys) -> None:
        """Refuse files of one or two months each that are stamped at two different places in the month."""
        if not short or len(union) < _LEAST_STEPS:
            return
        axis = self._clock.axis(union)
        if not axis.dated or axis.step_months is None:
            return
        every = _places(axis)
        places = np.array([every[np.searchsorted(union, one.keys)].mean() for one in short])
        order = np.argsort(places)
        gaps = np.diff(places[order])
        at = int(np.argmax(gaps)) if len(gaps) else 0
        sides = places[order][: at + 1], places[order][at + 1 :]
        if len(gaps) and gaps[at] > _TIGHT and max(map(np.ptp, sides)) < _TIGHT:
            raise _other_place(name, axis.step, short[order[at]].layer, short[order[at + 1]].layer)

    def _check_beside(self, name: str, short: Sampling, long: Sequence[Sampling], union: Keys) -> None:
        """Refuse a file of one or two steps that are closer together or stamped elsewhere than in others."""
        if len(short.keys) > 1 and long:
            finest = min(long, key=lambda one: days_of(one.step))
            own = short._replace(step=self._clock.axis(short.keys).step)
            finer = days_of(own.step) < _FINER * days_of(finest.step)
            if finer and not _filled(finest, own, union, self._clock):
                raise unlike_steps(name, finest, own)
        for other in long:
            if np.isfinite(other.place) and self._lie_elsewhere(short.keys, other):
                raise _other_place(name, other.step, other.layer, short.layer)

    def _lie_elsewhere(self, keys: Keys, other: Sampling) -> bool:
        """Return whether stamps (t,) lie at another place in the month or year than those of a file."""
        union = np.union1d(keys, other.keys)
        axis = self._clock.axis(union)
        every = _places_in(axis, months_of(other.step))
        theirs, ours = (every[np.searchsorted(union, some)] for some in (other.keys, keys))
        away = max(theirs.min() - ours.min(), ours.max() - theirs.max())
        return bool(away > (_TIGHT if np.ptp(theirs) < _TIGHT else _LARGEST_SHIFT))


def check_common(names: Sequence[str], keys: Sequence[Keys], common: Keys, clock: Clock) -> None:
    """Refuse variables whose time steps coincide only now and then, by chance.

    Args:
        names: names of the variables.
        keys: (t,) stamps of each variable, sorted.
        common: stamps that all variables have.
        clock: how stamps are counted.

    Raises:
        InputError: if monthly steps meet shorter ones, or common steps are far apart.
    """
    steps = {name: clock.axis(own).step for name, own in zip(names, keys, strict=True) if len(own) > 2}
    monthly = [name for name, step in steps.items() if months_of(step) is not None]
    others = [name for name in steps if name not in monthly]
    if clock.calendar == UNDATED or not steps:
        return
    if monthly and others:
        one, other = monthly[0], others[0]
        raise InputError(
            f"{one} has a time step of {steps[one]}, but {other} has {steps[other]}",
            wanted="all variables must have the same time step",
            do="select variables with --variables, or average the finer ones first (cdo monmean, or "
            "resample in xarray)",
        )
    step = clock.axis(common).step if len(common) > 1 else ""
    longest = max(steps, key=lambda name: days_of(steps[name]))
    if len(common) < 2 or days_of(step) > _BY_CHANCE * days_of(steps[longest]):
        at = [str(clock.stamps_of(own[:1])[0])[:19] for own in keys[:2]]
        apart = f", {step} apart" if step else ""
        raise InputError(
            f"The variables share only {len(common)} of {max(map(len, keys))} time steps{apart} (their own "
            f"steps are {steps[longest]} or less; {names[0]} begins at {at[0]}, {names[1]} at {at[1]})",
            wanted="the variables of a record must have the same time stamps",
            do=give_as_static(names, keys)
            or "select variables with --variables, or shift the stamps of one (cdo shifttime)",
        )


def give_as_static(names: Sequence[str], keys: Sequence[Keys]) -> str:
    """Return the fix for variables with one step beside others with many, such as masks and orographies."""
    fixed = [name for name, own in zip(names, keys, strict=True) if len(own) == 1]
    if not fixed or len(fixed) == len(names):
        return ""
    return (
        f"give constant fields with --static, or drop them with --variables (only one time step: "
        f"{joined(dict.fromkeys(fixed))})"
    )


def runs_told(names: Sequence[str], layers: Sequence[Layer]) -> list[str]:
    """Report if the variables of a cube come from different models or members.

    Args:
        names: names of the variables.
        layers: one layer of each variable.
    """
    notes = []
    for what in ("model", "member"):
        runs = {x.run[what][0]: name for name, x in zip(names, layers, strict=True) if what in x.run}
        if len(runs) > 1:
            told = ", ".join(f"{name} from {run}" for run, name in runs.items())
            notes.append(f"The variables come from different {what}s: {told}.")
    return notes


def other_steps(one: Sampling, other: Sampling) -> bool:
    """Return whether both files have a known time step and these differ."""
    return bool(one.step and other.step) and one.step != other.step


def unlike_steps(name: str, one: Sampling, other: Sampling) -> InputError:
    """Return the error for two files of a variable with different time steps."""
    return InputError(
        f"{name} has a time step of {one.step} in {one.layer.field.path} but of {other.step} in "
        f"{other.layer.field.path}",
        wanted="all files of a variable must have the same time step",
        do="give files with one time step, or average the finer ones first (cdo monmean, xarray's resample)",
    )


def _sampling(layer: Layer, keys: Keys, clock: Clock) -> Sampling:
    none = Sampling(layer, keys, "", np.nan)
    if len(keys) < _LEAST_STEPS:
        return none
    axis = clock.axis(keys)
    usual = len(keys) - len(axis.segments)
    if axis.irregular_steps or 2 * usual <= len(keys) - 1:
        return none
    return Sampling(layer, keys, axis.step, _place(axis))


def _place(axis: TimeAxis) -> float:
    if not axis.dated or axis.step_months is None:
        return np.nan
    places = _places(axis)
    return float(places.mean()) if np.ptp(places) < _LARGEST_SHIFT else np.nan


def _places(axis: TimeAxis) -> npt.NDArray[np.float64]:
    """Return positions (t,) in the month, or in the year if the step is whole years."""
    return _places_in(axis, axis.step_months)


def _places_in(axis: TimeAxis, step_months: int | None) -> npt.NDArray[np.float64]:
    """Return the same for a step of the given number of months."""
    return axis.year_fraction if (step_months or 1) % 12 == 0 else axis.month_fraction


def _filled(coarse: Sampling, fine: Sampling, union: Keys, clock: Clock) -> bool:
    """Return whether other files fill the gaps between the coarser file's steps, as in one record."""
    inside = union[(union >= coarse.keys[0]) & (union <= coarse.keys[-1])]
    axis = clock.axis(inside)
    steps = np.diff(inside)
    return axis.step == fine.step and bool((np.abs(steps / np.median(steps) - 1) <= _EVEN).all())


def _other_place(name: str, step: str, one: Layer, other: Layer) -> InputError:
    told = [f"in {x.field.path} ({str(x.stamps.values[0])[:10]})" for x in (one, other)]
    return InputError(
        f"{name} is stamped at another time of the {step.split()[-1].rstrip('s')} {told[0]} than {told[1]}",
        wanted="all steps of a record must be stamped at the same place, so that the month of each is clear",
        do="shift the stamps of one file (cdo settaxis, cdo shifttime), or give only one of the files",
    )


def experiments_told(name: str, layers: Sequence[Layer]) -> list[str]:
    """Report the experiments or cases of a variable's files if there are several."""
    runs = {layer.run["experiment"][0]: layer for layer in layers if "experiment" in layer.run}
    if len(runs) < 2:
        return []
    told = joined(f"{run} in {layer.field.path}" for run, layer in runs.items())
    return [f"{name} comes from several experiments, which are joined in time: {told}."]


def _check_runs(name: str, layers: Sequence[Layer]) -> None:
    """Refuse files of different runs, unless one names the other as its parent.

    Many archives do not name the parent experiment; such experiments are joined, with a note.
    """
    distinct = {tuple(layer.run.items()): layer for layer in layers}
    for one, other in combinations(distinct.values(), 2):
        for what, (mine, parents) in one.run.items():
            theirs, others = other.run.get(what, (mine, ()))
            unsaid = what == "experiment" and not (parents and others)
            if not unsaid and mine != theirs and mine not in others and theirs not in parents:
                raise InputError(
                    f"{name} comes from {what} {mine} in {one.field.path} but from {theirs} in "
                    f"{other.field.path}",
                    wanted="all files of a variable must come from one run",
                    do=_choose_one(what),
                )


def _choose_one(what: str) -> str:
    return f"choose one with {OPTIONS[what]}" if what in OPTIONS else f"give the files of only one {what}"
