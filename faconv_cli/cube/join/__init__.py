"""Joining: the layers of several files become one cube.

- source: files to one cube: all layers, chosen, merged, on one time axis. Start here.
- join: one channel from several files; several channels on one time axis.
- alike: whether files are one record; shifted: stamped at another place of their step.
- overlap: files that hold the same steps.
- clock: stamps of many files that compare.
- oneunit: values and levels that files give in several units.
"""
