"""Recurrences along time without a step loop.

- scan: the linear recurrence, directly or in logarithms.
- gatedscan: convolution, gates and recurrence of the MinConv cells in one pass.
"""
