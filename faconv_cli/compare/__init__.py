"""Several encoders trained at an equal budget, and what they cost and are worth."""
