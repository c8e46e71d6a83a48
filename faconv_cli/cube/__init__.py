"""1. Files to a `Cube`: opened lazily, canonical from here on."""
