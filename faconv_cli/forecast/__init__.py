"""A trained network over a cube, to forecasts in closed loop and their scores."""
