"""Read the values of a channel block by block, with NaN for missing data.

- lazy: a channel in one file, and over several files; the only module that reads fields from files.
- readers: other ways to read a channel: through other readers, masked, on selected points, scaled.
- masking: masks and counts values that certainly mean missing data; suspects: reports those that may.
- regrid: reads points along one dimension as cells of a regular grid.
- probe: reads a few values to tell what a channel holds.
"""
