"""1. Files to a `Cube`: opened lazily, canonical from here on.

The data go through the rooms in this order::

    open    what a user names -> data sets of xarray, times still encoded
    axes    a data set -> layers: fields that know their times, their grid and how they are read
    join    the layers of all files -> one cube
    shape   a cube -> the cube that is worked on: region, formulas, means, season

Below them lie what they all use: `read` (values, block by block), `units`, `time` (stamps and calendars) and
`sphere` (places and cells). A room imports only what lies below it; docs/decisions/0016 has the order.

What the rest of the house knows:

- cube: the fields with their channels, time axis and grid; channel: what one of them holds.
- grid: where the points are and how much area each stands for.
- constants: what the pipeline takes from elsewhere than the record, and a checkpoint keeps.
- pipeline: from files and settings to the cube that is worked on; read this first.
- climatology: seasonal cycle and trend of a training period; cycles: which of them a record allows.
- target: a field or a series that stands beside a record.
- size: how large a record is, whether it fits; overview: what `faconv inspect` tells.
- encode: time axis and grid as coordinates of the files we write.
"""
