"""faconv: climate data cubes to per-timestep embeddings and weather regimes.

The pipeline, one folder an arrow::

    files ──cube──▶ Cube ──windows──▶ tensors ──nn──▶ states and embeddings
    fit       trains a network on the windows of a cube         -> checkpoint
    embed     runs a checkpoint over a cube                     -> embedding file (CF NetCDF)
    regimes   clusters an embedding file                        -> regime file (CF NetCDF)
    subspace  turns modes and embeddings back into fields       -> modes, reconstruction (CF NetCDF)
    forecast  forecasts the steps after each start              -> forecast file (CF NetCDF)
    compare   trains several encoders at an equal budget        -> tables
    prepare   stores a record anew for repeated training        -> Zarr
    commands show each of these at a terminal; console is the only room that prints

Between them: network builds the modules of nn from settings (config) and a grid, checkpoint is the file
between train and embed, match opens data as its training did, schema spells the names in our NetCDF files,
provenance says where they come from, files writes them whole or not at all, and sample makes cubes whose
answer is known. device chooses where to compute. Every error a user may meet is in errors; guard turns a
library that crashes into one. What a room of cube does, file by file, is at the head of the room.
"""

__version__ = "0.1.0"
