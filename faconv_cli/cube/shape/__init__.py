"""Shaping: what is done to a cube on its way to the network, each read through, never stored."""
