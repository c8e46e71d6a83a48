"""Understand units of measure and convert between them.

- units: compares and converts units, and follows them through a formula, with udunits.
- spelling: translates the spellings found in files.
- differences: recognises anomalies and spreads, for which K and degrees Celsius are the same.
- byvalue: checks conversions against the values.
"""
