"""Reading: a channel's values from its files, block by block, with one value for missing."""
