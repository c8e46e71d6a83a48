"""Units: what they mean, and how numbers of one become numbers of another."""
