"""Open what the user names as lazy xarray data sets, with times still encoded.

- paths: resolves arguments (files, globs, folders, stores, URLs) to locations.
- urls: finds the file system of a URL; checks for optional packages.
- formats: recognises a file by its content and opens its data sets. Start here.
- remote, stores, grib, table: the same for URLs, Zarr, GRIB and CSV.
- gribindex: where the index of a GRIB file is kept; scanning: the order in which a message stores its points.
- integrity: checks whether a file is complete; foreign: recognises files that are not data files.
- declared: rewrites attributes that describe stored numbers so that xarray applies them.
- opened: what an opener returns; refusal: why a variable cannot be read.
"""
