"""The sphere: places, axes and the areas of cells, as plain numbers."""
