"""faconv: climate data cubes to per-timestep embeddings and weather regimes.

The pipeline, one folder an arrow::

    files ──cube──▶ Cube ──windows──▶ tensors ──nn──▶ states and embeddings
    fit      trains the encoder on the windows of a cube      -> checkpoint
    embed    runs a checkpoint over a cube                    -> embedding file (CF NetCDF)
    regimes  clusters an embedding file                       -> regime file (CF NetCDF)
    commands show each of these at a terminal; console is the only room that prints

Between them: network builds the modules of nn from settings (config) and a grid, checkpoint is the file
between train and embed, match opens data as its training did, schema spells the names in our NetCDF files,
files writes them whole or not at all, and sample makes cubes whose regimes are known. Every error a user
may meet is in errors.
"""

__version__ = "0.1.0"
