"""The scans along time: linear, in logarithms, and gated."""
