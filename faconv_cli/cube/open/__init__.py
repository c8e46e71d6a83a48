"""Opening: from what a user names to data sets of xarray, lazy, with times still encoded.

- paths: arguments to locations: files, globs, folders, stores, URLs.
- urls: who speaks a URL's protocol; packages that are not always installed.
- formats: what kind of file a location is, by content; its data sets. Start here.
- remote, stores, grib, table: the same for URLs, Zarr, GRIB and CSV.
- gribindex: where the index of a GRIB file lies; scanning: the order in which a message stores its points.
- integrity: whether a file is whole; foreign: what it is that is no data file.
- declared: what attributes say of stored numbers, put so that xarray heeds it.
- opened: what an opener gives; refusal: why a variable cannot be taken.
"""
