"""Units: what they mean, and how numbers in one become numbers in another.

- units: compared, converted, and followed through a formula, by udunits.
- spelling: what files write for them.
- differences: whether numbers are anomalies or spreads, of which K and degrees Celsius are the same.
- byvalue: conversions that the values must bear out.
"""
