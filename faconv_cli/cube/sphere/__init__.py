"""The sphere: places, longitudes, axes and areas of cells, as plain numbers.

- places: which numbers can be places, points of space, distances.
- longitude: counted from any meridian, west or east, once or more around the globe.
- cells: the usual step along an axis, its cells, and holes in it.
- mesh: coordinates in two dimensions that are two axes.
- curved: areas of the cells of 2-D coordinates.
- rotated: places that are given from a rotated pole.
"""
