"""faconv: climate data cubes to per-timestep embeddings and weather regimes.

The pipeline, one folder an arrow::

    files ──cube──▶ Cube ──windows──▶ tensors ──nn──▶ states and embeddings
    fit      trains the encoder on the windows of a cube      -> checkpoint
    embed    runs a checkpoint over a cube                    -> embedding file (CF NetCDF)
    regimes  clusters an embedding file                       -> regime file (CF NetCDF)
    commands show each of these at a terminal; console is the only room that prints
"""

__version__ = "0.1.0"
