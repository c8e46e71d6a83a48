"""The forecast file: CF NetCDF, written one initial time after the other, completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import numpy as np

from faconv_cli import schema
from faconv_cli.cube.encode import define_grid, encode_time, time_attributes
from faconv_cli.cube.units.units import units_metadata
from faconv_cli.files import netcdf_lock, netcdf_output
from faconv_cli.forecast.run import ForecastRun, Forecasts
from faconv_cli.forecast.verify import Scores
from faconv_cli.provenance import global_attributes, notes

FILL = np.float32(netCDF4.default_fillvals["f4"])
STARTS_PER_CHUNK = 256
_OURS = {schema.FORECAST_REFERENCE_TIME, schema.FORECAST_PERIOD, schema.LEAD, schema.TIME, "lat", "lon"}
_TOLD = {
    "forecast": "the forecast",
    "persistence": "keeping the anomaly of the start",
    "climatology": "the climatology",
}


@contextmanager
def create_forecast_file(
    path: Path, run: ForecastRun, *, command: str, overwrite: bool
) -> Iterator[ForecastWriter]:
    """Open a new file for forecasts; it appears under its name only when it is complete.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    with netcdf_output(path, overwrite=overwrite) as file:
        with netcdf_lock():
            writer = ForecastWriter(file, run, command)
        yield writer
        with netcdf_lock():
            file.setncatts(notes(run.cube))


