"""The sphere: places, axes and areas of cells, as plain numbers.

- cells: the axes of a mesh, a meridian that is there twice, edges of cells, holes.
- curved: areas of the cells of 2-D coordinates.
- rotated: places that are given from a rotated pole.
"""
