"""A record rewritten for repeated training: rechunked, and as anomalies if asked for."""
