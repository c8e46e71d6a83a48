"""Transformations of a cube on its way to the network, applied lazily on each read and never stored.

In the order of `pipeline`:

- region: cut out a box of latitudes and longitudes.
- accumulation: convert accumulated channels to amounts per step; sawtooth, runtotal: find these channels.
- derive: compute channels from others; expression: the formulas; trainedunits: convert to training units.
- fixed: masks and static channels.
- coarsen: means over blocks; smooth: running means in time.
- season: part of the year.
"""
