"""Shaping: what is done to a cube on its way to the network, each read through and never stored.

In the order of `pipeline`:

- region: a box of latitudes and longitudes.
- accumulation: what each step adds, of what is accumulated; sawtooth, runtotal: which channels are.
- derive: channels worked out of others; expression: the formulas; trainedunits: in the units of the training.
- fixed: masks and static channels.
- coarsen: means over blocks; smooth: running means in time.
- season: part of the year.
"""
