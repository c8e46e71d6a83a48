"""A trained encoder over a cube, to an embedding file."""
