"""The parts that cells and networks are made of.

- axial: axial attention, and maps of where it looks.
- mixing: dilated depthwise branches, squeeze-and-excitation, area-weighted means.
- featureslast: convolutions and buffers in the layout of the fast paths.
- domain: areas, tiles and pattern nodes of a grid.
- seasonal: the time of year as numbers, and attention to earlier steps.
"""
