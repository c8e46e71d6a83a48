"""An embedding file to regimes."""
