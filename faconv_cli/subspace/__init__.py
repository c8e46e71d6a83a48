"""The subspace looked at: modes as maps, and fields from canonical coordinates."""
