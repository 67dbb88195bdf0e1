"""Growth laws of the layer."""