class ForecastWriter:
    """Appends forecasts, and at the end their scores, to an open file."""

    def __init__(self, file: netCDF4.Dataset, run: ForecastRun, command: str) -> None:
        self._file, self._run = file, run
        cube, time = run.cube, run.cube.time
        self._names = [variable_name(channel.name) for channel in cube.channels]
        title = f"Forecasts of {', '.join(channel.name for channel in cube.channels)}"
        file.setncatts(global_attributes(title, run.checkpoint, cube, command))
        file.createDimension(schema.FORECAST_REFERENCE_TIME, None)
        file.createDimension(schema.LEAD, run.steps)
        lead = file.createVariable(schema.LEAD, "i4", (schema.LEAD,))
        lead.setncatts({"long_name": f"steps of {time.step} from the start", "units": "1"})
        lead[:] = np.arange(1, run.steps + 1)
        self._units = str(time_attributes(time)["units"])
        self._calendar_months = time.step_months is not None
        self._define_times()
        self._define_fields()

    def _define_times(self) -> None:
        time = self._run.cube.time
        attributes = time_attributes(time)
        reference, lead = schema.FORECAST_REFERENCE_TIME, schema.LEAD
        start = self._file.createVariable(reference, "f8", (reference,), chunksizes=(STARTS_PER_CHUNK,))
        start.setncatts({**attributes, "long_name": "time the forecast starts from"})
        valid = self._file.createVariable(
            schema.TIME, "f8", (reference, lead), chunksizes=(STARTS_PER_CHUNK, self._run.steps)
        )
        about = {key: value for key, value in attributes.items() if key != "axis"}
        valid.setncatts({**about, "long_name": "time the forecast is for"})
        if not time.dated:  # numbers of steps, which are no times to CF
            return
        start.standard_name = reference
        # months differ in length, so the days to a lead depend on the start
        self._hours = time.step_days * 24
        days = self._calendar_months or self._hours % 24 == 0
        self._period_unit = "days" if days else "hours" if self._hours % 1 == 0 else "seconds"
        dims = (reference, lead) if self._calendar_months else (lead,)
        period = self._file.createVariable(schema.FORECAST_PERIOD, "f8", dims)
        period.setncatts(
            {
                "standard_name": schema.FORECAST_PERIOD,
                "long_name": "time from the start",
                "units": self._period_unit,
            }
        )
        if not self._calendar_months:
            per_hour = {"days": 1 / 24, "hours": 1.0, "seconds": 3600.0}[self._period_unit]
            period[:] = np.arange(1, self._run.steps + 1) * self._hours * per_hour

    def _define_fields(self) -> None:
        cube = self._run.cube
        self._dims, extra = define_grid(self._file, cube.grid)
        period = [schema.FORECAST_PERIOD] if cube.time.dated else []
        places = [extra["coordinates"]] if extra else []
        coordinates = " ".join([schema.TIME, *period, *places])
        for name, channel in zip(self._names, cube.channels, strict=True):
            variable = self._file.createVariable(
                name,
                "f4",
                (schema.FORECAST_REFERENCE_TIME, schema.LEAD, *self._dims),
                zlib=True,
                complevel=1,
                chunksizes=(1, 1, *cube.grid.shape),
                fill_value=FILL,
            )
            about = {
                "standard_name": channel.standard_name,
                "long_name": channel.long_name or channel.name,
                "units": channel.units,
                "units_metadata": units_metadata(channel),
                **extra,
                "coordinates": coordinates,
            }
            variable.setncatts({key: value for key, value in about.items() if value})

    def write(self, forecasts: Forecasts) -> None:
        """Append the forecasts of a batch, in physical units."""
        time, steps = self._run.cube.time, self._run.steps
        with netcdf_lock():
            begin = len(self._file.dimensions[schema.FORECAST_REFERENCE_TIME])
            for row, (start, anomalies) in enumerate(
                zip(forecasts.starts.tolist(), forecasts.anomalies, strict=True), begin
            ):
                reference = encode_time(time.slice(start, start + 1), self._units)
                valid = encode_time(time.after(start, steps), self._units)
                self._file[schema.FORECAST_REFERENCE_TIME][row] = reference[0]
                self._file[schema.TIME][row] = valid
                if self._calendar_months:
                    ahead = time.after(start, steps).values - time.values[start]
                    days = [np.timedelta64(lead, "ns") / np.timedelta64(1, "D") for lead in ahead]
                    self._file[schema.FORECAST_PERIOD][row] = days
                fields = self._run.cube.grid.to_file_order(self._run.physical(start, anomalies))
                for channel, name in enumerate(self._names):
                    field = fields[:, channel]
                    self._file[name][row] = np.where(np.isnan(field), FILL, field)

    def write_scores(self, scores: Scores) -> None:
        """Write the scores by lead."""
        with netcdf_lock():
            for number, (name, channel) in enumerate(zip(self._names, self._run.cube.channels, strict=True)):
                for method, values in scores.rmse.items():
                    text = f"root mean square error of {_TOLD[method]}, {channel.name}"
                    self._score(
                        f"{_score_name(schema.RMSE, method)}_{name}", values[number], text, channel.units
                    )
                for method, values in scores.acc.items():
                    text = f"anomaly correlation of {_TOLD[method]}, {channel.name}"
                    self._score(f"{_score_name(schema.ACC, method)}_{name}", values[number], text, "1")
                count = self._file.createVariable(f"{schema.VERIFIED}_{name}", "i4", (schema.LEAD,))
                count.setncatts(
                    {"long_name": f"forecasts of {channel.name} that were verified", "units": "1"}
                )
                count[:] = scores.count[number]

    def _score(self, name: str, values: np.ndarray, long_name: str, units: str) -> None:
        variable = self._file.createVariable(name, "f4", (schema.LEAD,), fill_value=FILL)
        about = {"long_name": long_name, "units": units, "coordinates": schema.FORECAST_PERIOD}
        if self._calendar_months or not self._run.cube.time.dated:
            del about["coordinates"]
        variable.setncatts({key: value for key, value in about.items() if value})
        variable[:] = np.where(np.isnan(values), FILL, values)


def _score_name(score: str, method: str) -> str:
    return score if method == "forecast" else f"{score}_{method}"


def variable_name(channel: str) -> str:
    """Return the name of a channel's variable, distinct from the names that faconv uses itself."""
    name = channel.replace("/", "_")
    return f"{name}_" if name in _OURS else name
