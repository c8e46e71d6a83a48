"""Time: stamps of any calendar, without files.

- timeaxis: stamps, the step between them, and gaps; what the rest of the house calls time.
- timestep: the usual step between stamps, in words; timerange: ranges of dates as users write them.
- calendars: names of calendars.
- rounding: stamps without the noise of their numbers.
- sametime: the steps of one time axis on another.
"""
