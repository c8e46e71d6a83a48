"""A record stored anew for repeated training: rechunked, and made anomalies where asked for."""
