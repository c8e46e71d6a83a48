"""From a run to its file, with scores where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from faconv_cli.errors import InputError
from faconv_cli.forecast.netcdf import create_forecast_file
from faconv_cli.forecast.run import ForecastRun, Forecasts
from faconv_cli.forecast.verify import Verification


def write_forecasts(
    run: ForecastRun,
    path: Path,
    starts: np.ndarray,
    command: str,
    *,
    verification: Verification | None = None,
    overwrite: bool = False,
) -> Iterator[Forecasts]:
    """Write the forecasts from ``starts`` to a new file, and their scores where ``verification`` is given.

    Yields:
        What has been written since the last time.

    Raises:
        OutputError: the file exists or cannot be written.
        InputError: no start has enough input, or nothing that was forecast can be verified.
    """
    with create_forecast_file(path, run, command=command, overwrite=overwrite) as writer:
        started = False
        for forecasts in run.run(starts):
            writer.write(forecasts)
            started |= bool(np.isfinite(forecasts.anomalies).any())
            if verification:
                verification.add(forecasts)
            yield forecasts
        sources = ", ".join(run.cube.sources)
        if not started:
            raise InputError(
                f"{sources}: none of {len(starts)} initial times has enough valid values",
                wanted="each channel needs half of the area that was valid in training",
                do="check the data, or --from",
            )
        if verification:
            scores = verification.scores()
            if not scores.count.any():
                raise InputError(
                    f"{sources}: the record ends with the initial times",
                    wanted="--verify needs the data of the steps that were forecast",
                    do="choose an earlier --from, or leave out --verify",
                )
            writer.write_scores(scores)
