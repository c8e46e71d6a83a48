"""Opening: from what a user names to data sets of xarray, whole, lazy and with times still encoded."""
