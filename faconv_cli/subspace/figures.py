"""One figure of the modes: their maps, now and at the leads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faconv_cli.files import atomic_output
from faconv_cli.regimes.figures import MAX_CHANNELS, check_figure, draw_map
from faconv_cli.subspace.fields import Explained, SubspaceFields

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 8  # of modes; a figure of more is unreadable
MOST_COLUMNS = 6


def save_modes(
    path: Path, fields: SubspaceFields, explained: Explained, modes: int, *, overwrite: bool = False
) -> None:
    """Draw the first modes.

    Raises:
        UsageError, OutputError: as `check_figure`.
    """
    check_figure(path, overwrite=overwrite)
    figure = draw_modes(fields, explained, min(modes, MOST_ROWS))
    with atomic_output(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


def draw_modes(fields: SubspaceFields, explained: Explained, modes: int) -> Figure:
    """Map of each mode (rows), of the first channels now and at leads, and of targets (columns).

    A channel has one scale; targets that are series have no map.
    """
    from matplotlib.figure import Figure

    targets = [number for number, one in enumerate(fields.checkpoint.targets) if not one.is_series]
    columns = _columns(len(fields.checkpoint.channels), len(fields.leads))
    count = len(columns) + len(targets)
    maps = np.stack(
        [[fields.maps(mode, part)[channel] for channel, part in columns] for mode in range(modes)]
    )
    figure = Figure(figsize=(4 * count + 1, 2.6 * modes), layout="constrained")
    axes = figure.subplots(modes, count, squeeze=False)
    for number, channel in enumerate(fields.checkpoint.channels):
        own = [column for column, (of, _) in enumerate(columns) if of == number]
        if not own:
            continue
        limit = float(np.nanmax(np.abs(maps[:, own]), initial=0)) or 1.0
        for row, column in np.ndindex(modes, len(own)):
            at, part = own[column], columns[own[column]][1]
            shades = draw_map(axes[row, at], fields.checkpoint.grid, maps[row, at], limit)
            share = explained.by_part[row, part, number]
            axes[row, at].set_title(
                f"mode {row + 1}, {_when(fields.leads[part])}: {channel.name}, {share:.0%}", fontsize=9
            )
        units = channel.units or "1"
        figure.colorbar(shades, ax=axes[:, own], label=f"{channel.name} ({units}) per standard deviation")
    for column, number in enumerate(targets, len(columns)):
        _draw_target(figure, axes[:, column], fields, explained, number)
    return figure


def _draw_target(
    figure: Figure, axes: np.ndarray, fields: SubspaceFields, explained: Explained, number: int
) -> None:
    """Draw the maps of a target down one column."""
    target = fields.checkpoint.targets[number]
    maps = [fields.target_maps(mode, number) for mode in range(len(axes))]
    limit = float(np.nanmax(np.abs(maps), initial=0)) or 1.0
    for mode, (own, field) in enumerate(zip(axes, maps, strict=True)):
        shades = draw_map(own, target.grid, field, limit)
        share = explained.of_targets[mode, number] * explained.told[number]
        own.set_title(f"mode {mode + 1}, target: {target.name}, {share:.0%}", fontsize=9)
    units = target.channel.units or "1"
    figure.colorbar(shades, ax=axes, label=f"{target.name} ({units}) per standard deviation")


def _columns(channels: int, parts: int) -> list[tuple[int, int]]:
    """Choose (channel, part): all leads of one channel; of several the first and the last."""
    if channels == 1:
        return [(0, part) for part in np.unique(np.linspace(0, parts - 1, MOST_COLUMNS).round().astype(int))]
    return [
        (channel, part) for channel in range(min(channels, MAX_CHANNELS)) for part in sorted({0, parts - 1})
    ]


def _when(lead: int) -> str:
    return f"{lead} steps ahead" if lead > 1 else "1 step ahead" if lead else "now"
