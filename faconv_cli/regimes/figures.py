"""One figure of the regimes: maps of their composites, or their place in the embedding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faconv_cli.cube.grid import Grid
from faconv_cli.errors import UsageError
from faconv_cli.files import atomic_output, check_no_folder, check_output
from faconv_cli.regimes.composites import Composites
from faconv_cli.regimes.result import Regimes
from faconv_cli.regimes.significance import LEVEL
from faconv_cli.regimes.statistics import UNCLASSIFIED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
MAX_CHANNELS = 4  # columns of maps; a figure of more is unreadable


def check_figure(path: Path, *, overwrite: bool) -> None:
    """Refuse early a figure that could not be drawn.

    Raises:
        UsageError: matplotlib is not installed, or the ending is not one of `FORMATS`.
        OutputError: as `check_output`.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UsageError(
            "--figure needs matplotlib, which is not installed",
            wanted="matplotlib is an optional dependency of faconv",
            do="install it with pip install 'faconv[plot]'",
        ) from None
    check_no_folder(path)
    if path.suffix[1:].lower() not in FORMATS:
        raise UsageError(
            f"--figure {path} ends in {path.suffix or 'nothing'}",
            wanted=f"faconv draws {', '.join(FORMATS)}",
            do="change the ending of the name",
        )
    check_output(path, overwrite=overwrite)


def save_figure(path: Path, regimes: Regimes, *, overwrite: bool = False) -> None:
    """Draw composites where the regimes have them, else regimes among the first two modes and in time.

    Raises:
        UsageError, OutputError: as `check_figure`.
    """
    check_figure(path, overwrite=overwrite)
    figure = draw_composites(regimes) if regimes.composites else draw_modes(regimes)
    with atomic_output(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


def draw_composites(regimes: Regimes) -> Figure:
    """Anomaly of the first channels (columns) in each regime (rows); dots where it is not significant."""
    from matplotlib.figure import Figure

    found = regimes.composites
    assert found is not None
    columns = min(len(found.channels), MAX_CHANNELS)
    figure = Figure(figsize=(5 * columns + 1, 2.6 * regimes.k), layout="constrained")
    axes = figure.subplots(regimes.k, columns, squeeze=False)
    for column in range(columns):
        channel = found.channels[column]
        limit = float(np.nanmax(np.abs(found.anomaly[:, column]), initial=0)) or 1.0
        for row in range(regimes.k):
            shades = _map(axes[row, column], found, row, column, limit)
            axes[row, column].set_title(f"{_title(regimes, row)}: {channel.name}", fontsize=9)
        figure.colorbar(shades, ax=axes[:, column], label=f"{channel.name} anomaly ({channel.units or '1'})")
    return figure


def draw_modes(regimes: Regimes) -> Figure:
    """Steps and centroids in the plane of the first two modes, above the regime of each step in time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    plane, timeline = figure.subplots(2, 1, height_ratios=[3, 1])
    values, years = regimes.embedding.values, regimes.embedding.time.years
    second = min(1, values.shape[1] - 1)
    for number in range(UNCLASSIFIED, regimes.k + 1):
        rows = regimes.labels == number
        if not rows.any():
            continue
        style: dict[str, Any] = {"color": f"C{number - 1}" if number else "0.7", "s": 6, "linewidths": 0}
        name = _title(regimes, number - 1) if number else "unclassified"
        plane.scatter(values[rows, 0], values[rows, second], label=name, **style)
        timeline.scatter(
            years[rows], np.full(rows.sum(), number), marker="|", **{**style, "s": 80, "linewidths": 0.5}
        )
    plane.scatter(*regimes.model.centroids[:, [0, second]].T, marker="x", color="black", zorder=3)
    plane.set(xlabel="mode 1", ylabel=f"mode {second + 1}")
    plane.legend(fontsize=8)
    dated = regimes.embedding.time.dated
    timeline.set(xlabel="year" if dated else "time step", ylabel="regime", yticks=range(1, regimes.k + 1))
    return figure


def _map(axes: Axes, found: Composites, row: int, column: int, limit: float) -> Any:
    lon, lat = (found.grid.lon, found.grid.lat)
    p_value = found.p_adjusted[row, column]
    shades = draw_map(axes, found.grid, found.anomaly[row, column], limit)
    east, north = (lon, lat) if lon.ndim == 2 else np.meshgrid(lon, lat)
    thin = max(1, max(found.grid.shape) // 60)
    doubtful = (p_value > LEVEL)[::thin, ::thin]
    axes.scatter(
        east[::thin, ::thin][doubtful], north[::thin, ::thin][doubtful], s=1.5, color="0.3", linewidths=0
    )
    return shades


def draw_map(axes: Axes, grid: Grid, field: np.ndarray, limit: float) -> Any:
    """Draw a field (h, w) in colours symmetric about 0; return what a colour bar needs."""
    axes.set(xlabel="longitude", ylabel="latitude")
    masked = np.ma.masked_invalid(field)
    return axes.pcolormesh(
        grid.lon, grid.lat, masked, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True
    )


def _title(regimes: Regimes, row: int) -> str:
    found = regimes.persistence
    return f"regime {row + 1}, {found.share[row]:.0%}, {found.mean_duration[row]:.1f} steps a spell"
