"""Join the layers of several files into one cube.

- source: opens files as one cube: selects and merges layers, and puts them on one time axis. Start here.
- join: joins one channel from several files, and puts several channels on one time axis.
- alike: checks that files are one record; shifted: finds files stamped at another place in their step.
- overlap: compares files that hold the same time steps.
- clock: turns the time stamps of many files into comparable integers.
- oneunit: converts values and levels that files give in different units.
"""
