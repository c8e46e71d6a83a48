"""Joining: the fields of several files, told apart or put together, as one cube."""
