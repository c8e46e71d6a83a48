"""Several encoders trained at an equal budget, their costs and scores."""
