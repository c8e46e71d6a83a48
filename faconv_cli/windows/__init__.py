"""2. A cube to tensors: windows in time, tiles in space, normalised."""
