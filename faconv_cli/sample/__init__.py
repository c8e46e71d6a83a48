"""Generated cubes with a known truth."""
