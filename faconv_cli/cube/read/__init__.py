"""Reading: the values of a channel, block by block, with one value for missing.

- lazy: a channel in one file, and over several; the only place that reads fields of files.
- readers: what else a channel is read through: other readers, points left out, numbers scaled.
- masking: what is certainly no value, and how many there were; suspects: what may be none.
- regrid: points along one dimension, read as cells of a regular grid.
- probe: some values, to tell what a channel holds.
"""
