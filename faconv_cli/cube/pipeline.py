"""From files and settings to the cube that is worked on: everything of `DataConfig`, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from faconv_cli.config import DataConfig
from faconv_cli.cube.constants import Constants, Cycle
from faconv_cli.cube.cube import Cube
from faconv_cli.cube.join.source import open_cube
from faconv_cli.cube.shape.accumulation import deaccumulate, find_all, warnings_of
from faconv_cli.cube.shape.coarsen import coarsen
from faconv_cli.cube.shape.derive import derive, inputs_of, parse_all
from faconv_cli.cube.shape.expression import Expression
from faconv_cli.cube.shape.fixed import apply_mask, read_mask, read_statics
from faconv_cli.cube.shape.region import cut_region
from faconv_cli.cube.shape.season import keep_season
from faconv_cli.cube.shape.smooth import smooth
from faconv_cli.cube.shape.trainedunits import in_units, same_kind
from faconv_cli.cube.size import check_fits, notes
from faconv_cli.errors import InputError


def open_record(paths: Sequence[str | Path], data: DataConfig, constants: Constants | None = None) -> Cube:
    """Open files and make of them what the settings say; of the record nothing but coordinates is read.

    In this order: region, differences of what is accumulated, derived channels, mask, coarsening, running
    means, season and time range, so that a mean and a difference reach back to steps that are then left out.
    Anomalies, trend and the hold-out belong to the training period. Whether a channel is accumulated may be
    told from values of a bounded number of steps.

    Args:
        paths: files of one record.
        data: the settings.
        constants: of the checkpoint that is replayed, in place of the files of mask and static fields.

    Raises:
        InputError: a file that cannot be read, or that does not have what was asked for; a time step too
            large for the memory.
        UsageError: settings that contradict each other or the data.
    """
    expressions = parse_all(data.derive)
    cube, inputs = _open(paths, data, expressions, constants.level_units if constants else ())
    if data.region is not None:
        cube, inputs = (cut_region(one, data.region) for one in (cube, inputs))
    accumulated = {} if constants is None else constants.accumulated
    cube, inputs, accumulated = _each_step(cube, inputs, data, accumulated)
    if constants is None:
        constants = _read_constants(inputs, inputs_of(expressions), data)
        constants = replace(constants, accumulated=accumulated)
    if expressions:
        same_kind(inputs, constants.input_differences, among=constants.input_units)
        inputs = in_units(inputs, constants.input_units)  # as in training, whatever these files have
        cube = derive(cube, inputs, expressions)
    if constants.mask is not None:
        cube = apply_mask(cube, constants.mask)
    if data.coarsen is not None:
        cube = coarsen(cube, data.coarsen)
    if data.smooth is not None:
        cube = smooth(cube, data.smooth)
    if data.season is not None:
        cube = keep_season(cube, data.season)
    if constants.static_names:
        cube = cube.noted(f"Static channels: {', '.join(constants.static_names)}.")
    cube = replace(cube, constants=constants)
    cube = cube.take(cube.time.within(data.time_range)) if data.time_range else cube
    check_fits(cube)
    return cube.noted(*notes(cube))


def _open(
    paths: Sequence[str | Path],
    data: DataConfig,
    expressions: Sequence[Expression],
    level_units: Sequence[str],
) -> tuple[Cube, Cube]:
    """Open the channels to keep, and with them those that formulas read."""

    def opened(variables: Sequence[str] | None) -> Cube:
        return open_cube(
            paths,
            variables=variables,
            levels=data.levels,
            time_dim=data.time_dim,
            time_index=data.time_index,
            member=data.member,
            step=data.step,
            regrid=data.regrid,
            stream=data.stream,
            data_type=data.data_type,
            engine=data.engine,
            level_units=level_units,
            missing_value=data.missing_value,
        )

    names = inputs_of(expressions)
    derived = {expression.name for expression in expressions}
    asked = data.variables
    if not expressions or asked is None:
        cube = opened(asked)
        return cube, cube
    asked = tuple(name for name in asked if name not in derived)
    if not asked:
        inputs = opened(names)
        return inputs.pick([]), inputs
    kept = [channel.name for channel in opened(asked).channels]
    whole = opened((*asked, *(name for name in names if name not in kept)))
    number = {channel.name: index for index, channel in enumerate(whole.channels)}
    return whole.pick([number[name] for name in kept]), whole


def _each_step(
    cube: Cube, inputs: Cube, data: DataConfig, known: Mapping[str, Cycle | None]
) -> tuple[Cube, Cube, Mapping[str, Cycle | None]]:
    """Take differences of what is accumulated where it is asked for; else warn of it.

    Returns:
        Both cubes, and the cycle of each channel of which differences were taken.
    """
    found = find_all(inputs, known if data.deaccumulate else {})
    if not data.deaccumulate:
        return cube.noted(*warnings_of(found)), inputs, {}
    amounts = {name: one.cycle for name, one in found.items() if one.amount}
    if not amounts and not known:
        raise InputError(
            f"{', '.join(cube.sources)}: no channel is accumulated since the start of a forecast or of a run",
            wanted="--deaccumulate needs GRIB messages that declare it, or amounts that restart or only grow",
            do="leave out --deaccumulate",
        )
    means = {name: one for name, one in found.items() if not one.amount}
    return deaccumulate(cube, found).noted(*warnings_of(means)), deaccumulate(inputs, found), amounts


def _read_constants(cube: Cube, inputs: Sequence[str], data: DataConfig) -> Constants:
    """Read mask and static fields from their files, and note the units of what formulas read."""
    units = {channel.name: channel.units for channel in cube.channels if channel.name in inputs}
    differences = frozenset(one.name for one in cube.channels if one.name in units and one.difference)
    levels = tuple(dict.fromkeys(one.level_units for one in cube.channels if one.level_units))
    mask = None if data.mask is None else read_mask(data.mask, cube.grid, data)
    if not data.static:
        return Constants(mask, input_units=units, level_units=levels, input_differences=differences)
    names, statics = read_statics(data.static, cube.grid, data)
    return Constants(mask, names, statics, units, levels, differences)
