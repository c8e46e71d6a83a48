"""A trained network over a cube, to forecasts and their scores."""
